"""One rate limit for many processes, kept in Redis or Valkey."""
