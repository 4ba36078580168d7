"""Is a plan as safe as it promises? Judged by what its stores hold. Pure: reads no store and no clock.

Age counts from the snapshot: what was written since then is what a disaster would cost.
"""

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from backproof.errors import BackproofError
from backproof.records import Backup, Copy, Record

Level = Literal["ok", "warning", "degraded", "failed"]
"""From good to bad. ``degraded``: the promise is kept, and a copy, or the sight of a store, is missing."""

LEVELS: tuple[Level, ...] = ("ok", "warning", "degraded", "failed")

CopyState = Literal["good", "missing", "incomplete", "failed", "unknown"]
"""``failed``: its newest proof did; ``unknown``: its store could not be asked."""

CLOCK_SKEW = timedelta(hours=1)
"""A backup from further in the future than that keeps no promise: it would for as long as the clock was wrong."""

ENOUGH_EARLIER = 3
"""Backups that it takes to say which size is usual."""

_FEWER_THAN_USUAL, _MORE_THAN_USUAL = 0.5, 2.0


class Problem(Record):
    """One thing that is not as it should be."""

    kind: Literal["rpo", "proof", "clock", "store", "copy", "size"]
    level: Level
    found: str
    remedy: str


class CopyHeld(Record):
    """The newest backup in one store of its plan: of each there is one, also where there is no backup."""

    store: str
    state: CopyState


class Standing(Record):
    """How a plan stands at a moment."""

    plan: str
    level: Level
    """Of its worst problem."""
    at: datetime
    newest: Backup | None
    proven: Backup | None
    """The newest that is proven."""
    stored_bytes: int | None
    """Of the newest."""
    usual_bytes: int | None
    """The median of those before; None where there are too few."""
    copies: tuple[CopyHeld, ...]
    rpo: timedelta
    grace: timedelta
    problems: tuple[Problem, ...]

    @property
    def newest_age(self) -> timedelta | None:
        """How long ago the newest backup was taken."""
        return None if self.newest is None else max(timedelta(), self.at - self.newest.taken_at)

    @property
    def proven_age(self) -> timedelta | None:
        """How long ago the newest proven backup was taken."""
        return None if self.proven is None else max(timedelta(), self.at - self.proven.taken_at)

    @property
    def kept(self) -> bool:
        """Whether a proven backup is within the recovery point objective and its grace."""
        return self.proven_age is not None and self.proven_age <= self.rpo + self.grace


@dataclass(frozen=True, slots=True)
class Seen:
    """What the stores of a plan show."""

    backups: tuple[Backup, ...]
    """Newest first: the newest of all and, where it is another one, the newest that is proven."""
    earlier_bytes: tuple[int, ...]
    """The sizes of some that were taken before the newest."""
    ahead: tuple[str, ...]
    """Ids of backups that say to be from the future."""
    stores: tuple[str, ...]
    unreachable: Mapping[str, BackproofError]
    unread: BackproofError | None = None
    """Why a manifest or proof that is listed could not be read: more may be proven than was seen."""


def judge(plan: str, seen: Seen, rpo: timedelta, grace: timedelta, now: datetime) -> Standing:
    """How a plan stands.

    Args:
        plan: its name.
        seen: what its stores show.
        rpo: how old its newest proven backup may become.
        grace: how much later than that the alarm is raised; so long, too, may a new backup wait for copies and proof.
        now: timezone-aware UTC.

    Source: "RPO targets": the data loss that a disaster at this moment would mean, from the snapshot on.
    """
    newest = seen.backups[0] if seen.backups else None
    proven = next((backup for backup in seen.backups if backup.proven_at is not None), None)
    standing = Standing(
        plan=plan,
        level="ok",
        at=now,
        newest=newest,
        proven=proven,
        stored_bytes=None if newest is None else _stored_bytes(newest),
        usual_bytes=int(statistics.median(seen.earlier_bytes)) if len(seen.earlier_bytes) >= ENOUGH_EARLIER else None,
        copies=tuple(_held(newest, store, seen) for store in seen.stores),
        rpo=rpo,
        grace=grace,
        problems=(),
    )
    problems = (
        *_of_stores(seen),
        *_of_objective(standing, seen),
        *_of_proof(standing, seen),
        *_of_clock(seen, plan),
        *_of_copies(standing),
        *_of_size(standing),
    )
    return standing.model_copy(update={"problems": problems, "level": worst(problem.level for problem in problems)})


def worst(levels: Iterable[Level]) -> Level:
    """The worst of some levels; ``ok`` where there are none."""
    return max(levels, key=LEVELS.index, default="ok")


def _stored_bytes(backup: Backup) -> int | None:
    return next((copy.stored_bytes for copy in backup.copies if copy.stored_bytes is not None), None)


def _held(backup: Backup | None, store: str, seen: Seen) -> CopyHeld:
    if store in seen.unreachable:
        return CopyHeld(store=store, state="unknown")
    copies = () if backup is None else backup.copies
    copy = next((each for each in copies if each.store == store), None)
    return CopyHeld(store=store, state="missing" if copy is None else _state(copy))


def _state(copy: Copy) -> CopyState:
    if not (copy.archive and copy.manifest):
        return "incomplete"
    return "failed" if copy.verdict == "failed" else "good"


def _of_stores(seen: Seen) -> Iterator[Problem]:
    for store, error in seen.unreachable.items():
        found = f"store {store} could not be asked: {error.fact}"
        yield Problem(kind="store", level="degraded", found=found, remedy=error.remedy)
    if seen.unread is not None:
        found = f"not all that tells of proofs could be read: {seen.unread.fact}"
        yield Problem(kind="store", level="degraded", found=found, remedy=seen.unread.remedy)


def _of_objective(standing: Standing, seen: Seen) -> Iterator[Problem]:
    if len(seen.unreachable) == len(seen.stores) or (seen.unread is not None and standing.newest is not None):
        return  # nothing is known, or not enough
    plan, limit = standing.plan, f"its objective is {in_words(standing.rpo)}"
    but = f", in the stores that answer ({', '.join(seen.unreachable)} did not)" if seen.unreachable else ""
    if standing.newest is None:
        found, remedy = f"no backup of {plan} was ever taken{but}", f"`backproof backup {plan}` takes one."
    elif standing.proven_age is None:
        found, remedy = f"no backup of {plan} is proven{but}", f"`backproof verify {plan}` proves the newest."
    elif standing.proven_age > standing.rpo:
        age = in_words(standing.proven_age)
        found = f"the newest proven backup of {plan} is {age} old{but}, and {limit}"
        remedy = f"Look at the last runs of {plan}-backup, or take one now: `backproof backup {plan}`."
        if standing.kept:
            yield Problem(kind="rpo", level="warning", found=found, remedy=remedy)
            return
    else:
        return
    yield Problem(kind="rpo", level="failed", found=found, remedy=remedy)


def _of_proof(standing: Standing, seen: Seen) -> Iterator[Problem]:
    newest, plan, age = standing.newest, standing.plan, standing.newest_age
    if newest is None or age is None or newest.proven_at is not None or seen.unread is not None:
        return
    if newest.failed_at is not None:
        yield Problem(
            kind="proof",
            level="failed",
            found=f"the newest backup of {plan}, {newest.id}, did not come back as it was: its proof failed",
            remedy=f"`backproof show {plan} {newest.id}` says what differs.",
        )
    elif standing.proven is None:
        return  # said already
    elif age > standing.grace:
        why = "; its proof is signed by no key this fleet trusts" if newest.distrusted_at is not None else ""
        yield Problem(
            kind="proof",
            level="failed",
            found=f"the newest backup of {plan}, {newest.id}, is {in_words(age)} old and not proven{why}",
            remedy=f"`backproof verify {plan}` proves it.",
        )
    else:
        yield Problem(
            kind="proof",
            level="warning",
            found=f"the newest backup of {plan}, {newest.id}, is not proven yet",
            remedy=f"It is given {in_words(standing.grace)} for that.",
        )


def _of_clock(seen: Seen, plan: str) -> Iterator[Problem]:
    if seen.ahead:
        more = f" and {len(seen.ahead) - 1} more" if len(seen.ahead) > 1 else ""
        found = f"{seen.ahead[0]}{more} of {plan} would be from the future, and does not count"
        yield Problem(
            kind="clock", level="failed", found=found, remedy="Set the clock of this machine, or of the database's."
        )


def _of_copies(standing: Standing) -> Iterator[Problem]:
    newest, age, plan = standing.newest, standing.newest_age, standing.plan
    if newest is None or age is None:
        return
    for copy in standing.copies:
        if copy.state in ("missing", "incomplete"):
            level: Level = "degraded" if age > standing.grace else "warning"
            found = f"store {copy.store} lacks {newest.id} of {plan}"
            yield Problem(
                kind="copy", level=level, found=found, remedy=f"`backproof replicate {plan}` brings it there."
            )
        elif copy.state == "failed" and newest.proven_at is not None:
            found = f"the copy of {newest.id} of {plan} in store {copy.store} failed its proof"
            yield Problem(kind="copy", level="degraded", found=found, remedy="Another copy is good: replace this one.")


def _of_size(standing: Standing) -> Iterator[Problem]:
    size, usual = standing.stored_bytes, standing.usual_bytes
    if size is None or not usual or _FEWER_THAN_USUAL <= size / usual <= _MORE_THAN_USUAL:
        return
    found = f"the newest backup of {standing.plan} has {size:,} bytes, where {usual:,} are usual"
    yield Problem(kind="size", level="warning", found=found, remedy="Find out what came to the database, or left it.")


def in_words(span: timedelta) -> str:
    """A span for a person, to the minute: ``26 h``, ``3 d 4 h``, ``40 min``."""
    minutes = int(span.total_seconds()) // 60
    days, hours = divmod(minutes // 60, 24)
    if days >= 2:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    return f"{minutes} min"
