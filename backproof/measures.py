"""What was measured of restorations, and what that says of the next. Plain records."""

from datetime import datetime, timedelta
from typing import Literal

from backproof.records import Record

_NEAR = timedelta(days=730)


class Measure(Record):
    """One measured restoration: what a trend and a forecast are drawn from."""

    at: datetime
    kind: Literal["recovery test", "verification", "recovery"]
    live_bytes: int
    """Of the database that was backed up."""
    seconds: float
    """Of the whole recovery; of a verification, what of it a recovery would take as well."""


class Forecast(Record):
    """When a recovery will take longer than promised, as far as history tells."""

    known: bool
    why_not: str = ""
    """Where it can't be known: what is lacking."""
    seconds_now: float | None = None
    """Expected of a recovery of the size at the end of history."""
    seconds_low: float | None = None
    seconds_high: float | None = None
    """Between these a recovery now ends nine times of ten."""
    fixed_seconds: float | None = None
    seconds_per_gigabyte: float | None = None
    """Of 10⁹ bytes."""
    growth_bytes_per_day: float | None = None
    outgrown_at: datetime | None = None
    """When the objective is missed as a rule; None: not within ten years."""
    outgrown_earliest: datetime | None = None
    outgrown_latest: datetime | None = None
    """Between these nine times of ten; None: not within ten years."""
    points: int = 0
    """So many measures it stands on."""

    def is_near(self, now: datetime) -> bool:
        """Whether the objective is missed within two years, as a rule: then a report warns, else it only says so."""
        return self.outgrown_at is not None and self.outgrown_at <= now + _NEAR

    @property
    def warns(self) -> bool:
        """Whether there is a day on which the objective is missed."""
        return self.outgrown_at is not None or self.outgrown_earliest is not None


class Expected(Record):
    """How long a recovery takes now."""

    seconds: float
    seconds_low: float | None
    seconds_high: float | None
    """Between these nine times of ten; None: with fewer than three measures nobody knows."""
    by: Literal["size", "rate"]
    """``size``: something fixed and something a byte; ``rate``: so much a byte, all that few measures tell."""
    points: int
    """So many measures it stands on."""
