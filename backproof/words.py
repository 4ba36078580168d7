"""How sizes, rates and long lists read: the same in reports, logs, artifacts and on a terminal. Pure."""

from collections.abc import Iterable


def size(count: float) -> str:
    """``1 byte``, ``999 bytes``, ``342.1 MB``, ``4.2 GB``: powers of a thousand, as disks are sold."""
    if count < 1000:
        return f"{count:.0f} byte{'' if round(count) == 1 else 's'}"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"


def rate(count: int | None, seconds: float) -> str:
    """``90.2 MB/s``; empty where there is nothing to measure."""
    return f"{size(count / seconds)}/s" if count and seconds > 0 else ""


def some(names: Iterable[str], at_most: int = 5) -> str:
    """``customers, orders``; of many, the first few and how many more there are."""
    listed = sorted(names)
    more = len(listed) - at_most
    return ", ".join(listed[:at_most]) + (f" and {more:,} more" if more > 0 else "")
