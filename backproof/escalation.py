"""Who is called of an incident, one level after the other, until somebody answers. Pure.

An incident is what lies of it in the stores: small signed entries, each written once. Whoever reads them knows what to
do next, whatever was restarted meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from backproof.alarms import Message, moment
from backproof.fleet.specs import LevelSpec
from backproof.records import Backup, Record

OPENED, ACKNOWLEDGED, RESOLVED = "opened", "acknowledged", "resolved"


class IncidentEntry(Record):
    """One thing that happened in an incident."""

    plan: str
    mark: str
    opened_at: datetime
    part: str
    """As in ``naming.IncidentName``."""
    at: datetime
    text: str
    """What went wrong; who was told; what whoever acknowledged had to say."""
    by: str = ""
    """Who acknowledged."""


class Incident(Record):
    """Somebody must act on a plan."""

    plan: str
    mark: str
    opened_at: datetime
    entries: tuple[IncidentEntry, ...]
    """In the order in which they were written."""

    @property
    def id(self) -> str:
        """What a person acknowledges: ``shop-3f9a1c2b``."""
        return f"{self.plan}-{self.mark}"

    @property
    def what(self) -> str:
        """What went wrong."""
        return next((entry.text for entry in self.entries if entry.part == OPENED), "")

    @property
    def marks(self) -> set[str]:
        """Its own mark, and those of further trouble that joined it."""
        joined = {entry.part.removeprefix("joined_") for entry in self.entries if entry.part.startswith("joined_")}
        return {self.mark, *joined}

    @property
    def closed(self) -> IncidentEntry | None:
        """How it ended; None: it has not."""
        return next((entry for entry in self.entries if entry.part in (ACKNOWLEDGED, RESOLVED)), None)

    def told(self, level: int) -> IncidentEntry | None:
        """When a level was told, and who that is; None: it was not."""
        return next((entry for entry in self.entries if entry.part == f"level_{level}"), None)


@dataclass(frozen=True, slots=True)
class Step:
    """What to do of an incident now."""

    do: Literal["tell", "close", "nothing"]
    why: str
    next_at: datetime | None = None
    """When the next level is due; None: there is none."""


def split_id(incident: str) -> tuple[str, str]:
    """Plan and mark of an incident's id."""
    plan, _, mark = incident.rpartition("-")
    return plan, mark


def step(incident: Incident, levels: Sequence[LevelSpec], level: int, latest: Backup | None, now: datetime) -> Step:
    """Decide what a run of one level has to do.

    Args:
        incident: as it lies in the stores.
        levels: of the plan, the first of them is level 1.
        level: whose turn it is.
        latest: the plan's newest backup.
        now: aware UTC.
    """
    if incident.closed is not None:
        return Step("nothing", f"{incident.id} was {incident.closed.part} at {moment(incident.closed.at)}")
    if is_resolved(incident, latest):
        return Step("close", f"{latest.id if latest else ''} is proven")
    if level > len(levels):
        return Step("nothing", f"{incident.id} has no further level")
    if incident.told(level) is not None:
        return Step("nothing", f"{levels[level - 1].name} was told already")
    following = now + levels[level - 1].wait if level < len(levels) else None
    return Step("tell", f"it is the turn of {levels[level - 1].name}", following)


def is_resolved(incident: Incident, latest: Backup | None) -> bool:
    """Whether the plan's newest backup was proven since it was opened."""
    return latest is not None and latest.proven_at is not None and latest.proven_at > incident.opened_at


def goes_on(incident: Incident, levels: Sequence[LevelSpec], now: datetime) -> bool:
    """Whether further trouble of the plan belongs to it: it is open, and not all levels have let their time pass."""
    if incident.closed is not None:
        return False
    last = incident.told(len(levels))
    return last is None or now < last.at + levels[-1].wait


def level_message(
    incident: Incident, fleet: str, levels: Sequence[LevelSpec], level: int, next_at: datetime | None
) -> Message:
    """What a level is told: plan, what, since when, what to do, and who is called next."""
    before = [f"{entry.text} at {moment(entry.at)}" for entry in incident.entries if entry.part.startswith("level_")]
    after = f"Next: {levels[level].name}, at {moment(next_at)}" if next_at else "Next: nobody; you are the last level"
    lines = [
        f"Plan: {incident.plan}",
        f"What: {incident.what}",
        f"Since: {moment(incident.opened_at)}",
        f"What to do: Say that you are at it: backproof ack {incident.id}, or the deployment {fleet}.acknowledge in "
        f"Prefect's UI. Then see what backproof doctor {incident.plan} and the log of the run name, and mend it.",
        *([f"Told before: {'; '.join(before)}"] if before else []),
        after,
    ]
    return Message(f"{incident.plan}: {incident.id} needs the {levels[level - 1].name}", "\n".join(lines))
