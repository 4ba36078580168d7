"""What streams of several runs of a dump tool have in common: nothing is whole before its run is judged."""

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from backproof.errors import BackproofError

T = TypeVar("T")


class FirstError:
    """The error that came first of several streams: what the others say after it follows from giving up their point."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._error: BackproofError | None = None

    def of(self, error: BackproofError) -> BackproofError:
        """The first one that was given; it is what to raise."""
        with self._lock:
            self._error = self._error or error
            return self._error


def last_after(stream: Iterator[T], check: Callable[[], None]) -> Iterator[T]:
    """Hold the last item back until the check has passed."""
    held = next(stream)
    for item in stream:
        yield held
        held = item
    check()
    yield held
