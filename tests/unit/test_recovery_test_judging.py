"""How a recovery test is judged: what was not run is no pass, and every point that did not pass is somebody's to do."""

from datetime import UTC, datetime, timedelta

import pytest

from backproof.fleet.recovery_test_specs import RecoveryTestSpec
from backproof.fleet.specs import LevelSpec, RecoveryTimesSpec
from backproof.recovery_test import judging
from backproof.recovery_test.downloading import whose_turn
from backproof.recovery_test.production import differing, fingerprint
from backproof.recovery_test.record import CHECKLIST, ROLLBACK_CHECKLIST, Status, TestPoint

AT = datetime(2026, 1, 6, 9, tzinfo=UTC)
GB = 10**9


def points(*statuses: Status) -> list[TestPoint]:
    return [
        TestPoint(name=name, status=status, evidence="seen") for name, status in zip(CHECKLIST, statuses, strict=False)
    ]


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        (("pass", "pass"), "passed"),
        (("pass", "not run"), "incomplete"),
        (("not run", "not run"), "incomplete"),
        (("pass", "fail"), "failed"),
        (("not run", "fail", "pass"), "failed"),
        ((), "incomplete"),
    ],
)
def test_a_verdict_passes_only_where_every_point_does(statuses: tuple[Status, ...], verdict: str) -> None:
    assert judging.verdict(points(*statuses)) == verdict


@pytest.mark.parametrize(
    ("live_bytes", "size", "minutes"),
    [(0, "small", 30), (GB - 1, "small", 30), (GB, "medium", 60), (10 * GB, "medium", 60), (10 * GB + 1, "large", 180)],
)
def test_the_objective_goes_by_live_size(live_bytes: int, size: str, minutes: int) -> None:
    assert judging.size_class(live_bytes) == size
    point, objective = judging.recovery_time(minutes * 60, live_bytes, RecoveryTimesSpec(), "")
    assert (objective, point.status) == (timedelta(minutes=minutes), "pass")
    late, _ = judging.recovery_time(minutes * 60 + 1, live_bytes, RecoveryTimesSpec(), "")
    assert (late.status, size in late.evidence) == ("fail", True)


def test_a_recovery_without_an_end_has_no_time() -> None:
    point, _ = judging.recovery_time(None, GB, RecoveryTimesSpec(), "the restore failed")
    assert (point.status, "the restore failed" in point.evidence) == ("not run", True)


@pytest.mark.parametrize(
    ("critical", "production", "restored", "statuses"),
    [
        ({"orders": "0%"}, {"public.orders": 100}, {"public.orders": 100}, ["pass"]),
        ({"orders": "0%"}, {"public.orders": 100}, {"public.orders": 99}, ["fail"]),
        ({"orders": "2%"}, {"public.orders": 100}, {"public.orders": 98}, ["pass"]),
        ({"orders": "2%"}, {"public.orders": 100}, {"public.orders": 102}, ["pass"]),
        ({"orders": "2%"}, {"public.orders": 100}, {"public.orders": 103}, ["fail"]),
        ({"public.orders": "2%"}, {"public.orders": 100, "x.orders": 1}, {"public.orders": 100}, ["pass"]),
        ({"orders": "2%"}, {'public."orders"': 100}, {'public."orders"': 100}, ["pass"]),
        ({"orders": "2%"}, {"orders": 100}, {}, ["fail"]),
        ({"ordres": "2%"}, {"orders": 100}, {"orders": 100}, ["fail"]),
        ({}, {"a": 100, "b": 4}, {"a": 91, "b": 9}, ["pass", "pass"]),
        ({}, {"a": 1000, "b": 4}, {"a": 899, "b": 15}, ["fail", "fail"]),
        ({}, {"a": 5}, {}, ["fail"]),
        ({}, {"a": 5}, {"a": 0}, ["fail"]),
        ({}, {"a": 0}, {"a": 0, "new": 10_000}, ["pass"]),
        ({"orders": "0%"}, {"orders": 0}, {"orders": 0}, ["not run"]),
        ({"orders": "99%", "users": "0%"}, {"orders": 0, "users": 2}, {"orders": 0, "users": 2}, ["not run", "pass"]),
        ({"orders": "100%"}, {"orders": 0}, {"orders": 0}, ["pass"]),
        ({"orders": "100%"}, {"orders": 0}, {"orders": 7}, ["pass"]),
        ({"orders": "100%"}, {"orders": 7}, {"orders": 1}, ["pass"]),
        ({"orders": "100%"}, {"orders": 7}, {"orders": 14}, ["pass"]),
        ({"orders": "100%"}, {"orders": 7}, {"orders": 15}, ["fail"]),
        ({"orders": "99%"}, {"orders": 0}, {"orders": 7}, ["fail"]),
        ({"orders": "100%"}, {"orders": 7}, {"orders": 0}, ["fail"]),
        ({"orders": "100%"}, {"orders": 0}, {}, ["fail"]),
    ],
)
def test_rows_are_held_against_production_by_tolerance(
    critical: dict[str, str], production: dict[str, int], restored: dict[str, int], statuses: list[str]
) -> None:
    spec = RecoveryTestSpec.model_validate({"critical": critical})
    compared = judging.compare(production, restored, spec)
    assert [each.status for each in compared] == statuses
    assert bool(judging.off(compared)) == ("fail" in statuses)


@pytest.mark.parametrize(
    ("critical", "rows", "told"),
    [
        (
            {"jobs": "0%"},
            {"orders": 3, "jobs": 0},
            "jobs is empty, here and in production: there was nothing to compare",
        ),
        ({"jobs": "100%"}, {"orders": 3, "jobs": 0}, ""),
        ({}, {"orders": 3, "jobs": 0}, ""),
        ({}, {"orders": 0, "jobs": 0}, "no table has a row, here or in production: there was nothing to compare"),
    ],
)
def test_tables_without_rows_show_nothing_unless_the_plan_bears_it(
    critical: dict[str, str], rows: dict[str, int], told: str
) -> None:
    compared = judging.compare(rows, rows, RecoveryTestSpec.model_validate({"critical": critical}))
    assert (judging.off(compared), judging.shows_nothing(compared)) == ("", told)


def test_every_point_that_did_not_pass_is_an_issue_with_owner_and_day() -> None:
    both = [
        *points("pass", "fail"),
        TestPoint(name=ROLLBACK_CHECKLIST[0], status="not run", evidence="seen"),
    ]
    found = judging.issues(both, {CHECKLIST[1]: "Find the key."}, "Ada", AT, timedelta(days=14), taken=[3])
    assert [(each.id, each.remedy[:13], each.owner) for each in found] == [
        ("2026-01-4", "Find the key.", "Ada"),
        ("2026-01-5", "Take a backup", "Ada"),
    ]
    assert {each.due_at - each.found_at for each in found} == {timedelta(days=14)}


def test_every_point_has_a_remedy() -> None:
    every = [TestPoint(name=name, status="not run", evidence="") for name in (*CHECKLIST, *ROLLBACK_CHECKLIST)]
    every += [TestPoint(name="Other steps", status="fail", evidence="a copy could not be removed")]
    assert all(each.remedy for each in judging.issues(every, {}, "Ada", AT, timedelta(days=1)))


@pytest.mark.parametrize(
    ("said", "levels", "who"),
    [
        ("Ada", ("on call",), "Ada"),
        ("", ("on call", "her boss"), "on call"),
        ("", (), "nobody is named"),
    ],
)
def test_whoever_is_responsible_is_named(said: str, levels: tuple[str, ...], who: str) -> None:
    escalation = [LevelSpec(name=name, notify=("pager",)) for name in levels]
    assert judging.responsible(RecoveryTestSpec(responsible=said), escalation) == who


def test_regions_take_turns_by_quarter() -> None:
    quarters = [datetime(2026, month, 7, tzinfo=UTC) for month in (1, 4, 7, 10)]
    turns = [whose_turn(["west", "east"], at) for at in quarters]
    assert turns[0] != turns[1]
    assert turns == [turns[0], turns[1]] * 2
    assert whose_turn(["west", "east"], datetime(2026, 3, 31, tzinfo=UTC)) == turns[0]
    assert {whose_turn(["a", "b", "c"], at) for at in quarters} == {"a", "b", "c"}


def test_a_schema_is_known_by_its_definitions_in_any_order() -> None:
    one, other = {"TABLE a": "1", "TABLE b": "2"}, {"TABLE b": "2", "TABLE a": "1"}
    assert fingerprint(one) == fingerprint(other) != fingerprint({"TABLE a": "1"})
    found = list(differing(one, {"TABLE a": "9", "TABLE c": "3"}))
    assert found == [
        "TABLE a is another one",
        "TABLE b is missing",
        "TABLE c is there and production has none",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(3.84, "3.8 s"), (60, "1 min"), (125, "2 min 5 s"), (3600, "1 h"), (4320, "1 h 12 min")]
)
def test_spans_in_words(seconds: float, words: str) -> None:
    assert judging.in_words(seconds) == words
