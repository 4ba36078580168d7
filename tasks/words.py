"""Sizes, durations and rates in words, the same in logs, artifacts and on a terminal."""

from backproof.words import rate as rate
from backproof.words import size as size


def duration(seconds: float) -> str:
    """``3.8 s``, ``2 min 5 s``, ``1 h 12 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
