"""Which statements may run side by side after the data: locks held against locks wanted. Pure, but for the waiting.

In PostgreSQL ``CREATE INDEX`` shares its table with other ``CREATE INDEX``; ``ADD PRIMARY KEY`` wants it alone. Two
foreign keys that touch the same table can deadlock, so each wants its two tables alone and gets both at once or waits:
whoever waits holds nothing, and nobody can wait in a circle. A foreign key also waits for the keys of the table that it
points at.
"""

import threading
from bisect import insort
from collections import Counter
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
    """How much work hangs on it, in bytes gone through: the longest starts first."""
    makes: str | None = None
    """The table of whose keys it is one."""
    needs: str | None = None
    """The table whose keys must all be made before. A step that needs one makes none."""

    @property
    def tables(self) -> frozenset[str]:
        """All tables it takes; none for what is not done side by side."""
        return self.alone | self.shared


class Schedule(Generic[W]):
    """Hands out steps to several sessions, biggest first, none whose tables are taken."""

    def __init__(self, steps: Iterable[Step[W]]) -> None:
        steps = list(steps)
        self._unmade = Counter(step.makes for step in steps if step.makes is not None)
        self._held: dict[str, list[Step[W]]] = {}
        self._waiting: list[Step[W]] = []
        for step in steps:
            if step.needs is not None and step.needs in self._unmade:
                self._held.setdefault(step.needs, []).append(step)
            else:
                self._waiting.append(step)
        self._waiting.sort(key=_by_weight)
        self._running: list[Step[W]] = []
        self._changed = threading.Condition()
        self._stopped = False

    def take(self) -> Step[W] | None:
        """The next step whose tables are free; waits for one; None when none is left or ``stop`` was called."""
        with self._changed:
            while (self._waiting or self._held) and not self._stopped:
                for position, step in enumerate(self._waiting):
                    if not any(_conflict(step, other) for other in self._running):
                        self._running.append(self._waiting.pop(position))
                        return step
                self._changed.wait()
            return None

    def done(self, step: Step[W]) -> None:
        """Free the tables of a step, and what waits for the last key of its table."""
        with self._changed:
            self._running.remove(step)
            if step.makes is not None:
                self._unmade[step.makes] -= 1
                if not self._unmade[step.makes]:
                    for freed in self._held.pop(step.makes, ()):
                        insort(self._waiting, freed, key=_by_weight)
            self._changed.notify_all()

    def stop(self) -> None:
        """Hand out nothing more, and wake who waits."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


def _by_weight(step: Step[W]) -> int:
    return -step.weight


def _conflict(one: Step[W], other: Step[W]) -> bool:
    return bool(one.alone & other.tables or one.shared & other.alone)
