"""How a plan stands with its recovery tests, for whoever looks at it: read from the stores, and nothing is written."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from backproof.fleet import Fleet
from backproof.records import Record
from backproof.recovery.measured import past_tests
from backproof.recovery_test.record import RecoveryTest, TestVerdict

_AT_ONCE = 8
"""Plans that are looked at at the same time."""
_IN_A_QUARTER = 100
"""Tests of one quarter that are looked at, where the newest says nothing."""


class LastTest(Record):
    """The newest recovery test of a plan."""

    test: str
    at: datetime
    verdict: TestVerdict


class TestStanding(Record):
    """What there is of a plan's recovery tests."""

    __test__ = False  # pytest collects what is called Test…

    last: LastTest | None
    """None: there is none in the stores that were asked."""
    this_quarter: bool | None
    """Whether one of this quarter, by UTC, passed or failed: an incomplete one is none. None: not known, since a store
    could not be asked."""
    scheduled: bool


def quarter_of(now: datetime) -> datetime:
    """When the quarter of a moment began, in UTC."""
    at = now.astimezone(UTC)
    return datetime(at.year, (at.month - 1) // 3 * 3 + 1, 1, tzinfo=UTC)


def standings(fleet: Fleet, plans: Mapping[str, Sequence[str]], now: datetime) -> dict[str, TestStanding]:
    """How plans stand with their recovery tests.

    Args:
        fleet: where the plans are found.
        plans: their names, and the stores of each that do not answer, as is known already.
        now: the wall clock, aware UTC.
    """
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="tests") as pool:
        return dict(zip(plans, pool.map(lambda plan: standing(fleet, plan, now, plans[plan]), plans), strict=True))


def standing(fleet: Fleet, plan: str, now: datetime, silent: Sequence[str] = ()) -> TestStanding:
    """How a plan stands with its recovery tests.

    Args:
        fleet: where the plan and its stores are found.
        plan: its name.
        now: the wall clock, aware UTC.
        silent: stores that do not answer, as is known already.
    """
    its = fleet.plan(plan)
    asked = [store for store in its.stores if store not in silent]
    found = past_tests(fleet, plan, asked, 1)
    newest = found[-1] if found else None
    if newest is not None and newest.verdict == "incomplete":
        found = past_tests(fleet, plan, asked, _IN_A_QUARTER)
    counted = any(_counts(each, quarter_of(now), now) for each in found)
    return TestStanding(
        last=LastTest(test=newest.test, at=newest.started_at, verdict=newest.verdict) if newest else None,
        this_quarter=True if counted else None if silent else False,
        scheduled=bool(its.schedules.recovery_test),
    )


def _counts(test: RecoveryTest, since: datetime, now: datetime) -> bool:
    return test.verdict != "incomplete" and since <= test.started_at <= now
