"""Where a recovery's journal lies in a store: key <-> (plan, recovery, number, step, what), a bijection.

::

    shop/recovery/recovery_2025-11-07_141500.0000_recovery_opened.json
    shop/recovery/recovery_2025-11-07_141500.0007_exchange_begun.json
    shop/recovery/recovery_2025-11-07_141500.report_0031.json            signed, made of its first 31 entries
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

What = Literal["opened", "begun", "done", "failed", "noted", "closed"]

_ID = re.compile(r"recovery_(\d{4}-\d{2}-\d{2}_\d{6})", re.ASCII)
_STEP = r"[a-z]+(?:-[a-z]+)*"
_ENTRY = re.compile(
    rf"([a-z0-9][a-z0-9-]{{0,62}})/recovery/(recovery_\d{{4}}-\d{{2}}-\d{{2}}_\d{{6}})"
    rf"\.(\d{{4}})_({_STEP})_({'|'.join(get_args(What))})\.json",
    re.ASCII,
)

_REPORT = re.compile(rf"[a-z0-9][a-z0-9-]{{0,62}}/recovery/{_ID.pattern}\.report_\d{{4}}\.json", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class EntryName:
    """What one document of a journal is."""

    plan: str
    recovery: str
    number: int
    step: str
    what: What


def recovery_id(opened_at: datetime) -> str:
    """``recovery_2025-11-07_141500``: UTC, cut to the second."""
    return f"recovery_{opened_at.astimezone(UTC):%Y-%m-%d_%H%M%S}"


def opened_at(recovery: str) -> datetime:
    """The moment in a recovery's id.

    Raises:
        ValueError: it is no recovery's id.
    """
    match = _ID.fullmatch(recovery)
    if match is None:
        raise ValueError(f"{recovery!r} is no recovery's id: they read like recovery_2025-11-07_141500")
    return datetime.strptime(f"{match[1]}+0000", "%Y-%m-%d_%H%M%S%z")


def prefix(plan: str) -> str:
    """What the keys of a plan's recoveries begin with."""
    return f"{plan}/recovery/"


def entry_key(name: EntryName) -> str:
    """The key under which a store holds it."""
    return f"{prefix(name.plan)}{name.recovery}.{name.number:04}_{name.step}_{name.what}.json"


def parse_entry(key: str) -> EntryName | None:
    """What a key names, or None where it is no entry's; the inverse of ``entry_key``."""
    match = _ENTRY.fullmatch(key)
    if match is None:
        return None
    plan, recovery, number, step, what = match.groups()
    return EntryName(plan, recovery, int(number), step, what)  # type: ignore[arg-type]  # the pattern lists them


def report_key(plan: str, recovery: str, entries: int) -> str:
    """Where the report of a recovery lies, made when its journal had so many entries."""
    return f"{prefix(plan)}{recovery}.report_{entries:04}.json"


def is_report(key: str) -> bool:
    """Whether a key of a plan's recoveries is that of a report."""
    return _REPORT.fullmatch(key) is not None
