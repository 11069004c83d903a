"""One call, from end to end: a token, an exchange, a classified answer, and again or done."""
