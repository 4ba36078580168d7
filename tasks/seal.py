"""Seal, as a task."""

import logging
from datetime import datetime

from backproof import catalog
from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.operations import seal as operation
from backproof.records import Kind, Record, Timing, total_seconds
from blocks import load_fleet
from tasks import stopping, words
from tasks.progress import progress
from tasks.steps import log, step


class SealedBackup(Record):
    """What the rest of a run needs to know of a sealed backup: names and sizes, without the manifest's member index."""

    backup: str
    taken_at: datetime
    store: str
    stored_bytes: int
    plain_bytes: int
    live_bytes: int
    timings: tuple[Timing, ...]


@step("seal {plan}")
def seal(plan: str, kind: Kind) -> SealedBackup:
    """Dump, compress, encrypt and write one archive to the plan's first writable store, then its manifest."""
    fleet = load_fleet(plan)
    with progress(f"{plan}-seal", f"sealing {plan}", _expected_bytes(fleet, plan)) as reported:
        sealed = operation.seal(fleet, plan, kind, stopping.now, reported)
    manifest = sealed.manifest
    for reason in sealed.degraded:
        log(f"not the first store of the plan: {reason}", logging.WARNING)
    seconds = total_seconds(manifest.timings)
    log(
        f"sealed {manifest.id} into {sealed.store}: {words.size(manifest.stored_bytes)} in {words.duration(seconds)}, "
        f"{words.rate(manifest.plain_bytes, seconds)} of SQL"
    )
    return SealedBackup(
        backup=manifest.id,
        taken_at=manifest.taken_at,
        store=sealed.store,
        stored_bytes=manifest.stored_bytes,
        plain_bytes=manifest.plain_bytes,
        live_bytes=manifest.database.live_bytes,
        timings=manifest.timings,
    )


def _expected_bytes(fleet: Fleet, plan: str) -> int | None:
    """As much SQL as last time."""
    try:
        return catalog.manifest(fleet, plan)[0].plain_bytes
    except BackproofError:
        return None
