"""How long retention takes to plan: ``python -m benchmarks --retention 100000``.

A folder store gets so many backups of one plan, an archive, a manifest and a proof each, all but the newest empty: only
the newest are read. Measured are one listing of the store, and a whole decision, which lists it as well; what is left
is the planning. Nothing is deleted.
"""

import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from rich.table import Table

from backproof.archive.manifest import archive_name
from backproof.archive.writer import ArchiveWriter
from backproof.engines import Piece
from backproof.fleet import Fleet
from backproof.fleet.loading import parse
from backproof.naming import ENCRYPTED, MANIFEST, Name, ProofPart, backup_id, key
from backproof.operations.prune import decided
from backproof.records import Database, Manifest, Proof

T = TypeVar("T")

PLAN = "bench"
EVERY = timedelta(minutes=15)
REAL = 4
"""So many of the newest are whole and proven."""


def measured(folder: Path, count: int, runs: int, say: Callable[[str], None]) -> Table:
    """Medians, as a table."""
    fleet = _fleet(folder)
    say(f"making {count:,} backups")
    begun = time.monotonic()
    _fill(fleet, folder / "backups", count)
    say(f"made in {time.monotonic() - begun:.0f} s")
    store = fleet.store("local")
    steps = ("one listing", "decision, listing included")
    times: dict[str, list[tuple[float, float]]] = {step: [] for step in steps}
    doomed = 0
    for number in range(runs + 1):
        listed, listing = _timed(lambda: sum(1 for _ in store.list(f"{PLAN}/")))
        (decision, _), whole = _timed(lambda: decided(fleet, PLAN))
        doomed = len(decision.doomed)
        assert not decision.refused, decision.refused
        say(f"{listed:,} objects: listed in {listing[0]:.2f} s; decided in {whole[0]:.2f} s")
        if number:
            for step, took in zip(steps, (listing, whole), strict=True):
                times[step].append(took)
    medians = {step: [statistics.median(each) for each in zip(*took, strict=True)] for step, took in times.items()}
    medians["planning alone"] = [whole - listing for listing, whole in zip(*medians.values(), strict=True)]
    table = Table(title=f"{count:,} backups, {doomed:,} of them due; load {os.getloadavg()[0]:.1f}")
    for column in ("", "seconds", "CPU seconds"):
        table.add_column(column, justify="right" if column else "left")
    for step, took in medians.items():
        table.add_row(step, *(f"{seconds:.2f}" for seconds in took))
    return table


def _timed(work: Callable[[], T]) -> tuple[T, tuple[float, float]]:
    """What it gives; by the clock, and by the processor."""
    begun, used = time.monotonic(), time.process_time()
    given = work()
    return given, (time.monotonic() - begun, time.process_time() - used)


def _fleet(folder: Path) -> Fleet:
    secret = "A" * 43 + "="
    text = f"""
        fleet: bench
        signing: {{private_key: {secret}}}
        keys: {{main: {{aes256: {secret}}}}}
        stores: {{local: {{type: local, path: backups}}}}
        databases: {{db: {{engine: postgresql, port: 1, name: db, user: nobody}}}}
        plans: {{{PLAN}: {{database: db}}}}
    """
    return Fleet(parse(text, {}, folder / "fleet.yaml"))


def _fill(fleet: Fleet, root: Path, count: int) -> None:
    (root / PLAN / "daily").mkdir(parents=True)
    newest = (datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)
    for number in range(count):
        taken_at = newest - number * EVERY
        name, at = Name(PLAN, "daily", taken_at, MANIFEST), taken_at + timedelta(minutes=5)
        documents = {ENCRYPTED: b"", MANIFEST: b"", ProofPart(at, "passed"): b""}
        if number < REAL:
            documents = _whole(fleet, taken_at, at)
        for part, content in documents.items():
            (root / key(name.with_part(part))).write_bytes(content)


def _whole(fleet: Fleet, taken_at: datetime, at: datetime) -> dict[object, bytes]:
    context = {"plan": PLAN, "backup": backup_id(taken_at), "kind": "daily"}
    writer = ArchiveWriter(fleet.ring(PLAN), context, workers=1)
    archive = b"".join(writer.write([Piece("schema", None, (), 0, b"CREATE TABLE t (a text);\n", b"", b"")]))
    contents = writer.contents
    manifest = Manifest(
        plan=PLAN,
        id=context["backup"],
        kind="daily",
        taken_at=taken_at,
        backproof_version="0",
        database=Database(
            engine="postgresql",
            server_version="16.14",
            tool_version="16.14",
            taken_at=taken_at,
            live_bytes=8192,
            server={},
            settings={},
            globals={},
        ),
        stored_bytes=contents.stored_bytes,
        stored_sha256=contents.stored_sha256,
        gzip_bytes=contents.gzip_bytes,
        plain_bytes=contents.plain_bytes,
        encryption=contents.encryption,
        members=contents.members,
        tables=contents.tables,
        entries={},
        timings=(),
    )
    proof = Proof(
        plan=PLAN,
        backup=manifest.id,
        store="local",
        verdict="passed",
        reason="a benchmark",
        started_at=at,
        finished_at=at,
        stored_sha256=manifest.stored_sha256,
        backproof_version="0",
        proven_on=None,
        server_version=None,
    )
    assert archive_name(manifest).part == ENCRYPTED
    return {
        ENCRYPTED: archive,
        MANIFEST: fleet.signer.sign(manifest),
        ProofPart(at, "passed"): fleet.signer.sign(proof),
    }
