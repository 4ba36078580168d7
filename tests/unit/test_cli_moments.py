"""Moments as people write them on their worst day, and as they are understood."""

from datetime import UTC, datetime

import click
import pytest

from deployments.cli.recovering import Moment
from deployments.cli.recovery_in_words import asked_for

MOMENT = datetime(2025, 11, 7, 14, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    ["2025-11-07 14:02", "2025-11-07T14:02", "2025-11-07 14:02 UTC", "2025-11-07T14:02Z", "2025-11-07 15:02+01:00"],
)
def test_a_moment_is_utc_unless_it_has_an_offset(written: str) -> None:
    assert Moment().convert(written, None, None) == MOMENT


@pytest.mark.parametrize(
    "written",
    [
        "14:02",
        "yesterday",
        "2025-10-26 02:30 Europe/Berlin",
        "UTC",
        "",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59-14:00",
    ],
)
def test_what_is_no_moment_is_told_with_one_that_is(written: str) -> None:
    with pytest.raises(click.BadParameter, match="is no moment; write 2025-11-07T14:02"):
        Moment().convert(written, None, None)


def test_what_was_understood_is_said_by_the_clocks_of_the_fleet_too() -> None:
    assert asked_for(None, "Europe/Berlin") == {}
    assert asked_for(MOMENT, "UTC") == {"Before": "2025-11-07 14:02:00 UTC"}
    assert asked_for(MOMENT, "Europe/Berlin") == {
        "Before": "2025-11-07 14:02:00 UTC, which is 2025-11-07 15:02:00 in Europe/Berlin"
    }


def test_in_the_hour_that_there_is_twice_each_moment_is_one_of_them() -> None:
    summer, winter = (Moment().convert(f"2025-10-26 02:30+0{hours}:00", None, None) for hours in (2, 1))
    assert (winter - summer).total_seconds() == 3600
    assert asked_for(summer, "Europe/Berlin") != asked_for(winter, "Europe/Berlin")
