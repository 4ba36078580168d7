"""What Object Lock says of an object, in words."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def lock_in(head: Mapping[str, Any]) -> str | None:
    """What keeps an object from being deleted, from the answer to a HEAD; by that server's own clock.

    A DELETE without a version is not refused: it hides the object, which stays and is paid for.
    """
    if head.get("ObjectLockLegalHoldStatus") == "ON":
        return "under a legal hold"
    until = head.get("ObjectLockRetainUntilDate")
    if until is None or until <= datetime.now(UTC):
        return None
    mode = str(head.get("ObjectLockMode", "")).lower()
    return f"locked ({mode}) until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
