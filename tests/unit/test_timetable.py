"""When schedules fire: as Prefect's own scheduler has it, over both switches of daylight saving; spreading."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backproof.fleet import cron, timetable
from backproof.fleet.timetable import longest_gap, next_times, spread

MARCH, OCTOBER = datetime(2026, 3, 27, 12, tzinfo=UTC), datetime(2026, 10, 23, 12, tzinfo=UTC)
ZONES = ("UTC", "Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago")


def prefects(text: str, zone: str, after: datetime, count: int) -> list[datetime]:
    """What Prefect's scheduler would insert; after a switch back it also names moments that are over."""
    from prefect.server.schemas.schedules import CronSchedule

    found = asyncio.run(CronSchedule(cron=text, timezone=zone).get_dates(count + 12, after))
    return [moment.astimezone(UTC) for moment in found if moment >= after][:count]


minutes = st.sampled_from(["0", "30", "59", "*/15", "0,45", "*/10", "10-20/5"])
hours = st.sampled_from(["0", "1", "2", "3", "23", "*", "*/6", "1-3", "8,12"])
days = st.sampled_from(
    ["* * *", "1 * *", "L * *", "* * SUN", "* * TUE#1", "1 1,4,7,10 *", "13 * FRI", "* 2-4 1-5", "31 * *"]
)
schedules = st.builds(lambda minute, hour, day: f"{minute} {hour} {day}", minutes, hours, days)
moments = st.datetimes(datetime(2025, 1, 1), datetime(2028, 12, 31), timezones=st.just(UTC))


@settings(max_examples=100)
@given(schedules, st.sampled_from(ZONES), moments)
def test_schedules_fire_when_prefect_fires_them(text: str, zone: str, after: datetime) -> None:
    assert next_times([cron.check(text)], zone, after, 4) == prefects(text, zone, after, 4)


@pytest.mark.parametrize("zone", ["Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("text", ["0 2 * * *", "30 2 * * *", "30 1 * * *", "0 * * * *", "*/20 * * * *", "0 3 1 * *"])
def test_both_switches_of_daylight_saving_are_as_prefect_has_them(text: str, zone: str) -> None:
    for switch in (datetime(2026, 3, 8), datetime(2026, 3, 29), datetime(2026, 4, 5), datetime(2026, 10, 4),
                   datetime(2026, 10, 25), datetime(2026, 11, 1)):  # fmt: skip
        for hours_before in (26, 13, 9, 3):
            after = switch.replace(tzinfo=UTC) - timedelta(hours=hours_before)
            assert next_times([text], zone, after, 6) == prefects(text, zone, after, 6)


def test_what_daylight_saving_does_to_a_backup_at_half_past_two() -> None:
    spring = next_times(["30 2 * * *"], "Europe/Amsterdam", MARCH, 3)
    assert [f"{moment:%d %H:%M}" for moment in spring] == ["28 01:30", "29 00:30", "30 00:30"]
    autumn = next_times(["30 2 * * *"], "Europe/Amsterdam", OCTOBER, 3)
    assert [f"{moment:%d %H:%M}" for moment in autumn] == ["24 00:30", "25 00:30", "26 01:30"]


def test_in_utc_each_day_has_one_backup_and_24_hours() -> None:
    times = next_times(["0 2 * * *"], "UTC", datetime(2026, 1, 1, tzinfo=UTC), 365)
    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(days=1)}


def test_several_schedules_are_told_in_order_and_together_once() -> None:
    times = next_times(["0 2 * * *", "0 14 * * *", "0 2 1 * *"], "UTC", datetime(2026, 3, 1, tzinfo=UTC), 3)
    assert [f"{moment:%d %H}" for moment in times] == ["01 02", "01 14", "02 02"]


def test_the_longest_gap_of_a_year_is_found_whatever_day_it_lies_on() -> None:
    now = datetime(2026, 6, 1, 15, 7, tzinfo=UTC)
    assert longest_gap(("0 2 * * MON-FRI",), "UTC", now) == (timedelta(days=3), datetime(2026, 6, 5, 2, tzinfo=UTC))
    amsterdam = longest_gap(("0 2 * * *",), "Europe/Amsterdam", now)
    assert amsterdam == (timedelta(hours=25), datetime(2026, 10, 25, 0, tzinfo=UTC))
    assert longest_gap((), "UTC", now) is None
    assert longest_gap(("* * * * *",), "UTC", now) == (timedelta(minutes=1), datetime(2026, 6, 1, 15, tzinfo=UTC))


@given(schedules, st.integers(0, 600), st.text(min_size=1, max_size=8))
def test_a_spread_schedule_keeps_its_days_its_rhythm_and_the_window(text: str, window: int, name: str) -> None:
    moved = spread(cron.check(text), timedelta(minutes=window), name)
    after = datetime(2026, 5, 30, tzinfo=UTC)
    before, later = next_times([text], "UTC", after, 6), next_times([cron.check(moved)], "UTC", after, 6)
    delays = {second - first for first, second in zip(before, later, strict=True)}
    assert len(delays) == 1
    assert timedelta() <= delays.pop() < timedelta(minutes=max(window, 1))
    assert [moment.date() for moment in before] == [moment.date() for moment in later]
    assert spread(text, timedelta(minutes=window), name) == moved


def test_a_thousand_plans_start_evenly_over_the_window() -> None:
    started = Counter(spread("0 2 * * *", timedelta(hours=2), f"plan-{number}") for number in range(1000))
    assert len(started) > 100
    assert max(started.values()) < 30
    assert set(started) <= {f"{minute} {hour} * * *" for hour in (2, 3) for minute in range(60)}


def test_a_schedule_of_each_minute_and_one_before_midnight_stay() -> None:
    assert spread("* * * * *", timedelta(hours=1), "shop") == "* * * * *"
    assert spread("59 23 * * *", timedelta(hours=1), "shop") == "59 23 * * *"
    assert timetable._numbers("10-20/5,50", 59) == [10, 15, 20, 50]


def test_a_day_that_never_comes_never_comes() -> None:
    assert next_times(["0 0 30 2 *"], "UTC", MARCH, 3) == []
    assert longest_gap(("0 0 30 2 *",), "UTC", MARCH) is None
