"""What is kept and what is deleted, decided on paper."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backproof.fleet import RetentionSpec, durations
from backproof.naming import backup_id
from backproof.records import Kind
from backproof.retention import Candidate, Decision, decide, due, ends_at

NOW = datetime(2025, 11, 7, 5, tzinfo=UTC)
POLICY = RetentionSpec()
"""Daily 30 days, monthly a year, safety 30 days, manual for ever."""


def backup(days: float, kind: Kind = "daily", pinned: str | None = None, plan: str = "shop") -> Candidate:
    at = NOW - timedelta(days=days)
    return Candidate(plan, kind, backup_id(at), at, pinned)


def gone(decision: Decision) -> list[Candidate]:
    return [fate.backup for fate in decision.doomed]


def why(decision: Decision, backup: Candidate) -> str:
    (fate,) = [fate for fate in decision.fates if fate.backup == backup]
    return fate.why


YOUNG = [backup(1), backup(2)]


def decided(*backups: Candidate, proven: list[Candidate] = YOUNG, floor: int = 2, **more: object) -> Decision:
    return decide([*YOUNG, *backups], POLICY, floor, NOW, proven=proven, **more)  # type: ignore[arg-type]


def test_each_kind_is_kept_for_its_period_and_then_deleted() -> None:
    old = [backup(30.1), backup(366.1, "monthly"), backup(30.1, "safety")]
    kept = [backup(29.9), backup(364, "monthly"), backup(29.9, "safety"), backup(5000, "manual")]
    decision = decided(*old, *kept)
    assert set(gone(decision)) == set(old)
    assert why(decision, kept[0]) == "until 2025-11-07 07:24 (daily: 30d)"
    assert why(decision, kept[3]) == "always (manual: keep)"
    assert why(decision, old[0]) == "its period ended 2025-11-07 02:36 (daily: 30d)"


def test_a_backup_is_kept_to_the_last_moment_of_its_period() -> None:
    assert gone(decided(backup(30))) == []
    assert len(gone(decided(backup(30 + 1 / 86400)))) == 1


def test_there_is_one_fate_a_backup_newest_first_and_the_doomed_come_oldest_first() -> None:
    decision = decided(backup(40), backup(50), backup(45))
    assert [fate.backup for fate in decision.fates] == [*YOUNG, backup(40), backup(45), backup(50)]
    assert gone(decision) == [backup(50), backup(45), backup(40)]


def test_the_last_proven_backups_stay_whatever_their_age() -> None:
    backups = [backup(days) for days in (40, 50, 60, 70)]
    decision = decided(*backups, proven=[backups[1], backups[2], backups[3]])
    assert gone(decision) == [backups[3], backups[0]]
    assert why(decision, backups[1]) == "the newest proven backup"
    assert why(decision, backups[2]) == "one of the last proven backups"


def test_the_newest_backup_stays_though_it_was_never_proven() -> None:
    newest, *proven = [backup(days) for days in (40, 50, 60)]
    decision = decide([newest, *proven], POLICY, 2, NOW, proven=proven)
    assert gone(decision) == []
    assert why(decision, newest) == "the newest backup"


def test_the_last_proven_backups_that_no_recovery_took_stay_beside_the_last_of_all() -> None:
    dailies = [backup(days) for days in (50, 60, 70)]
    safety = [backup(days, "safety") for days in (40, 41, 42)]
    decision = decide([*dailies, *safety], POLICY, 2, NOW, proven=[*dailies, *safety])
    assert gone(decision) == [dailies[2], safety[2]]
    assert why(decision, safety[0]) == "the newest proven backup"
    for each in (safety[1], *dailies[:2]):
        assert why(decision, each) == "one of the last proven backups"


def test_with_proven_safety_backups_alone_nothing_is_deleted() -> None:
    safety = [backup(days, "safety") for days in (40, 41, 42)]
    decision = decide([backup(50), *safety], POLICY, 1, NOW, proven=safety)
    assert gone(decision) == []
    few = "of its backups 0 are proven, safety backups aside, and the plan keeps 1 of these at least"
    assert decision.refused == (few,)


def test_with_fewer_proven_backups_than_the_floor_nothing_is_deleted_at_all() -> None:
    decision = decided(backup(40), backup(50), proven=[backup(40)])
    assert gone(decision) == []
    few = "of its backups 1 are proven, safety backups aside, and the plan keeps 2 of these at least"
    assert decision.refused == (few,)
    assert why(decision, backup(50)).startswith("its period ended")


def test_with_too_few_proven_and_nothing_due_there_is_nothing_to_refuse() -> None:
    assert decided(backup(3), proven=[]).refused == ()


def test_a_floor_below_one_still_keeps_the_newest_proven_backup() -> None:
    decision = decided(backup(40), proven=[backup(40)], floor=0)
    assert (gone(decision), decision.refused) == ([], ())


def test_a_pinned_and_a_needed_backup_stay_and_say_why() -> None:
    pinned, needed = backup(400, pinned="before the migration"), backup(500)
    decision = decided(pinned, needed, backup(600), needed={needed.id: "a recovery restores it"})
    assert gone(decision) == [backup(600)]
    assert why(decision, pinned) == "pinned: before the migration"
    assert why(decision, needed) == "needed: a recovery restores it"


@pytest.mark.parametrize(("minutes", "refused"), [(60, False), (61, True), (-60, False), (-61, True), (60 * 24, True)])
def test_a_clock_more_than_an_hour_from_a_stores_stops_everything(minutes: int, refused: bool) -> None:
    decision = decided(backup(40), skews={"near": timedelta(0), "far": timedelta(minutes=minutes)})
    assert bool(decision.refused) is refused
    assert bool(gone(decision)) is not refused
    if refused:
        assert "store far's" in decision.refused[0]
        assert ("behind" if minutes > 0 else "ahead of") in decision.refused[0]


def test_a_clock_before_the_newest_backup_stops_everything() -> None:
    decision = decided(backup(40), backup(-0.01))
    assert gone(decision) == []
    assert decision.refused == (
        f"this machine's clock says 2025-11-07 05:00 UTC, and {backup(-0.01).id} was taken after that",
    )


def test_a_doubt_stops_everything_and_is_told() -> None:
    decision = decided(backup(40), doubts=["store far could not be listed whole: it is down"])
    assert gone(decision) == []
    assert decision.refused == ("store far could not be listed whole: it is down",)


def test_backups_of_two_plans_are_never_decided_together() -> None:
    with pytest.raises(ValueError, match="one plan"):
        decided(backup(40, plan="other"))


def test_a_moment_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        decide([], POLICY, 2, datetime(2025, 11, 7))


@pytest.mark.parametrize(
    ("taken", "period", "ends"),
    [
        ("2023-03-01", "1y", "2024-03-01"),  # 366 days: over a leap day
        ("2024-02-29", "1y", "2025-03-01"),
        ("2024-02-29", "4y", "2028-02-29"),
        ("2024-03-01", "1y", "2025-03-01"),
        ("2024-02-28", "1y", "2025-02-28"),
        ("2023-03-01", "365d", "2024-03-01"),  # the same thing as a year
        ("2023-03-01", "366d", "2024-03-01"),
        ("2023-03-01", "364d", "2024-02-28"),
        ("2023-03-01", "10y", "2033-03-01"),
        ("2024-02-01", "30d", "2024-03-02"),
        ("2023-02-01", "30d", "2023-03-03"),
        ("2023-12-30", "12h", "2023-12-30 12:00"),
        ("2023-12-30", "90s", "2023-12-30 00:01:30"),
    ],
)
def test_a_year_ends_on_the_same_day_and_no_leap_day_shortens_it(taken: str, period: str, ends: str) -> None:
    moment = datetime.fromisoformat(taken).replace(tzinfo=UTC)
    assert ends_at(moment, durations.parse(period)) == datetime.fromisoformat(ends).replace(tzinfo=UTC)


def test_what_is_kept_for_ever_or_longer_than_can_be_counted_never_ends() -> None:
    assert ends_at(NOW, None) is None
    for period in ("9000y", "3650000d", "3650001d"):
        assert ends_at(NOW, durations.parse(period)) is None
    assert ends_at(datetime(2024, 2, 29, tzinfo=UTC), durations.parse("7999y")) is None


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)), st.integers(1, 40), st.booleans()
)
def test_a_period_is_never_shorter_than_its_days_nor_a_year_longer_than_366(
    taken: datetime, count: int, years: bool
) -> None:
    period = timedelta(days=365 * count) if years else timedelta(days=count)
    ends = ends_at(taken, period)
    assert ends is not None
    assert period <= ends - taken <= (timedelta(days=count // 4 + 2) + period if years else period)


def test_what_is_due_needs_no_proofs_to_be_known() -> None:
    old = [backup(40), backup(50, pinned="x"), backup(60)]
    assert list(due([*YOUNG, *old], POLICY, NOW, {backup(60).id: "x"})) == [backup(40)]
