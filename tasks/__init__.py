"""One retryable step each: a decorator, one call of an operation, one line in the log."""
