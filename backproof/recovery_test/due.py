"""Does a quarter pass without a recovery test? Judged from the stores; said once, and not again each day.

What was said lies beside the tests, so that it is not said twice, whoever looks and whatever was restarted meanwhile. A
plan without any test is given the same time, from the first look on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from backproof import catalog
from backproof.alarms import moment
from backproof.errors import AlreadyExists, BackproofError
from backproof.fleet import Fleet
from backproof.objectives import CLOCK_SKEW
from backproof.records import Record
from backproof.recovery.measured import past_tests
from backproof.recovery_test import naming
from backproof.recovery_test.naming import OVERDUE, WATCHED, TestName
from backproof.recovery_test.record import RecoveryTest

A_QUARTER = timedelta(days=100)
"""Between first Tuesdays of two quarters lie 98 days at most; and two days to come to it."""

_LOOKED_BACK = 6
_ALL = 1_000


class Looked(Record):
    """What was seen of a plan's recovery tests. Signed."""

    format: Literal[1] = 1
    plan: str
    what: Literal["watched", "overdue"]
    """``watched``: from then on; ``overdue``: that was told."""
    due_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class TestDue:
    """How a plan stands with its recovery tests."""

    __test__ = False  # pytest collects what is called Test…

    plan: str
    last: str | None
    """The newest test that counts: one that passed or failed. An incomplete one is none."""
    last_at: datetime | None
    verdict: str | None
    due_at: datetime
    """When one must have been."""
    overdue: bool

    @property
    def sentence(self) -> str:
        """What is so."""
        if self.last_at is None:
            return f"{self.plan}: no recovery test has come to an end; one was due by {moment(self.due_at)}"
        return (
            f"{self.plan}: the last recovery test, {self.last}, {self.verdict} at {moment(self.last_at)}; the next was "
            f"due by {moment(self.due_at)}"
        )

    @property
    def remedy(self) -> str:
        """What to do."""
        return f"Rehearse now: backproof recovery-test {self.plan}. Its schedule is shown by backproof schedule."


def look(fleet: Fleet, plan: str, now: datetime) -> TestDue | None:
    """How a plan stands with its recovery tests; None: none is scheduled.

    Writes nothing but, at the first look at a plan that was never tested, since when it is watched.

    Args:
        fleet: where the plan and its stores are found.
        plan: its name.
        now: aware UTC.

    Raises:
        BackproofError: not every store could be asked, and those that could have no test in time.
    """
    if not fleet.plan(plan).schedules.recovery_test:
        return None
    stores = fleet.plan(plan).stores
    last, first = _last_that_counts(fleet, plan, stores, now)
    since = last.started_at if last else first.started_at if first else _watched_since(fleet, plan, now)
    due_at = since + A_QUARTER
    if now >= due_at:
        _require_all(fleet, plan)
    return TestDue(
        plan=plan,
        last=last.test if last else None,
        last_at=last.started_at if last else None,
        verdict=last.verdict if last else None,
        due_at=due_at,
        overdue=now >= due_at,
    )


def _last_that_counts(
    fleet: Fleet, plan: str, stores: Sequence[str], now: datetime
) -> tuple[RecoveryTest | None, RecoveryTest | None]:
    """The newest that does; and the first of those looked at, all of them where none of the newest does.

    None counts that would be from the future: nothing is known of when it was.
    """
    for most in (_LOOKED_BACK, _ALL):
        tests = past_tests(fleet, plan, stores, most)
        past = [each for each in tests if each.started_at <= now + CLOCK_SKEW]
        counting = [each for each in past if each.verdict != "incomplete"]
        if counting or len(tests) < most:
            break
    return counting[-1] if counting else None, past[0] if past else None


def first_to_tell(fleet: Fleet, found: TestDue, now: datetime) -> bool:
    """Whether nobody has told of it yet; from now on somebody has.

    Raises:
        BackproofError: no store took it.
    """
    name = TestName(found.plan, naming.test_id(found.due_at), OVERDUE)
    if any(_there(fleet, store, name) for store in fleet.plan(found.plan).stores):
        return False
    return _write(fleet, name, Looked(plan=found.plan, what="overdue", due_at=found.due_at, at=now))


def _watched_since(fleet: Fleet, plan: str, now: datetime) -> datetime:
    marks: set[datetime] = set()
    for store in fleet.stores(plan):
        for stored in store.list(naming.prefix(plan)):
            name = naming.parse(stored.key)
            if name is not None and name.part == WATCHED:
                seen = fleet.signer.verify(catalog.document(store, stored.key), Looked)
                marks.update([seen.at] if (seen.plan, seen.what) == (plan, "watched") else [])
    if marks:
        return min(marks)
    name = TestName(plan, naming.test_id(now), WATCHED)
    _write(fleet, name, Looked(plan=plan, what="watched", due_at=now + A_QUARTER, at=now))
    return now


def _require_all(fleet: Fleet, plan: str) -> None:
    """A store that does not answer may hold the test that is missed."""
    for store in fleet.stores(plan):
        next(iter(store.list(naming.prefix(plan))), None)


def _there(fleet: Fleet, store: str, name: TestName) -> bool:
    try:
        return fleet.store(store).head(naming.key(name)) is not None
    except BackproofError:
        return False


def _write(fleet: Fleet, name: TestName, seen: Looked) -> bool:
    """Into the first store that takes it; False where it was there."""
    refused: list[BackproofError] = []
    for store in fleet.stores(name.plan):
        try:
            store.put(naming.key(name), [fleet.signer.sign(seen)])
        except AlreadyExists:
            return False
        except BackproofError as error:
            refused.append(error)
        else:
            return True
    raise refused[0]
