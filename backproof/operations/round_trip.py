"""The round trip of a proof, part by part: what ``prove`` and a recovery test do with a restored database.

``passed`` is said only at the one place where everything ran, nothing differs (but for what the plan accepts by name)
and every check holds.
"""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta

from backproof.archive.reader import ArchiveReader
from backproof.archive.tables import TableDigests
from backproof.comparison import EntryTexts, Restored, differences
from backproof.engines import Dump, Engine, Piece, Progress
from backproof.errors import AlreadyExists, BackproofError
from backproof.fleet import Fleet
from backproof.naming import Name, ProofPart, key, taken_at
from backproof.operations import checks
from backproof.operations.streams import interleave
from backproof.records import CheckResult, Difference, Manifest, Proof, Target, Verdict

_SHOWN_AT_MOST = 5
_A_SECOND = timedelta(seconds=1)


@dataclass
class Found:
    """What a run of the proof found, as far as it got."""

    verdict: Verdict = "could-not-run"
    reason: str = ""
    server_version: str | None = None
    differences: tuple[Difference, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    not_covered: tuple[str, ...] = ()
    unused_accepts: tuple[str, ...] = ()


def bring_back(engine: Engine, archive: ArchiveReader, target: Target, jobs: int, progress: Progress) -> list[str]:
    """Fill an empty database so that it can be compared: rows in the order of the archive.

    Returns:
        What was left out and why, a sentence each.
    """
    left_out = engine.restore(archive, target, jobs, keep_order=True, progress=progress)
    return left_out + engine.apply_globals(target, archive.manifest)


def archived_entries(engine: Engine, archive: ArchiveReader) -> EntryTexts:
    """What the archive itself says, read back from it: for telling a bad archive from a bad restore."""
    texts = EntryTexts()
    for member in archive.manifest.members:
        if member.table is None:
            for entry in engine.entries(archive.read(member)):
                texts.add(entry.key, engine.canonical(entry))
    return texts


def dumped_again(
    fleet: Fleet, engine: Engine, target: Target, manifest: Manifest, found: Found, progress: Progress, jobs: int
) -> Restored:
    """Everything that the restored database is, by a dump of it; nothing of it is kept but digests."""
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


def compare(
    fleet: Fleet,
    engine: Engine,
    target: Target,
    manifest: Manifest,
    archived: EntryTexts,
    restored: Restored,
    found: Found,
) -> None:
    """Hold what was restored against the backup."""
    found.differences, found.unused_accepts = differences(
        manifest,
        archived,
        restored,
        lambda table: engine.digest(target, table),
        {accepted.object: accepted.reason for accepted in fleet.plan(manifest.plan).accept},
    )


def check(fleet: Fleet, engine: Engine, target: Target, manifest: Manifest, found: Found) -> None:
    """Put the plan's own questions."""
    found.checks = checks.run(engine.sqlalchemy_url(target), fleet.plan(manifest.plan).checks, manifest.taken_at)


def judge(found: Found, manifest: Manifest) -> None:
    """The verdict, once everything has run."""
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


@contextmanager
def temporary_database(
    fleet: Fleet, engine: Engine, manifest: Manifest, server: Target, what: str, lock: AbstractContextManager[None]
) -> Iterator[Target]:
    """A database on a server. One at a time, so that what a killed run left is known to be nobody's.

    Args:
        fleet: where the plan is found.
        engine: of the server.
        manifest: what is to be restored into it.
        server: who may make databases there, and the database whose place this one is in.
        what: one word for its name: ``verify``.
        lock: held meanwhile, by one of a plan.
    """
    # Of this plan of this fleet and no other's: what a killed run left is dropped before the next.
    mark = hashlib.sha256(f"{fleet.spec.fleet} {manifest.plan} {server}".encode()).hexdigest()[:10]
    target = server.to(f"backproof_{what}_{manifest.plan.replace('-', '_')[:30]}_{mark}")
    with lock:
        engine.drop(target)
        engine.create(target, manifest)
        try:
            yield target
        finally:
            engine.drop(target)


def write_proof(fleet: Fleet, manifest: Manifest, proof: Proof) -> Proof:
    """Into every store of the plan that can be reached; into one at least.

    Raises:
        BackproofError: no store took it: then nobody can rely on it.
    """
    refused: list[BackproofError] = []
    written = 0
    for name in fleet.plan(manifest.plan).stores:
        try:
            fleet.store(name).put(proof_key(manifest, proof), [fleet.signer.sign(proof)])
        except AlreadyExists:  # another verification of it ended within the same second
            return write_proof(fleet, manifest, proof.model_copy(update={"finished_at": proof.finished_at + _A_SECOND}))
        except BackproofError as error:
            refused.append(error)
        else:
            written += 1
    if not written:
        raise refused[0]
    return proof


def proof_key(manifest: Manifest, proof: Proof) -> str:
    """Where a proof lies in a store."""
    part = ProofPart(proof.finished_at, proof.verdict)
    return key(Name(manifest.plan, manifest.kind, taken_at(manifest.id), part))
