"""The forecast: on simulated histories its intervals hold the truth; without history it knows nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from backproof.forecast import expected, forecast
from backproof.measures import Forecast, Measure

NOW = datetime(2026, 1, 6, 9, tzinfo=UTC)
RUNS = 1000
FIXED, PER_BYTE = 90.0, 2.4e-7
HOUR = timedelta(hours=1)


def sizes(days: np.ndarray, curved: bool) -> np.ndarray:
    """4 GB now, and about a third more each year."""
    return 4e9 * (np.exp(0.0008 * days) if curved else 1 + 0.001 * days)


def measured(
    days: Sequence[float], live: Sequence[float], seconds: Sequence[float], kinds: Sequence[str] = ("recovery test",)
) -> list[Measure]:
    return [
        Measure(
            at=NOW + timedelta(days=float(day)),
            kind=kinds[number % len(kinds)],
            live_bytes=int(size),
            seconds=float(took),
        )
        for number, (day, size, took) in enumerate(zip(days, live, seconds, strict=True))
    ]


def holds(found: Forecast, truth: datetime) -> bool:
    earliest, latest = found.outgrown_earliest, found.outgrown_latest
    return earliest is not None and earliest <= truth and (latest is None or truth <= latest)


@pytest.mark.parametrize(
    ("points", "noise", "curved", "share", "outlier"),
    [(4, 0.1, False, 1.0, False), (8, 0.1, True, 0.7, False), (16, 0.25, False, 0.8, True), (40, 0.1, True, 1.0, True)],
    ids=["four quiet ones", "verifications are shorter", "much noise", "many, one far off"],
)
def test_nine_times_of_ten_the_truth_is_in_the_interval(
    points: int, noise: float, curved: bool, share: float, outlier: bool
) -> None:
    random, outgrown, now, bounded = np.random.default_rng(20260106), 0, 0, 0
    kinds = ("recovery test", "verification", "verification", "verification") if share < 1 else ("recovery test",)
    shares = np.array([share if kinds[number % len(kinds)] == "verification" else 1 for number in range(points)])
    truth = NOW + timedelta(days=400)
    objective = timedelta(seconds=float(FIXED + PER_BYTE * sizes(np.array([400.0]), curved)[0]))
    for _ in range(RUNS):
        days = np.sort(random.uniform(-360, 0, points))
        live = sizes(days, curved) * np.exp(random.normal(0, 0.01, points))
        seconds = (FIXED + PER_BYTE * live) * shares * np.exp(random.normal(0, noise, points))
        if outlier:
            seconds[random.integers(points)] *= 5
        found = forecast(measured(days, live, seconds, kinds), objective, int(4e9), NOW)
        assert found.known
        assert found.seconds_low is not None
        assert found.seconds_high is not None
        outgrown += holds(found, truth)
        bounded += found.outgrown_latest is not None
        again = (FIXED + PER_BYTE * 4e9) * float(np.exp(random.normal(0, noise)))
        now += found.seconds_low <= again <= found.seconds_high
    assert outgrown >= 0.9 * RUNS
    assert now >= 0.9 * RUNS
    assert points < 40 or bounded >= 0.9 * RUNS, "with much history, it says more than 'some day'"


def test_without_noise_the_day_is_found_to_the_day() -> None:
    days = np.arange(-360.0, 1, 30)
    live = sizes(days, curved=False)
    objective = timedelta(seconds=FIXED + PER_BYTE * 4e9 * 1.5)  # 500 days ahead
    found = forecast(measured(days, live, FIXED + PER_BYTE * live), objective, int(4e9), NOW)
    assert found.outgrown_at is not None
    assert abs(found.outgrown_at - (NOW + timedelta(days=500))) <= timedelta(days=1)
    assert holds(found, NOW + timedelta(days=500))
    assert found.seconds_now == pytest.approx(FIXED + PER_BYTE * 4e9)
    assert found.fixed_seconds == pytest.approx(FIXED, rel=0.01)
    assert found.seconds_per_gigabyte == pytest.approx(PER_BYTE * 1e9)
    assert found.growth_bytes_per_day == pytest.approx(4e6, rel=0.01)
    assert found.points == len(days)
    assert found.warns


@pytest.mark.parametrize("points", [0, 1, 2])
def test_from_two_points_or_fewer_nothing_can_be_known(points: int) -> None:
    history = measured([-90.0, 0.0][:points], [3e9, 4e9][:points], [700.0, 900.0][:points])
    found = forecast(history, HOUR, int(4e9), NOW)
    assert not found.known
    assert found.points == points
    assert "measured" in found.why_not
    assert found.outgrown_at is None
    assert not found.warns


@pytest.mark.parametrize(
    ("days", "live", "why"),
    [
        ((-90.0, -45.0, 0.0), (4e9, 4e9, 4e9), "the same size"),
        ((-0.9, -0.5, 0.0), (3e9, 3.5e9, 4e9), "within one day"),
    ],
    ids=["one size", "one day"],
)
def test_what_does_not_differ_tells_nothing_and_says_so(days: Sequence[float], live: Sequence[float], why: str) -> None:
    found = forecast(measured(days, live, (800.0, 900.0, 850.0)), HOUR, int(4e9), NOW)
    assert not found.known
    assert why in found.why_not


def test_three_of_two_kinds_are_too_few() -> None:
    history = measured((-90.0, -45.0, 0.0), (3e9, 3.5e9, 4e9), (700.0, 500.0, 600.0), ("recovery", "verification"))
    assert "too few" in forecast(history, HOUR, int(4e9), NOW).why_not


def test_what_is_missed_already_is_outgrown_now() -> None:
    days = np.arange(-360.0, 1, 30)
    live = sizes(days, curved=False)
    found = forecast(measured(days, live, FIXED + PER_BYTE * live), timedelta(minutes=10), int(4e9), NOW)
    assert (found.outgrown_at, found.outgrown_earliest, found.outgrown_latest) == (NOW, NOW, NOW)


def test_a_database_that_shrinks_is_never_outgrown() -> None:
    days = np.arange(-360.0, 1, 30)
    live = 4e9 * (1 - 0.001 * days)
    found = forecast(measured(days, live, FIXED + PER_BYTE * live), HOUR, int(4e9), NOW)
    assert found.known
    assert not found.warns
    assert found.growth_bytes_per_day == pytest.approx(-4e6, rel=0.2)


def test_with_one_or_two_measures_a_recovery_is_expected_at_their_rate() -> None:
    found = expected(measured([-7.0], [2e9], [600.0], ("verification",)), int(4e9))
    assert found is not None
    assert (found.seconds, found.seconds_low, found.by, found.points) == (pytest.approx(1200), None, "rate", 1)
    assert expected([], int(4e9)) is None


def test_of_one_size_a_recovery_takes_what_it_took_and_the_interval_says_how_sure_that_is() -> None:
    history = measured(range(-10, 0), [4e9] * 10, [580.0, 600, 620, 590, 610, 600, 595, 605, 615, 585])
    found = expected(history, int(4e9))
    assert found is not None
    assert found.seconds == pytest.approx(600, rel=0.01)
    assert found.seconds_low is not None
    assert found.seconds_high is not None
    assert 540 < found.seconds_low < found.seconds < found.seconds_high < 660
