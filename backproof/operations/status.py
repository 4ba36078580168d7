"""Status: how every plan stands, from the stores alone."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.fleet.timetable import next_times, of_plan
from backproof.objectives import Standing, judge
from backproof.operations.stand import seen
from backproof.records import Record

_AT_ONCE = 8
"""Plans that are looked at at the same time."""


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
        standing = judge(plan, seen(fleet, plan, now, down), spec.objectives.rpo, spec.objectives.grace, now)
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
