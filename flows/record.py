"""What a run returns: plain and JSON-able, for whoever started it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from backproof.errors import BackproofError
from backproof.operations.copy import Copied
from backproof.records import Kind, Proof, Record, Timing
from backproof.recovery_test.record import RecoveryTest
from tasks.seal import SealedBackup


class CopyResult(Record):
    """One store of the plan after a run."""

    store: str
    committed: bool
    """Archive and manifest are there."""
    stored_bytes: int | None = None
    reason: str = ""
    """Why not."""


class BackupRun(Record):
    """What a run of ``backup`` did."""

    plan: str
    kind: Kind
    backup: str
    taken_at: datetime
    outcome: Literal["proven", "sealed", "degraded", "failed"]
    """``sealed``: safe in every store, and no proof was asked for. ``failed``: a proof failed."""
    stored_bytes: int
    plain_bytes: int
    live_bytes: int
    copies: tuple[CopyResult, ...]
    """In the plan's order."""
    proof: Proof | None
    problems: tuple[str, ...]
    """What a degraded run lacks, a sentence each."""
    warnings: tuple[str, ...]
    """What preflight had to say, a sentence each."""
    timings: tuple[Timing, ...]


class VerificationRun(Record):
    """What a run of ``verification`` did."""

    plan: str
    backup: str
    store: str
    outcome: Literal["proven", "failed", "could-not-run"]
    reason: str
    proof: Proof | None
    """None: the proof did not get so far as to be written."""
    timings: tuple[Timing, ...]


class RecoveryTestRun(Record):
    """What a run of ``recovery-test`` did."""

    recovery_test: RecoveryTest
    """As it is signed in the stores."""
    problems: tuple[str, ...]
    """Stores that lack its report, and who was not told of it, a sentence each."""


def backup_run(
    plan: str,
    kind: Kind,
    stores: tuple[str, ...],
    sealed: SealedBackup,
    copies: Mapping[str, Copied | BackproofError],
    proof: Proof | BackproofError | None,
    warnings: tuple[str, ...],
) -> BackupRun:
    """Sum up. Pure.

    Args:
        plan: its name.
        kind: of the backup.
        stores: of the plan, in its order.
        sealed: the backup.
        copies: by store, for every store but the one it was sealed into: what was done, or why not.
        proof: what it found, or why it did not run; None: nobody asked for one.
        warnings: of preflight.
    """
    results = tuple(_copy_result(store, sealed, copies) for store in stores)
    problems = [f"no copy in {result.store}: {result.reason}" for result in results if not result.committed]
    if isinstance(proof, BackproofError):
        problems.append(f"not proven: {proof}")
    elif proof is not None and proof.verdict == "could-not-run":
        problems.append(f"not proven: {proof.reason}")
    known = proof if isinstance(proof, Proof) else None
    copied = (copy.timing for copy in copies.values() if isinstance(copy, Copied))
    return BackupRun(
        plan=plan,
        kind=kind,
        backup=sealed.backup,
        taken_at=sealed.taken_at,
        outcome=_outcome(known, problems),
        stored_bytes=sealed.stored_bytes,
        plain_bytes=sealed.plain_bytes,
        live_bytes=sealed.live_bytes,
        copies=results,
        proof=known,
        problems=tuple(problems),
        warnings=warnings,
        timings=(*sealed.timings, *copied, *(known.timings if known else ())),
    )


def _copy_result(store: str, sealed: SealedBackup, copies: Mapping[str, Copied | BackproofError]) -> CopyResult:
    copied = copies.get(store)
    if isinstance(copied, BackproofError):
        return CopyResult(store=store, committed=False, reason=str(copied))
    return CopyResult(store=store, committed=True, stored_bytes=copied.stored_bytes if copied else sealed.stored_bytes)


def _outcome(proof: Proof | None, problems: list[str]) -> Literal["proven", "sealed", "degraded", "failed"]:
    if proof is not None and proof.verdict == "failed":
        return "failed"
    if problems:
        return "degraded"
    return "sealed" if proof is None else "proven"
