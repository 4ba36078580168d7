"""What the stores of a plan tell of the past: how long restorations took, and what a disaster would have lost."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from backproof.fleet import Fleet
from backproof.measures import Measure
from backproof.naming import Name, ProofPart, key
from backproof.records import Proof, Timing
from backproof.recovery_test import naming
from backproof.recovery_test.history import Span, ages, data_loss, measures
from backproof.recovery_test.record import RecoveryTest
from tests.support.fleets import PLAN, fleet_of
from tests.support.histories import NOWHERE, days_ago, prove, put
from tests.support.recovery_tests import recovery_test

NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)
A_DAY = 86_400.0
QUARTER = timedelta(days=91)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return fleet_of(NOWHERE, tmp_path)


def daily(fleet: Fleet, ages: Sequence[float], **more: object) -> list[Name]:
    return [put(fleet, days_ago(age), **more) for age in ages]


def timed(fleet: Fleet, name: Name, seconds: float, signer: Fleet | None = None, hours: float = 1) -> None:
    """A proof that passed, its phases measured."""
    at = name.taken_at + timedelta(hours=hours)
    phases = {
        "check the copy": 2.0,
        "start a scratch server": 50.0,
        "restore": seconds,
        "dump again": 70.0,
        "checks": 1,
    }
    proof = Proof(
        plan=PLAN,
        backup=name.id,
        store="far",
        verdict="passed",
        reason="a test",
        started_at=at,
        finished_at=at,
        stored_sha256="0" * 64,
        backproof_version="0",
        proven_on="scratch",
        server_version="16.14",
        timings=tuple(Timing(phase=phase, started_at=at, elapsed_seconds=took) for phase, took in phases.items()),
    )
    document = (signer or fleet).signer.sign(proof)
    for store in ("near", "far"):
        fleet.store(store).put(key(name.with_part(ProofPart(at, "passed"))), [document])


def report(at: datetime, seconds: float | None, history: tuple[Measure, ...] = (), plan: str = PLAN) -> RecoveryTest:
    return recovery_test(
        plan=plan, test=naming.test_id(at), started_at=at, ended_at=at, recovery_seconds=seconds, history=history
    )


def publish(fleet: Fleet, made: RecoveryTest, under: str = "", signer: Fleet | None = None) -> None:
    name = naming.TestName(PLAN, under or made.test, naming.REPORT_JSON)
    fleet.store("far").put(naming.key(name), [(signer or fleet).signer.sign(made)])


def test_of_a_verification_counts_what_a_recovery_takes_as_well(fleet: Fleet) -> None:
    name = put(fleet, days_ago(3), proven=False)
    timed(fleet, name, 100.0)
    [found] = measures(fleet, PLAN, now())
    assert (found.kind, found.seconds, found.at) == ("verification", 103.0, name.taken_at)


def test_a_proof_that_nobody_trusted_has_signed_is_no_measure(fleet: Fleet, tmp_path: Path) -> None:
    stranger = fleet_of(NOWHERE, tmp_path)
    timed(fleet, put(fleet, days_ago(3), proven=False), 100.0, signer=stranger)
    publish(fleet, report(NOON, 600.0), signer=stranger)
    assert measures(fleet, PLAN, now()) == ()


def test_recovery_tests_count_and_the_newest_remembers_what_is_gone(fleet: Fleet) -> None:
    gone = Measure(at=NOON - timedelta(days=200), kind="verification", live_bytes=3, seconds=5.0)
    publish(fleet, report(NOON - QUARTER, 500.0))
    publish(fleet, report(NOON, 600.0, (gone,)))
    publish(fleet, report(NOON + timedelta(days=1), None))
    found = measures(fleet, PLAN, NOON + timedelta(hours=1))
    assert [(each.kind, each.seconds) for each in found] == [("recovery test", 500.0), ("recovery test", 600.0)]
    publish(fleet, report(NOON + timedelta(days=2), None, (gone,)))
    found = measures(fleet, PLAN, now())
    assert [each.seconds for each in found] == [5.0, 500.0, 600.0], "one that did not come to its end measured nothing"


def test_a_report_that_lies_elsewhere_than_it_says_is_none(fleet: Fleet) -> None:
    publish(fleet, report(NOON, 600.0), under=naming.test_id(NOON + timedelta(days=1)))
    publish(fleet, report(NOON + timedelta(days=2), 600.0, plan="other"))
    assert measures(fleet, PLAN, now()) == ()


def test_of_many_verifications_some_are_read_spread_over_time(fleet: Fleet) -> None:
    for number in range(30):
        timed(fleet, put(fleet, days_ago(60 - 2 * number), proven=False, stores=["near"]), 100.0 + number)
    found = [each.seconds - 103 for each in measures(fleet, PLAN, now())]
    assert len(found) == 12
    assert (found[0], found[-1]) == (0, 29)
    assert max(later - earlier for earlier, later in pairwise(found)) <= 4


def test_ages_over_a_day_of_a_daily_backup() -> None:
    spans = [Span(NOON + timedelta(days=day), NOON + timedelta(days=day, hours=1)) for day in range(5)]
    maximum, typical = ages(spans, NOON + timedelta(hours=1), NOON + timedelta(days=4, hours=1))
    assert maximum == pytest.approx(25 * 3600)
    assert typical == pytest.approx(13 * 3600)


def test_a_backup_that_failed_its_proof_later_counts_until_then() -> None:
    spans = [Span(NOON, NOON), Span(NOON + timedelta(days=1), NOON + timedelta(days=1), NOON + timedelta(days=2))]
    maximum, _ = ages(spans, NOON, NOON + timedelta(days=3))
    assert maximum == pytest.approx(3 * A_DAY)


def test_a_time_without_any_proven_backup_has_no_maximum() -> None:
    spans = [Span(NOON + timedelta(days=1), NOON + timedelta(days=1))]
    assert ages(spans, NOON, NOON + timedelta(days=4)) == (None, pytest.approx(2 * A_DAY))
    assert ages(spans, NOON, NOON + timedelta(days=1, hours=3)) == (None, None)
    assert ages([], NOON, NOON + timedelta(days=1)) == (None, None)


def test_what_retention_has_deleted_falsifies_nothing(fleet: Fleet) -> None:
    """Daily ones are gone after 30 days; a monthly one of two months ago is left, and is no proof of a gap."""
    daily(fleet, [29, 28, 27, 26])
    daily(fleet, range(26))
    put(fleet, days_ago(60), kind="monthly")
    found = data_loss(fleet, PLAN, now() - QUARTER, now())
    assert found.maximum_seconds == pytest.approx(25 * 3600, abs=300)
    assert found.typical_seconds == pytest.approx(13 * 3600, abs=3600)
    assert now() - found.since == pytest.approx(timedelta(days=29), abs=timedelta(hours=2)), "where knowledge begins"
    assert found.objective_seconds == A_DAY


def test_a_gap_in_the_daily_backups_is_found(fleet: Fleet) -> None:
    daily(fleet, [20, 19, 18, 10, 9, 1, 0.5])
    daily(fleet, [15, 14], proven=False)
    found = data_loss(fleet, PLAN, now() - QUARTER, now())
    assert found.maximum_seconds == pytest.approx(8 * A_DAY + 3600, abs=300)


def test_backups_that_stopped_long_ago_are_not_forgotten(fleet: Fleet) -> None:
    """Retention keeps the newest proven ones whatever their age."""
    daily(fleet, [51, 50])
    found = data_loss(fleet, PLAN, now() - QUARTER, now())
    assert found.maximum_seconds == pytest.approx(50 * A_DAY, abs=300)


def test_a_plan_that_is_new_begins_with_its_first_backup(tmp_path: Path) -> None:
    fleet = fleet_of(NOWHERE, tmp_path, retention={"daily": "1y"})
    put(fleet, days_ago(10), proven=False)
    daily(fleet, [8, 7, 6, 5, 4, 3, 2, 1])
    found = data_loss(fleet, PLAN, now() - QUARTER, now())
    assert now() - found.since == pytest.approx(timedelta(days=10), abs=timedelta(minutes=5))
    assert found.maximum_seconds is None, "for two days there was no proven backup"
    assert found.typical_seconds is not None


def test_a_forged_proof_proves_nothing_here_either(fleet: Fleet, tmp_path: Path) -> None:
    daily(fleet, [3], proven=False)
    prove(fleet, put(fleet, days_ago(2), proven=False), "passed", signer=fleet_of(NOWHERE, tmp_path))
    assert data_loss(fleet, PLAN, now() - QUARTER, now()).typical_seconds is None


def test_a_safety_backup_is_nobodys_recovery_point(fleet: Fleet) -> None:
    daily(fleet, [3])
    put(fleet, days_ago(1), kind="safety")
    found = data_loss(fleet, PLAN, now() - QUARTER, now())
    assert found.maximum_seconds == pytest.approx(3 * A_DAY, abs=300)
