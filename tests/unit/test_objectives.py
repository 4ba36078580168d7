"""Whether a plan is as safe as it promises: judged from what its stores show, at a moment that is given."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backproof.errors import AccessDenied, BackproofError, StoreUnavailable
from backproof.objectives import Seen, Standing, in_words, judge, worst
from backproof.records import Backup, Copy

NOW = datetime(2025, 11, 7, 12, tzinfo=UTC)
RPO, GRACE = timedelta(hours=24), timedelta(hours=2)
HOUR = timedelta(hours=1)
DOWN = StoreUnavailable("s3://far did not answer", "Look at the connection.")


def backup(hours: float, proven: bool = True, stores: tuple[str, ...] = ("near", "far"), **more: Any) -> Backup:
    """Taken so many hours ago."""
    taken_at = NOW - hours * HOUR
    copies = tuple(Copy(store=store, archive=True, manifest=True, stored_bytes=1000) for store in stores)
    values = {"copies": copies, "proven_at": taken_at + HOUR / 10 if proven else None, **more}
    return Backup(plan="shop", id=f"backup_{taken_at:%Y-%m-%d_%H%M%S}", kind="daily", taken_at=taken_at, **values)


def standing(
    *backups: Backup,
    earlier: tuple[int, ...] = (),
    ahead: tuple[str, ...] = (),
    unreachable: Mapping[str, BackproofError] | None = None,
    unread: BackproofError | None = None,
) -> Standing:
    seen = Seen(backups, earlier, ahead, ("near", "far"), unreachable or {}, unread)
    return judge("shop", seen, RPO, GRACE, NOW)


def problems(found: Standing) -> list[tuple[str, str]]:
    return [(problem.kind, problem.level) for problem in found.problems]


def test_a_proven_backup_within_the_objective_in_every_store_is_well() -> None:
    found = standing(backup(9), earlier=(900, 1000, 1100))
    assert (found.level, found.problems, found.kept) == ("ok", (), True)
    assert (found.newest_age, found.proven_age) == (9 * HOUR, 9 * HOUR)
    assert (found.stored_bytes, found.usual_bytes) == (1000, 1000)
    assert [copy.state for copy in found.copies] == ["good", "good"]


@pytest.mark.parametrize(
    ("age", "level", "kept"),
    [
        (RPO, "ok", True),
        (RPO + timedelta(seconds=1), "warning", True),
        (RPO + GRACE, "warning", True),
        (RPO + GRACE + timedelta(seconds=1), "failed", False),
    ],
)
def test_age_counts_from_the_snapshot_and_the_alarm_waits_for_the_grace(age: timedelta, level: str, kept: bool) -> None:
    # proven a moment ago: of no help to what was written since the snapshot
    found = standing(backup(age / HOUR, proven_at=NOW))
    assert (found.level, found.kept) == (level, kept)


def test_a_plan_that_never_backed_up_fails() -> None:
    found = standing()
    assert problems(found) == [("rpo", "failed")]
    assert found.problems[0].remedy == "`backproof backup shop` takes one."
    assert (found.newest, found.proven, found.newest_age, found.kept) == (None, None, None, False)


def test_a_plan_none_of_whose_backups_is_proven_fails() -> None:
    assert problems(standing(backup(1, proven=False))) == [("rpo", "failed")]


def test_the_newest_may_wait_for_its_proof_as_long_as_the_grace() -> None:
    assert problems(standing(backup(1, proven=False), backup(20))) == [("proof", "warning")]
    assert problems(standing(backup(2.1, proven=False), backup(20))) == [("proof", "failed")]


def test_a_newest_backup_that_failed_its_proof_fails_at_once() -> None:
    found = standing(backup(0.1, proven=False, failed_at=NOW), backup(20))
    assert problems(found) == [("proof", "failed")]
    assert found.kept


def test_a_proof_that_nobody_trusted_signed_is_none_and_is_said() -> None:
    found = standing(backup(5, proven=False, distrusted_at=NOW), backup(20))
    assert problems(found) == [("proof", "failed")]
    assert "signed by no key this fleet trusts" in found.problems[0].found


def test_a_store_that_does_not_answer_is_a_problem_of_its_own() -> None:
    found = standing(backup(9, stores=("near",)), unreachable={"far": DOWN})
    assert problems(found) == [("store", "degraded")]
    assert [copy.state for copy in found.copies] == ["good", "unknown"]


def test_where_no_store_answers_nothing_is_said_of_the_backups() -> None:
    assert problems(standing(unreachable={"near": DOWN, "far": DOWN})) == [("store", "degraded")] * 2


def test_where_one_does_not_answer_the_others_word_counts_and_says_so() -> None:
    found = standing(backup(30, stores=("near",)), unreachable={"far": DOWN})
    assert problems(found) == [("store", "degraded"), ("rpo", "failed")]
    assert "in the stores that answer (far did not)" in found.problems[1].found


def test_what_can_t_be_read_is_no_broken_promise() -> None:
    denied = AccessDenied("s3://far/shop/daily/… may not be read", "The role needs s3:GetObject.")
    assert problems(standing(backup(9, proven=False), unread=denied)) == [("store", "degraded")]
    assert problems(standing(unread=denied)) == [("store", "degraded"), ("rpo", "failed")]


def test_a_copy_that_is_missing_is_told_and_degrades_after_the_grace() -> None:
    assert problems(standing(backup(1, stores=("near",)))) == [("copy", "warning")]
    assert problems(standing(backup(9, stores=("near",)))) == [("copy", "degraded")]


def test_a_copy_that_failed_degrades_a_backup_that_another_copy_proves() -> None:
    bad = Copy(store="far", archive=True, manifest=True, stored_bytes=1000, verdict="failed")
    good = Copy(store="near", archive=True, manifest=True, stored_bytes=1000, verdict="passed")
    found = standing(backup(1, copies=(good, bad), failed_at=NOW))
    assert problems(found) == [("copy", "degraded")]


def test_an_archive_without_its_manifest_is_no_copy() -> None:
    half = Copy(store="far", archive=True, manifest=False, stored_bytes=1000)
    good = Copy(store="near", archive=True, manifest=True, stored_bytes=1000)
    assert [copy.state for copy in standing(backup(9, copies=(good, half))).copies] == ["good", "incomplete"]


def test_a_backup_from_the_future_keeps_no_promise() -> None:
    found = standing(backup(9), ahead=("backup_2030-01-01_000000", "backup_2031-01-01_000000"))
    assert problems(found) == [("clock", "failed")]
    assert "backup_2030-01-01_000000 and 1 more of shop" in found.problems[0].found


def test_a_snapshot_by_a_clock_a_little_ahead_is_new() -> None:
    assert standing(backup(-0.5)).newest_age == timedelta()


@pytest.mark.parametrize(
    ("earlier", "usual", "said"),
    [
        ((10_000, 10_000), None, []),
        ((1500, 10_000, 1400), 1500, []),
        ((2001, 2001, 9), 2001, [("size", "warning")]),
        ((499, 499, 10**9), 499, [("size", "warning")]),
        ((2000, 500, 2000, 500), 1250, []),
    ],
)
def test_a_size_is_held_against_the_median_of_those_before(
    earlier: tuple[int, ...], usual: int | None, said: list[tuple[str, str]]
) -> None:
    found = standing(backup(1), earlier=earlier)
    assert (found.usual_bytes, problems(found)) == (usual, said)


@given(st.lists(st.sampled_from(["ok", "warning", "degraded", "failed"])))
def test_the_worst_level_is_the_one_that_is_said(levels: list[Any]) -> None:
    assert worst(levels) == next((each for each in ("failed", "degraded", "warning") if each in levels), "ok")


@given(
    hours=st.lists(st.floats(0, 100), max_size=2, unique=True),
    proven=st.booleans(),
    down=st.sets(st.sampled_from(["near", "far"])),
)
def test_whoever_fails_is_told_why_and_nobody_is_well_without_a_proven_backup(
    hours: list[float], proven: bool, down: set[str]
) -> None:
    ages = sorted(hours)
    backups = [backup(age, proven=proven and place == len(ages) - 1) for place, age in enumerate(ages)]
    found = standing(*backups, unreachable=dict.fromkeys(down, DOWN))
    assert found.level == worst(problem.level for problem in found.problems)
    assert all(problem.found and problem.remedy for problem in found.problems)
    if found.level == "ok":
        assert found.kept
    if len(down) < 2:
        assert found.kept or found.level == "failed"


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(), "0 min"),
        (timedelta(minutes=40, seconds=59), "40 min"),
        (timedelta(hours=26), "26 h"),
        (timedelta(hours=7, minutes=3), "7 h 3 min"),
        (timedelta(hours=48), "2 d"),
        (timedelta(days=3, hours=4, minutes=59), "3 d 4 h"),
    ],
)
def test_a_span_in_words(span: timedelta, words: str) -> None:
    assert in_words(span) == words
