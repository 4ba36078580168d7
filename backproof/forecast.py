"""How long a recovery takes by the size of a database, and when that will be longer than promised. Pure.

A recovery takes something fixed and something a byte; how far one strays from that is a share of it. What was measured
of a verification may take a constant share more or less than a whole recovery of the same size. A database grows by so
much a day, or by such a share a day; where history leaves both open, the interval holds both.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from backproof import fitting
from backproof.arrays import np
from backproof.fitting import Curve, Line, Numbers
from backproof.measures import Expected, Forecast, Measure

TWO_QUARTERS = timedelta(days=182)

_A_DAY = 86_400.0
_TEN_YEARS = 3652
_ENOUGH = 3
_SAME_SIZE = 0.01
_RULED_OUT = 4.0
"""By so much less likely than the other, a way of growing is ruled out (twice the logarithm)."""
_CERTAIN = 1e-12


def expected(history: Sequence[Measure], live_bytes: int) -> Expected | None:
    """How long a recovery of that size takes; None: nobody has measured one.

    Args:
        history: of one plan, in any order.
        live_bytes: of the database when it was backed up.
    """
    known = _usable(history)
    if not known or live_bytes <= 0:
        return None
    if len(known) > len({each.kind == "verification" for each in known}) + 1 and _differ(known):
        of_size = _of_size(known)
        return _within(of_size, live_bytes, "size", len(known))
    whole = [each for each in known if each.kind != "verification"] or known
    logs = np.log([each.seconds / each.live_bytes * live_bytes for each in whole])
    middle = float(np.exp(np.median(logs)))
    if len(whole) < _ENOUGH:
        return Expected(seconds=middle, seconds_low=None, seconds_high=None, by="rate", points=len(whole))
    reach = fitting.quantile(len(whole) - 1) * float(logs.std(ddof=1)) * (1 + 1 / len(whole)) ** 0.5
    return Expected(
        seconds=middle,
        seconds_low=middle * float(np.exp(-reach)),
        seconds_high=middle * float(np.exp(reach)),
        by="rate",
        points=len(whole),
    )


def forecast(history: Sequence[Measure], objective: timedelta, live_bytes: int, now: datetime) -> Forecast:
    """When a database outgrows its recovery time objective.

    Args:
        history: measured restorations of one plan, in any order.
        objective: how long a recovery may take.
        live_bytes: of the database now.
        now: aware UTC; nothing before it is forecast: what is missed already is outgrown now.

    Returns:
        ``known`` is False where history tells nothing, and ``why_not`` says what is lacking.
    """
    known = _usable(history)
    if lacking := _lacking(known, live_bytes):
        return Forecast(known=False, why_not=lacking, points=len(known))
    of_size, growths = _of_size(known), _growths(known, live_bytes, now)
    days = np.arange(_TEN_YEARS + 1, dtype=np.float64)
    crossings = [_crossing(of_size, growth, days, objective.total_seconds()) for growth in growths]
    at, earliest = crossings[0][0], min((each[1] for each in crossings if each[1] is not None), default=None)
    latest = None if any(each[2] is None for each in crossings) else max(each[2] or 0.0 for each in crossings)
    takes = _within(of_size, live_bytes, "size", len(known))
    today = growths[0].at(np.array([-0.5, 0.5]))
    return Forecast(
        known=True,
        seconds_now=takes.seconds,
        seconds_low=takes.seconds_low,
        seconds_high=takes.seconds_high,
        fixed_seconds=of_size.intercept,
        seconds_per_gigabyte=of_size.slope * 1e9,
        growth_bytes_per_day=float(today[1] - today[0]),
        outgrown_at=_day(now, at),
        outgrown_earliest=_day(now, earliest),
        outgrown_latest=_day(now, latest),
        points=len(known),
    )


def soon(found: Forecast, now: datetime) -> bool:
    """Whether the objective is outgrown within two quarters, as a rule."""
    return found.outgrown_at is not None and found.outgrown_at <= now + TWO_QUARTERS


def _usable(history: Sequence[Measure]) -> list[Measure]:
    return sorted((each for each in history if each.seconds > 0 and each.live_bytes > 0), key=lambda each: each.at)


def _lacking(known: Sequence[Measure], live_bytes: int) -> str:
    if len(known) < _ENOUGH:
        count = {0: "nobody has measured a restoration", 1: "one restoration was measured"}.get(
            len(known), f"{len(known)} restorations were measured"
        )
        return f"{count}, and it takes {_ENOUGH} or more, of different sizes, to see a trend"
    if len(known) == _ENOUGH and len({each.kind == "verification" for each in known}) > 1:
        return "recoveries and verifications were measured, too few of them to tell what one takes more than the other"
    if known[-1].at - known[0].at < timedelta(days=1):
        return "all restorations were measured within one day: how the database grows can't be seen yet"
    if not _differ(known):
        return "the database had the same size at every restoration: what a larger one takes can't be seen yet"
    if live_bytes <= 0:
        return "how large the database is, is not known"
    return ""


def _differ(known: Sequence[Measure]) -> bool:
    sizes = [each.live_bytes for each in known]
    return max(sizes) - min(sizes) >= _SAME_SIZE * max(sizes)


def _of_size(known: Sequence[Measure]) -> Line:
    return fitting.line(
        np.array([each.live_bytes for each in known], dtype=np.float64),
        np.array([each.seconds for each in known], dtype=np.float64),
        other=np.array([each.kind == "verification" for each in known]),
        rising=True,
    )


def _within(of_size: Line, live_bytes: int, by: Literal["size", "rate"], points: int) -> Expected:
    size = np.array([live_bytes], dtype=np.float64)
    seconds = max(float(of_size.at(size)[0]), _CERTAIN)
    spread = (of_size.noise**2 + float(of_size.variance(size)[0]) / seconds**2) ** 0.5
    factor = float(np.exp(min(fitting.quantile(of_size.freedom) * spread, 20.0)))
    return Expected(seconds=seconds, seconds_low=seconds / factor, seconds_high=seconds * factor, by=by, points=points)


def _growths(known: Sequence[Measure], live_bytes: int, now: datetime) -> list[Line | Curve]:
    """How it grows: the likeliest first, and the other unless history rules it out."""
    days = np.array([*((each.at - now).total_seconds() / _A_DAY for each in known), 0.0])
    sizes = np.array([*(each.live_bytes for each in known), live_bytes], dtype=np.float64)
    found: list[Line | Curve] = [fitting.line(days, sizes), fitting.curve(days, sizes)]
    found.sort(key=lambda each: each.misfit)
    less_likely = len(days) * np.log((found[1].misfit + _CERTAIN) / (found[0].misfit + _CERTAIN))
    return found[:1] if less_likely > _RULED_OUT else found


def _crossing(
    of_size: Line, growth: Line | Curve, days: Numbers, objective: float
) -> tuple[float | None, float | None, float | None]:
    """In how many days the objective is missed: as a rule, at the earliest and at the latest."""
    sizes = np.maximum(growth.at(days), 0)
    seconds = of_size.at(sizes)
    spread = np.sqrt(np.maximum(of_size.variance(sizes) + of_size.slope**2 * growth.variance(days), 0))
    reach = fitting.quantile(min(of_size.freedom, growth.freedom)) * spread
    missed, perhaps, not_surely = seconds >= objective, seconds + reach >= objective, seconds - reach < objective
    at = float(np.argmax(missed)) if missed.any() else None
    earliest = max(0.0, float(np.argmax(perhaps)) - 1) if perhaps.any() else None
    if not not_surely.any():
        return at, earliest, 0.0
    last = len(days) - 1 - int(np.argmax(not_surely[::-1]))
    return at, earliest, None if last == len(days) - 1 else float(last + 1)


def _day(now: datetime, days: float | None) -> datetime | None:
    return None if days is None else now + timedelta(days=days)
