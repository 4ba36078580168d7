"""Prove: restore a backup, dump what was restored, and compare. A backup counts when it has come back.

``passed`` is said only at the one place where everything ran, nothing differs (but for what the plan accepts by name)
and every check holds. Whatever can't be run is ``could-not-run``; it says what to do, and is never a pass.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta

from backproof import __version__, catalog
from backproof.archive.reader import ArchiveReader
from backproof.archive.tables import TableDigests
from backproof.comparison import EntryTexts, Restored, differences
from backproof.engines import Dump, Engine, Piece, Progress, no_progress
from backproof.errors import AlreadyExists, BackproofError, Damaged, RestoreFailed, Transient
from backproof.fleet import Fleet
from backproof.naming import Name, ProofPart, key, taken_at
from backproof.operations import checks
from backproof.operations.clock import Now, Stopwatch, utc_now
from backproof.operations.streams import interleave
from backproof.records import CheckResult, Difference, Manifest, Proof, Target, Verdict
from backproof.scratch import workspace

_SHOWN_AT_MOST = 5
_A_SECOND = timedelta(seconds=1)


@dataclass
class _Finding:
    """What a run of the proof found, as far as it got."""

    verdict: Verdict = "could-not-run"
    reason: str = ""
    server_version: str | None = None
    differences: tuple[Difference, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    not_covered: tuple[str, ...] = ()
    unused_accepts: tuple[str, ...] = ()


def prove(
    fleet: Fleet,
    plan: str,
    backup: str,
    store: str,
    now: Now = utc_now,
    progress: Progress = no_progress,
    jobs: int | None = None,
) -> Proof:
    """Prove one copy of one backup, and write the proof to every store of the plan that can be reached.

    Args:
        fleet: where the plan is found.
        plan: its name.
        backup: an id, or ``latest``.
        store: the copy to prove: what a disaster would leave.
        now: the wall clock.
        progress: told the plain bytes restored and dumped again.
        jobs: connections to restore with; the number of processors unless said.

    Returns:
        The signed proof's content; a ``failed`` verdict is returned, not raised.

    Raises:
        Transient: a server or store went away midway: worth another try, and no verdict was written.
        NotFound, Damaged: there is no manifest to hold the copy against.
    """
    manifest, _ = catalog.manifest(fleet, plan, backup, store)
    watch, started_at, found = Stopwatch(now), now(), _Finding()
    try:
        _run(fleet, manifest, store, found, watch, progress, jobs or os.cpu_count() or 1)
    except (Damaged, RestoreFailed) as error:  # the backup did not come back: that is a verdict
        found.verdict, found.reason = "failed", str(error)
    except Transient:
        raise
    except BackproofError as error:
        found.verdict, found.reason = "could-not-run", str(error)
    # A run that is being stopped raises here: its scratch server was ended under it, and that is no verdict.
    finished_at = now()
    proof = Proof(
        plan=plan,
        backup=manifest.id,
        store=store,
        verdict=found.verdict,
        reason=found.reason,
        started_at=started_at,
        finished_at=finished_at,
        stored_sha256=manifest.stored_sha256,
        backproof_version=__version__,
        proven_on=fleet.plan(plan).verify_on if found.server_version else None,
        server_version=found.server_version,
        differences=found.differences,
        checks=found.checks,
        not_covered=found.not_covered,
        unused_accepts=found.unused_accepts,
        timings=watch.timings,
    )
    return _write(fleet, manifest, proof)


def _run(
    fleet: Fleet, manifest: Manifest, store: str, found: _Finding, watch: Stopwatch, progress: Progress, jobs: int
) -> None:
    engine = fleet.engine(manifest.plan)
    archive = catalog.open_archive(fleet, manifest, store)
    with watch.phase("check the copy", lambda: manifest.stored_bytes):
        archive.verify()  # members and frames vouch for themselves; copies and exports also rely on the whole
    with watch.phase("read definitions"):
        archived = _archived_entries(engine, archive)
    with _place(fleet, engine, manifest, watch) as target:
        with watch.phase("restore", lambda: manifest.plain_bytes):
            left_out = engine.restore(archive, target, jobs, keep_order=True, progress=progress)
            left_out += engine.apply_globals(target, manifest)
        with watch.phase("dump again", lambda: manifest.plain_bytes):
            restored = _dumped_again(fleet, engine, target, manifest, found, progress, jobs)
        with watch.phase("compare"):
            found.differences, found.unused_accepts = differences(
                manifest,
                archived,
                restored,
                lambda table: engine.digest(target, table),
                {accepted.object: accepted.reason for accepted in fleet.plan(manifest.plan).accept},
            )
        with watch.phase("checks"):
            found.checks = checks.run(
                engine.sqlalchemy_url(target), fleet.plan(manifest.plan).checks, manifest.taken_at
            )
    found.not_covered = (*manifest.database.not_carried, *left_out)
    _judge(found, manifest)


def _judge(found: _Finding, manifest: Manifest) -> None:
    unaccepted = [difference for difference in found.differences if difference.accepted is None]
    broken = [check for check in found.checks if not check.passed]
    if unaccepted:
        named = "; ".join(f"{difference.object}: {difference.what}" for difference in unaccepted[:_SHOWN_AT_MOST])
        more = f"; and {len(unaccepted) - _SHOWN_AT_MOST} more" if len(unaccepted) > _SHOWN_AT_MOST else ""
        differing = "1 object differs" if len(unaccepted) == 1 else f"{len(unaccepted)} objects differ"
        found.verdict, found.reason = "failed", f"{differing}: {named}{more}"
    elif broken:
        named = "; ".join(f"{check.name}: found {check.found}, expected {check.expect}" for check in broken)
        found.verdict, found.reason = "failed", f"these checks of the plan do not hold: {named}"
    else:
        rows = sum(table.rows for table in manifest.tables)
        accepted = f", {len(found.differences)} accepted differences aside" if found.differences else ""
        found.verdict = "passed"
        content = f"{len(manifest.entries)} definitions and {rows} rows in {len(manifest.tables)} tables"
        found.reason = f"{content} came back equal{accepted}"


def _archived_entries(engine: Engine, archive: ArchiveReader) -> EntryTexts:
    """What the archive itself says, read back from it: for telling a bad archive from a bad restore."""
    texts = EntryTexts()
    for member in archive.manifest.members:
        if member.table is None:
            for entry in engine.entries(archive.read(member)):
                texts.add(entry.key, engine.canonical(entry))
    return texts


@contextmanager
def _place(fleet: Fleet, engine: Engine, manifest: Manifest, watch: Stopwatch) -> Iterator[Target]:
    """An empty database to restore into, gone afterwards."""
    on_server = fleet.plan(manifest.plan).verify_on == "server"
    with ExitStack() as stack:
        with watch.phase("make a database" if on_server else "start a scratch server"):
            if on_server:
                target = stack.enter_context(_temporary_database(fleet, engine, manifest))
            else:
                folder = stack.enter_context(workspace("scratch", fleet.scratch_folder))
                target = stack.enter_context(engine.scratch(manifest, folder, fleet.tool_folders))
                engine.provide(target, manifest, engine.lacks(target, manifest))
        yield target


@contextmanager
def _temporary_database(fleet: Fleet, engine: Engine, manifest: Manifest) -> Iterator[Target]:
    """A database on the plan's own server. One at a time, so that what a killed run left is known to be nobody's."""
    live = fleet.restorer(manifest.plan)
    # Of this plan of this fleet and no other's: what a killed run left is dropped before the next.
    mark = hashlib.sha256(f"{fleet.spec.fleet} {manifest.plan} {live}".encode()).hexdigest()[:10]
    target = live.to(f"backproof_verify_{manifest.plan.replace('-', '_')[:30]}_{mark}")
    with engine.lock(live, f"verify {manifest.plan}"):
        engine.drop(target)
        engine.create(target, manifest)
        try:
            yield target
        finally:
            engine.drop(target)


def _dumped_again(
    fleet: Fleet, engine: Engine, target: Target, manifest: Manifest, found: _Finding, progress: Progress, jobs: int
) -> Restored:
    major = manifest.database.tool_version
    entries, digests = EntryTexts(), TableDigests()
    with engine.dump(target, jobs, fleet.tool_folders, tool_version=major) as dump:
        found.server_version = dump.database.server_version
        for piece in _pieces(dump):
            progress(len(piece))
            if piece.table is None:
                for entry in engine.entries(piece.head + piece.body + piece.tail):
                    entries.add(entry.key, engine.canonical(entry))
            else:
                digests.add(piece)
        return Restored(
            entries, {table.name: table for table in digests.tables()}, dump.database.settings, dump.database.globals
        )


def _pieces(dump: Dump) -> Iterator[Piece]:
    yield from dump.schema()
    yield from interleave(dump.data())
    yield from dump.finish()


def _write(fleet: Fleet, manifest: Manifest, proof: Proof) -> Proof:
    """Into every store of the plan that can be reached; into one at least.

    Raises:
        BackproofError: no store took it: then nobody can rely on it.
    """
    refused: list[BackproofError] = []
    written = 0
    for name in fleet.plan(manifest.plan).stores:
        place = Name(manifest.plan, manifest.kind, taken_at(manifest.id), ProofPart(proof.finished_at, proof.verdict))
        try:
            fleet.store(name).put(key(place), [fleet.signer.sign(proof)])
        except AlreadyExists:  # another verification of it ended within the same second
            return _write(fleet, manifest, proof.model_copy(update={"finished_at": proof.finished_at + _A_SECOND}))
        except BackproofError as error:
            refused.append(error)
        else:
            written += 1
    if not written:
        raise refused[0]
    return proof
