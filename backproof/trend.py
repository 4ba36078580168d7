"""How a backup compares with those before it. Pure."""

import statistics
from collections.abc import Callable, Sequence
from datetime import datetime

from backproof.records import Kind, Manifest, Proof, Record, total_seconds


class Measures(Record):
    """One backup in numbers, as its manifest and its proof tell."""

    backup: str
    kind: Kind
    taken_at: datetime
    stored_bytes: int
    plain_bytes: int
    live_bytes: int
    rows: int
    sealed_seconds: float
    proven_seconds: float | None
    """None: no proof of it passed."""


def measures(manifest: Manifest, proof: Proof | None) -> Measures:
    """What there is to compare of one backup.

    Args:
        manifest: its own.
        proof: one that passed, where there is one.
    """
    return Measures(
        backup=manifest.id,
        kind=manifest.kind,
        taken_at=manifest.taken_at,
        stored_bytes=manifest.stored_bytes,
        plain_bytes=manifest.plain_bytes,
        live_bytes=manifest.database.live_bytes,
        rows=sum(table.rows for table in manifest.tables),
        sealed_seconds=total_seconds(manifest.timings),
        proven_seconds=(proof.finished_at - proof.started_at).total_seconds() if proof else None,
    )


def usual(earlier: Sequence[Measures], of: Callable[[Measures], float | None]) -> float | None:
    """The median of one number over earlier backups; None where none of them has it."""
    known = [number for each in earlier if (number := of(each)) is not None]
    return statistics.median(known) if known else None
