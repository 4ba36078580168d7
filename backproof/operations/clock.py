"""Measured phases: every operation tells how long each part of it took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from backproof.records import Timing

Now = Callable[[], datetime]
"""The wall clock of an operation: aware UTC."""


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


class Stopwatch:
    """Collects the phases of one operation, in the order in which they began."""

    def __init__(self, now: Now = utc_now) -> None:
        self._now = now
        self._phases: list[Timing] = []

    @contextmanager
    def phase(self, name: str, size: Callable[[], int | None] | None = None) -> Iterator[None]:
        """Measure one phase; ``size`` is asked at its end for the bytes it moved. A phase that raised counts too."""
        started_at, begun, place = self._now(), time.monotonic(), len(self._phases)
        moved = None
        try:
            yield
            moved = size() if size else None
        finally:
            elapsed = round(time.monotonic() - begun, 3)
            self._phases.insert(place, Timing(phase=name, started_at=started_at, elapsed_seconds=elapsed, bytes=moved))

    @property
    def timings(self) -> tuple[Timing, ...]:
        """What was measured so far."""
        return tuple(self._phases)
