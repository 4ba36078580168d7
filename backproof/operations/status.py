"""Status: how every plan stands, from the stores alone."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

from backproof import catalog
from backproof.errors import BackproofError, Transient
from backproof.fleet import Fleet
from backproof.fleet.timetable import next_times, of_plan
from backproof.holdings import Held, listed
from backproof.naming import ENCRYPTED, PLAIN
from backproof.objectives import CLOCK_SKEW, Seen, Standing, judge
from backproof.records import Backup, Record

_AT_ONCE = 8
"""Plans that are looked at at the same time."""

_EARLIER = 30
"""Backups before the newest that say which size is usual: a month of daily ones."""


class NextRun(Record):
    """What a plan's schedules start next."""

    kind: str
    at: datetime


class PlanStatus(Record):
    """How one plan stands, and what comes next."""

    standing: Standing
    next_run: NextRun | None
    """None: nothing is scheduled. Whether somebody has paused the schedule is not known here."""


def status(fleet: Fleet, plans: Sequence[str], now: datetime) -> list[PlanStatus]:
    """How plans stand. A store that can't be reached is a problem of theirs, and no error.

    Args:
        fleet: where the plans are found.
        plans: their names.
        now: the wall clock, aware UTC.
    """
    down: dict[str, BackproofError] = {}

    def one(plan: str) -> PlanStatus:
        spec = fleet.plan(plan)
        seen = _seen(fleet, plan, now, down)
        standing = judge(plan, seen, spec.objectives.rpo, spec.objectives.grace, now)
        return PlanStatus(standing=standing, next_run=next_run(fleet, plan, now))

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="status") as pool:
        return list(pool.map(one, plans))


def next_run(fleet: Fleet, plan: str, now: datetime) -> NextRun | None:
    """The next backup by a plan's schedules, in the fleet's time zone."""
    coming = [
        NextRun(kind=entry.kind, at=at)
        for entry in of_plan(fleet.spec, plan)
        for at in next_times([entry.cron], fleet.spec.timezone, now, 1)
    ]
    return min(coming, key=lambda run: run.at, default=None)


def _seen(fleet: Fleet, plan: str, now: datetime, down: dict[str, BackproofError]) -> Seen:
    """What a plan's stores show. One that did not answer for one is not asked for the next: asking takes long."""
    stores = fleet.plan(plan).stores
    held = listed(fleet, plan, [store for store in stores if store not in down])
    down |= {store: error for store, error in held.unlisted.items() if isinstance(error, Transient)}
    unreachable = down | held.unlisted
    committed = sorted((each for each in held.found if each.committed), key=lambda each: each.taken_at, reverse=True)
    until = now + CLOCK_SKEW
    past = [each for each in committed if each.taken_at <= until]
    backups, unread = _newest(fleet, past)
    return Seen(
        backups=backups,
        earlier_bytes=tuple(size for size in map(_archive_bytes, past[1 : 1 + _EARLIER]) if size),
        ahead=tuple(each.id for each in committed if each.taken_at > until),
        stores=stores,
        unreachable={store: unreachable[store] for store in stores if store in unreachable},
        unread=unread,
    )


def _newest(fleet: Fleet, newest_first: Sequence[Held]) -> tuple[tuple[Backup, ...], BackproofError | None]:
    """The newest and, unless it is proven, the newest that is; and what could not be read before that was found.

    Of no other than the newest is anything read whose proofs do not say by their names that they passed.
    """
    found: list[Backup] = []
    unread: BackproofError | None = None
    for held in newest_first:
        if found and not held.said_to_pass:
            continue
        read = partial(catalog.read_backup, fleet, held.plan, held.taken_at, held.kind, held.places())
        try:
            backup = read(certain=True)
        except BackproofError as error:
            unread = unread or error
            if found:
                continue
            backup = read()
        if backup is not None and (not found or backup.proven_at is not None):
            found.append(backup)
        if backup is not None and backup.proven_at is not None:
            break
    return tuple(found), unread


def _archive_bytes(held: Held) -> int:
    return max((stored.length for _, part, stored in held.objects if part in (ENCRYPTED, PLAIN)), default=0)
