"""Sizes, durations and rates in words, the same in logs, artifacts and on a terminal."""


def size(count: float) -> str:
    """``0 bytes``, ``999 bytes``, ``1.0 kB``, ``342.1 MB``: powers of a thousand, as disks are sold."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"


def duration(seconds: float) -> str:
    """``3.8 s``, ``2 min 5 s``, ``1 h 12 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def rate(count: int | None, seconds: float) -> str:
    """``90.2 MB/s``; empty where there is nothing to measure."""
    return f"{size(count / seconds)}/s" if count and seconds > 0 else ""
