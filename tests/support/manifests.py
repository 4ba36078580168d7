"""Manifests, and requests for a recovery, for tests that need one and no database."""

from datetime import UTC, datetime
from typing import Any

from backproof.records import Database, Manifest
from backproof.recovery.context import Request

TAKEN_AT = datetime(2025, 11, 7, 2, 0, tzinfo=UTC)

DATABASE = Database(
    engine="postgresql",
    server_version="16.14",
    tool_version="16.14",
    taken_at=TAKEN_AT,
    live_bytes=8_000_000,
    server={},
    settings={"encoding": "UTF8"},
    globals={"owner": "postgres"},
)


def manifest_of(**changes: Any) -> Manifest:
    """A manifest of an empty, unencrypted archive, but for what is said."""
    facts: dict[str, Any] = {
        "plan": "shop",
        "id": "backup_2025-11-07_020000",
        "kind": "daily",
        "taken_at": TAKEN_AT,
        "backproof_version": "0.1.0",
        "database": DATABASE,
        "stored_bytes": 0,
        "stored_sha256": "0" * 64,
        "gzip_bytes": 0,
        "plain_bytes": 0,
        "encryption": None,
        "members": (),
        "tables": (),
        "entries": {},
        "timings": (),
    }
    return Manifest(**{**facts, **changes})


def request_of(**changes: Any) -> Request:
    """A swap of plan ``shop``, but for what is said."""
    facts: dict[str, Any] = {
        "plan": "shop",
        "backup": manifest_of().id,
        "stores": ("near",),
        "mode": "swap",
        "reason": "a test",
        "by": "Ada",
        "live": "shop",
        "beside": "shop_recovered",
        "aside": "shop_before",
    }
    return Request(**{**facts, **changes})
