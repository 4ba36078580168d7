"""Which statements may run side by side after the data: locks held against locks wanted. Pure, but for the waiting.

In PostgreSQL ``CREATE INDEX`` shares its table with other ``CREATE INDEX``; ``ADD PRIMARY KEY`` wants it alone. Two
foreign keys that touch the same table can deadlock, so each wants its two tables alone and gets both at once or waits:
whoever waits holds nothing, and nobody can wait in a circle.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

W = TypeVar("W")


@dataclass(frozen=True)  # no slots: Step[Entry] could not be called then
class Step(Generic[W]):
    """What one session runs in order."""

    entries: tuple[W, ...]
    alone: frozenset[str] = frozenset()
    """Tables that nobody else may work on meanwhile."""
    shared: frozenset[str] = frozenset()
    """Tables that others may share meanwhile."""
    weight: int = 0
    """Bytes of the table concerned: the longest work starts first."""

    @property
    def tables(self) -> frozenset[str]:
        """All tables it takes; none for what is not done side by side."""
        return self.alone | self.shared


class Schedule(Generic[W]):
    """Hands out steps to several sessions, biggest first, none whose tables are taken."""

    def __init__(self, steps: Iterable[Step[W]]) -> None:
        self._waiting = sorted(steps, key=lambda step: -step.weight)
        self._running: list[Step[W]] = []
        self._changed = threading.Condition()
        self._stopped = False

    def take(self) -> Step[W] | None:
        """The next step whose tables are free; waits for one; None when none is left or ``stop`` was called."""
        with self._changed:
            while self._waiting and not self._stopped:
                for position, step in enumerate(self._waiting):
                    if not any(_conflict(step, other) for other in self._running):
                        self._running.append(self._waiting.pop(position))
                        return step
                self._changed.wait()
            return None

    def done(self, step: Step[W]) -> None:
        """Free the tables of a step."""
        with self._changed:
            self._running.remove(step)
            self._changed.notify_all()

    def stop(self) -> None:
        """Hand out nothing more, and wake who waits."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


def _conflict(one: Step[W], other: Step[W]) -> bool:
    return bool(one.alone & other.tables or one.shared & other.alone)
