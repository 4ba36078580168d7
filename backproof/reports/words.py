"""How sizes, spans and moments read in a report. Pure."""

from datetime import UTC, datetime

from backproof.recovery_test.record import Status, TestVerdict
from backproof.words import rate as rate
from backproof.words import size as size

NOTHING = "–"


def span(seconds: float) -> str:
    """``3.8 s``, ``42 s``, ``21 min 39 s``, ``25 h``, ``2 d 5 h``; without what is nought at the end."""
    if seconds < 0.05:
        return "0 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for least, large, small, unit, part in (
        (172800, 86400, 3600, "d", "h"),
        (3600, 3600, 60, "h", "min"),
        (60, 60, 1, "min", "s"),
    ):
        if whole >= least:
            count, rest = divmod(round(whole / small) * small, large)
            return f"{count} {unit} {rest // small} {part}" if rest else f"{count} {unit}"
    return f"{whole} s"


def day(at: datetime) -> str:
    """``6 January 2026``."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%B %Y}"


def short_day(at: datetime) -> str:
    """``6 Jan 2026``, for a column."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b %Y}"


def month(at: datetime) -> str:
    """``January 2026``."""
    return f"{at.astimezone(UTC):%B %Y}"


def moment(at: datetime) -> str:
    """``6 January 2026, 09:00 UTC``."""
    return f"{day(at)}, {at.astimezone(UTC):%H:%M} UTC"


def several(count: int, singular: str) -> str:
    """``1 table``, ``2,000 tables``."""
    return f"{count:,} {singular if count == 1 else singular + 's'}"


def share(part: float) -> str:
    """``2 %``, ``0.5 %``."""
    return f"{part * 100:.3g} %"


def change(was: int, now: int) -> str:
    """``+10,125 (+0.4 %)``, ``+1``, ``none``; a share where it is a tenth of a per cent at least."""
    if was == now:
        return "none"
    sign = "+" if now > was else "−"
    difference = f"{sign}{abs(now - was):,}"
    part = abs(now - was) / was if was else 0.0
    if part < 0.0005:
        return difference
    return f"{difference} ({sign}{part * 100:.1f} %)"


def verdict(said: TestVerdict | Status) -> str:
    """``Passed``, ``Not run`` …"""
    return said.capitalize()


def sentence(text: str) -> str:
    """A clause as a sentence: its first word with a capital, where that is a word."""
    said = readable(text)
    first, _, _ = said.partition(" ")
    return said[:1].upper() + said[1:] if first.isalpha() and first.islower() else said


def readable(text: str) -> str:
    """Text of somebody else's making on one line, with what can't be printed made visible."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in " ".join(text.split()))
