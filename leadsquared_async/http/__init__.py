"""One call: token, exchange, classified answer, and retries."""
