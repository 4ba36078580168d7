"""How the result of a preflight check is worded: every engine and operation in the same way."""

from collections.abc import Sequence

from backproof.errors import BackproofError, Transient
from backproof.records import Finding

_SHOWN_AT_MOST = 3


def ok(check: str, found: str, live_bytes: int | None = None) -> Finding:
    """Nothing is in the way."""
    return Finding(check=check, status="ok", found=found, live_bytes=live_bytes)


def warning(check: str, found: str, remedy: str, brief: str = "", live_bytes: int | None = None) -> Finding:
    """Worth knowing; a backup can be taken."""
    return Finding(check=check, status="warning", found=found, remedy=remedy, brief=brief, live_bytes=live_bytes)


def missing(check: str, found: str, remedy: str) -> Finding:
    """A person must mend it before a backup can be taken."""
    return Finding(check=check, status="failed", found=found, remedy=remedy)


def failed(check: str, error: BackproofError) -> Finding:
    """What was asked ended with an error, which may pass on its own."""
    passing = isinstance(error, Transient)
    return Finding(check=check, status="failed", found=error.fact, remedy=error.remedy, passing=passing)


def listed(names: Sequence[str], at_most: int = _SHOWN_AT_MOST) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:at_most])
    return f"{shown} and {len(names) - at_most} more" if len(names) > at_most else shown
