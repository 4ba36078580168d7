"""A quarter without a recovery test is told, once, from what the stores hold."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.recovery_test import naming
from backproof.recovery_test.due import A_QUARTER, TestDue, first_to_tell, look
from tests.support.fleets import PLAN, fleet_of
from tests.support.histories import NOWHERE
from tests.support.recovery_tests import recovery_test

TUESDAY = datetime(2026, 1, 6, 9, tzinfo=UTC)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return fleet_of(NOWHERE, tmp_path)


def rehearsed(fleet: Fleet, at: datetime, verdict: str = "passed", signer: Fleet | None = None) -> str:
    made = recovery_test(plan=PLAN, test=naming.test_id(at), started_at=at, ended_at=at, verdict=verdict)
    name = naming.TestName(PLAN, made.test, naming.REPORT_JSON)
    fleet.store("far").put(naming.key(name), [(signer or fleet).signer.sign(made)])
    return made.test


def found(fleet: Fleet, now: datetime) -> TestDue:
    seen = look(fleet, PLAN, now)
    assert seen is not None
    return seen


def test_from_one_first_tuesday_to_the_next_no_plan_is_overdue(fleet: Fleet) -> None:
    test = rehearsed(fleet, TUESDAY)
    seen = found(fleet, TUESDAY + timedelta(days=98))
    assert (seen.last, seen.overdue) == (test, False)
    seen = found(fleet, TUESDAY + A_QUARTER)
    assert seen.overdue
    assert test in seen.sentence
    assert "2026-04-16 09:00" in seen.sentence
    assert f"backproof recovery-test {PLAN}" in seen.remedy


def test_a_failed_test_was_a_test_and_an_incomplete_one_was_none(fleet: Fleet) -> None:
    failed = rehearsed(fleet, TUESDAY, "failed")
    rehearsed(fleet, TUESDAY + timedelta(days=91), "incomplete")
    seen = found(fleet, TUESDAY + timedelta(days=101))
    assert (seen.last, seen.verdict, seen.overdue) == (failed, "failed", True)


def test_many_incomplete_ones_hide_neither_the_last_that_counts_nor_that_there_was_none(fleet: Fleet) -> None:
    for day in range(10, 20):
        rehearsed(fleet, TUESDAY + timedelta(days=day), "incomplete")
    seen = found(fleet, TUESDAY + timedelta(days=111))
    assert (seen.last, seen.due_at, seen.overdue) == (None, TUESDAY + timedelta(days=10) + A_QUARTER, True)
    passed = rehearsed(fleet, TUESDAY + timedelta(days=5))
    assert found(fleet, TUESDAY + timedelta(days=111)).last == passed


def test_a_test_that_would_be_from_the_future_hides_no_missed_quarter(fleet: Fleet) -> None:
    rehearsed(fleet, TUESDAY)
    rehearsed(fleet, TUESDAY + timedelta(days=3650))
    seen = found(fleet, TUESDAY + timedelta(days=101))
    assert (seen.overdue, seen.last_at) == (True, TUESDAY)


def test_a_report_that_nobody_trusted_has_signed_is_no_test(fleet: Fleet, tmp_path: Path) -> None:
    rehearsed(fleet, TUESDAY)
    rehearsed(fleet, TUESDAY + timedelta(days=91), signer=fleet_of(NOWHERE, tmp_path))
    assert found(fleet, TUESDAY + timedelta(days=101)).overdue


def test_a_plan_that_was_never_tested_is_given_a_quarter_from_the_first_look_on(fleet: Fleet) -> None:
    for days, overdue in ((0, False), (1, False), (99, False), (100, True), (200, True)):
        seen = found(fleet, TUESDAY + timedelta(days=days))
        assert (seen.last, seen.due_at, seen.overdue) == (None, TUESDAY + A_QUARTER, overdue)
    assert "no recovery test has come to an end" in seen.sentence
    rehearsed(fleet, TUESDAY + timedelta(days=150))
    assert not found(fleet, TUESDAY + timedelta(days=200)).overdue


def test_it_is_told_once_and_again_only_of_the_next_quarter_that_passes(fleet: Fleet, tmp_path: Path) -> None:
    rehearsed(fleet, TUESDAY)
    late = TUESDAY + timedelta(days=101)
    assert first_to_tell(fleet, found(fleet, late), late)
    assert not first_to_tell(fleet, found(fleet, late + timedelta(days=1)), late + timedelta(days=1))
    (tmp_path / "near").rename(tmp_path / "gone")
    assert first_to_tell(fleet, found(fleet, late), late), "better twice than never"
    rehearsed(fleet, late)
    later = late + timedelta(days=101)
    assert first_to_tell(fleet, found(fleet, later), later)


def test_a_store_that_does_not_answer_may_hold_the_test_that_is_missed(fleet: Fleet, tmp_path: Path) -> None:
    rehearsed(fleet, TUESDAY)
    (tmp_path / "near").mkdir(exist_ok=True)
    (tmp_path / "near").rename(tmp_path / "gone")
    (tmp_path / "near").write_text("no folder")
    assert not found(fleet, TUESDAY + timedelta(days=50)).overdue
    with pytest.raises(BackproofError):
        look(fleet, PLAN, TUESDAY + timedelta(days=101))


def test_where_no_test_is_scheduled_none_is_missed(tmp_path: Path) -> None:
    fleet = fleet_of(NOWHERE, tmp_path, schedules={"recovery_test": []})
    assert look(fleet, PLAN, TUESDAY) is None
