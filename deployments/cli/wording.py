"""How sizes, moments and spans read to a person."""

from datetime import UTC, datetime

from backproof import words


def size(count: int | None) -> str:
    """Bytes in the largest decimal unit that keeps a whole part: ``512 B``, ``4.2 MB``."""
    if count is None:
        return "–"
    return f"{count} B" if count < 1000 else words.size(count)


def moment(at: datetime | None) -> str:
    """A moment in UTC, to the minute: ``2025-11-07 02:00``."""
    return "–" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def span(seconds: float) -> str:
    """A span: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def rate(count: int | None, seconds: float) -> str:
    """Bytes a second, where that says something."""
    return f"{size(round(count / seconds))}/s" if count and seconds >= 0.01 else "–"


def several(count: int, singular: str, plural: str = "") -> str:
    """``1 backup``, ``2,000 backups``."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def visible(text: str) -> str:
    """Text of somebody else's making, with what a terminal would obey made visible."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
