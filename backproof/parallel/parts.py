"""Bytes that go to a socket from where they lie, many parts at once, of which the kernel takes what it has room for."""

from collections import deque

AT_ONCE = 64
"""Parts in one call; well below any system's limit."""


def drop(parts: "deque[memoryview]", sent: int) -> None:
    """Take so many bytes off the front."""
    while parts and sent >= len(parts[0]):
        sent -= len(parts.popleft())
    if sent:
        parts[0] = parts[0][sent:]
