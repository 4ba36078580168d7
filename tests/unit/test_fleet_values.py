"""Durations and schedules of fleet.yaml."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect._vendor.croniter import croniter

from backproof.fleet import RetentionSpec, SchedulesSpec, cron, durations

FIELD = st.one_of(
    st.sampled_from(
        ["*", "*/5", "L", "TUE#1", "jan-mar", "mon", "1-5", "1-5/2", "0", "7", "31", "59", "5/2", "x", "9-3", ""]
    ),
    st.integers(0, 70).map(str),
    st.text(st.sampled_from("0123456789*/-,#lLmonjan"), max_size=6),
)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(days=14)),
        ("1y", timedelta(days=365)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, duration: timedelta) -> None:
    assert durations.parse(text) == duration


@pytest.mark.parametrize(
    "text", ["", "0d", "30", "d", "-1d", "1.5h", "30 d", "1d12h", "30D", "1M", "٣d", "1d\n", "999999999y"]
)
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|long"):
        durations.parse(text)


@given(st.integers(1, 10**9 - 1))
def test_a_duration_reads_back_from_how_it_is_spelled(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert durations.parse(durations.spell(duration)) == duration


def test_keep_means_always_and_is_saved_as_it_was_written() -> None:
    retention = RetentionSpec.model_validate({"daily": "keep", "manual": "90d"})
    assert retention.daily is None
    assert retention.model_dump(mode="json") == {"daily": "keep", "monthly": "1y", "safety": "30d", "manual": "90d"}


def test_a_schedule_may_be_one_or_several_or_none() -> None:
    assert SchedulesSpec.model_validate({"daily": "0 2 * * *"}).daily == ("0 2 * * *",)
    assert SchedulesSpec.model_validate({"daily": ["0 2 * * *", "0 14 * * *"]}).daily == ("0 2 * * *", "0 14 * * *")
    assert SchedulesSpec.model_validate({"daily": [], "monthly": None}).monthly == ()


@pytest.mark.parametrize(
    "text",
    [
        "0 2 * * *",
        "*/15 * * * *",
        "0 3 1 * *",
        "0 9 * 1,4,7,10 TUE#1",
        "0 0 L * *",
        "5,35 8-18/2 * jan-jun mon-fri",
        "0 0 * * 7",
    ],
)
def test_usual_schedules_are_taken(text: str) -> None:
    assert cron.check(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "five fields"),
        ("0 2 * *", "five fields"),
        ("0 0 2 * * *", "five fields"),
        ("@daily", "five fields"),
        ("60 2 * * *", "'60' is no minute \\(0 to 59\\)"),
        ("0 2 0 * *", "'0' is no day of the month"),
        ("0 2 * 13 *", "'13' is no month \\(1 to 12 or jan to dec\\)"),
        ("0 2 * * TUE#6", "no day of the week"),
        ("0 18-8 * * *", "'18-8' is no hour"),
        ("0 2 * * ,", "no day of the week"),
        ("*/0 2 * * *", "no minute"),
    ],
)
def test_a_wrong_schedule_names_the_field(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        cron.check(text)


@given(st.tuples(FIELD, FIELD, FIELD, FIELD, FIELD).map(" ".join))
def test_whatever_is_taken_prefects_scheduler_takes_too(text: str) -> None:
    try:
        cron.check(text)
    except ValueError:
        return
    assert croniter.is_valid(text)
