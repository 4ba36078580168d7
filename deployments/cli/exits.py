"""What an exit status means. See ``docs/json.md``."""

DONE = 0
FAILED = 1
"""Also: a proof that failed."""
USAGE = 2
DEGRADED = 3
"""The backup is safe; a copy, or the chance to prove it, is missing."""
COULD_NOT_RUN = 4
"""A ``verify`` that could not run: no verdict on the backup."""
INTERRUPTED = 130
"""Ctrl-C, as shells have it."""
