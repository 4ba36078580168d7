"""Seal: dump, compress, encrypt and write an archive in one pass, then its manifest.

A backup exists once its manifest does. Until then nothing of it counts, and whatever goes wrong leaves no part of an
archive: the store takes an object whole or not at all. A store that turns out to be full or broken midway costs the
others nothing: the seal begins anew with the next one.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from backproof import __version__
from backproof.archive.writer import ArchiveWriter
from backproof.comparison import EntryTexts
from backproof.engines import Dump, Engine, Piece, Progress, no_progress
from backproof.errors import AccessDenied, BackproofError, Busy, DumpFailed, NoSpace, Permanent
from backproof.fleet import Fleet
from backproof.naming import ENCRYPTED, MANIFEST, PLAIN, Name, backup_id, key
from backproof.operations.clock import Now, Stopwatch, utc_now
from backproof.operations.streams import interleave
from backproof.records import Inventory, Kind, Manifest, Record, Target
from backproof.stores import Store

_NAMED_AT_MOST = 10


class Sealed(Record):
    """One finished seal."""

    manifest: Manifest
    store: str
    degraded: tuple[str, ...] = ()
    """Stores before this one in the plan that could not be written, a sentence each."""


@dataclass
class _Content:
    """What passed by while the archive was written."""

    entries: EntryTexts
    rows: Counter[str]
    broke: bool = False
    """The dump ended with an error, so that whatever the store says follows from it."""


class _Refused(Exception):
    """A store, and not the database, stood in the way."""

    def __init__(self, reason: BackproofError) -> None:
        self.reason = reason


def seal(
    fleet: Fleet,
    plan: str,
    kind: Kind,
    now: Now = utc_now,
    progress: Progress = no_progress,
    jobs: int | None = None,
    database: str | None = None,
) -> Sealed:
    """Take one backup into the plan's first writable store.

    Args:
        fleet: where the plan, its database, stores and key are found.
        plan: its name.
        kind: ``daily``, ``monthly``, ``manual`` or ``safety``.
        now: the wall clock, for timings; the backup's own moment is the database server's.
        progress: told the bytes of plain SQL as they pass.
        jobs: dump processes; the number of processors unless said.
        database: another database of the plan's server instead of its own: what a recovery has set aside.

    Raises:
        Busy: another backup of this plan is under way.
        DumpFailed: the dump lacks something that the catalogue lists.
        Permanent: no store of the plan could be written; other errors as the engine and the stores tell.
    """
    refused: list[BackproofError] = []
    used: set[datetime] = set()
    jobs = jobs or os.cpu_count() or 1
    # Who may read the plan's database may not read every other one.
    read = fleet.target(plan) if database is None else fleet.restorer(plan).to(database)
    with fleet.engine(plan).lock(fleet.target(plan), plan):
        for store in fleet.stores(plan):
            try:
                manifest = _into(store, fleet, plan, read, kind, used, Stopwatch(now), progress, jobs)
            except _Refused as error:
                refused.append(error.reason)
            else:
                return Sealed(manifest=manifest, store=store.name, degraded=tuple(f"{error}" for error in refused))
    raise _nowhere(refused)


def _into(
    store: Store,
    fleet: Fleet,
    plan: str,
    read: Target,
    kind: Kind,
    used: set[datetime],
    watch: Stopwatch,
    progress: Progress,
    jobs: int,
) -> Manifest:
    with _refusals():
        store.probe()
    with ExitStack() as stack:
        with watch.phase("consistent point"):
            dump, name = _open(fleet, plan, read, kind, store, used, stack, jobs)
        used.add(name.taken_at)  # an archive without manifest may stay in this store: no other may have its id
        manifest = _write(fleet, fleet.engine(plan), dump, name, store, watch, progress)
    signed = fleet.signer.sign(manifest)
    with _refusals():
        try:
            store.put(key(name.with_part(MANIFEST)), [signed])
        except (NoSpace, AccessDenied):
            # It surely is not there and will not come: an archive that nobody can use must not fill the disk.
            with suppress(BackproofError):
                store.delete(key(name))
            raise
    return manifest


@contextmanager
def _refusals(content: _Content | None = None) -> Iterator[None]:
    try:
        yield
    except BackproofError as error:
        if content is not None and content.broke:
            raise
        raise _Refused(error) from error


def _nowhere(refused: Sequence[BackproofError]) -> BackproofError:
    if len(refused) == 1:
        return refused[0]
    for error in refused:
        if not isinstance(error, Permanent):
            return error
    return Permanent(
        "no store of the plan can be written: " + "; ".join(error.fact for error in refused),
        " ".join(dict.fromkeys(error.remedy for error in refused if error.remedy)),
    )


def _open(
    fleet: Fleet, plan: str, read: Target, kind: Kind, store: Store, used: set[datetime], stack: ExitStack, jobs: int
) -> tuple[Dump, Name]:
    """A consistent point whose moment, and so whose id, no other backup of the plan has."""
    for _ in range(3):
        with ExitStack() as attempt:
            dump = attempt.enter_context(fleet.engine(plan).dump(read, jobs, fleet.tool_folders))
            taken_at = dump.database.taken_at.replace(microsecond=0)
            with _refusals():
                taken = taken_at in used or _taken(store, plan, taken_at)
            if not taken:
                stack.push(attempt.pop_all())
                return dump, Name(plan, kind, taken_at, ENCRYPTED if fleet.ring(plan) else PLAIN)
        time.sleep(1)  # ids have the grain of a second
    raise Busy(f"plan {plan} is being backed up every second", "Wait for the other backups to end, then try again.")


def _taken(store: Store, plan: str, taken_at: datetime) -> bool:
    return any(f"/{backup_id(taken_at)}." in stored.key for stored in store.list(f"{plan}/"))


def _write(
    fleet: Fleet, engine: Engine, dump: Dump, name: Name, store: Store, watch: Stopwatch, progress: Progress
) -> Manifest:
    context = {"plan": name.plan, "backup": name.id, "kind": name.kind}
    writer = ArchiveWriter(fleet.ring(name.plan), context, workers=os.cpu_count() or 1)
    content = _Content(EntryTexts(), Counter())
    with ThreadPoolExecutor(1, "inventory") as pool, watch.phase("seal", lambda: writer.contents.plain_bytes):
        inventory = pool.submit(dump.inventory)
        pieces = _complete(engine, dump, content, inventory, progress)
        with _refusals(content):
            stored = store.put(key(name), writer.write(pieces), size_hint=dump.database.live_bytes // 2)
    contents = writer.contents
    if stored.length != contents.stored_bytes:
        raise DumpFailed(
            f"{store.location(key(name))} holds {stored.length} bytes where {contents.stored_bytes} were written",
            "Check the store; the archive there has no manifest and does not count.",
        )
    needs = inventory.result().needs
    return Manifest(
        plan=name.plan,
        id=name.id,
        kind=name.kind,
        taken_at=name.taken_at,
        backproof_version=__version__,
        database=dump.database,
        stored_bytes=contents.stored_bytes,
        stored_sha256=contents.stored_sha256,
        gzip_bytes=contents.gzip_bytes,
        plain_bytes=contents.plain_bytes,
        encryption=contents.encryption,
        members=contents.members,
        tables=tuple(table.model_copy(update={"needs": needs.get(table.name, ())}) for table in contents.tables),
        entries=content.entries.digests(),
        timings=watch.timings,
    )


def _complete(
    engine: Engine, dump: Dump, content: _Content, inventory: "Future[Inventory]", progress: Progress
) -> Iterator[Piece]:
    """The pieces as they come; after the last one, and before the archive is closed, nothing may be missing."""
    try:
        for piece in chain(dump.schema(), _data(dump), dump.finish()):
            if piece.table is None:
                for entry in engine.entries(piece.head + piece.body + piece.tail):
                    content.entries.add(entry.key, engine.canonical(entry))
            else:
                content.rows[piece.table] += piece.rows
            progress(len(piece))
            yield piece
        check_complete(inventory.result(), content.entries, content.rows)
    except BackproofError:
        content.broke = True
        raise


def _data(dump: Dump) -> Iterator[Piece]:
    # A generator, so that the streams are not asked for before the schema is through.
    yield from interleave(dump.data())


def check_complete(inventory: Inventory, entries: EntryTexts, rows: Counter[str]) -> None:
    """Hold what the dump holds against what the catalogue lists.

    Raises:
        DumpFailed: an object or row of the catalogue is not in the dump, or the other way round; they are named.
    """
    missing = sorted(key for key in inventory.objects if key not in entries.texts)
    if missing:
        named = ", ".join(missing[:_NAMED_AT_MOST]) + (" …" if len(missing) > _NAMED_AT_MOST else "")
        raise DumpFailed(
            f"the dump lacks {len(missing)} objects that the database has: {named}",
            "Run `backproof doctor` for the missing right, and give the backup account what it prints.",
        )
    for table in sorted(inventory.rows.keys() | rows.keys()):
        counted, dumped = inventory.rows.get(table, 0), rows.get(table, 0)
        if counted != dumped:
            raise DumpFailed(
                f"table {table} has {counted} rows and the dump holds {dumped}",
                "Run the backup again; if it stays so, row-level security or a missing right hides rows.",
            )
