"""Backups as a seal and a proof would leave them in stores, made without any database."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from backproof.archive.manifest import archive_name
from backproof.fleet import Fleet
from backproof.naming import MANIFEST, ProofPart, key
from backproof.records import Manifest, Proof, Verdict
from tests.support import archives


def commit(
    fleet: Fleet,
    plan: str,
    taken_at: datetime,
    stores: Sequence[str],
    verdict: Verdict | None = "passed",
    rows: int = 1,
) -> Manifest:
    """A backup in some stores, and in the first of them a proof of it, ten minutes later."""
    pieces = [archives.rows_of("public.users", b"".join(b"%d\n" % (number * 7919) for number in range(rows)))]
    archive = archives.make(pieces, fleet.ring(plan), plan=plan, taken_at=taken_at)
    name = archive_name(archive.manifest)
    for store in stores:
        fleet.store(store).put(key(name), [archive.stored])
        fleet.store(store).put(key(name.with_part(MANIFEST)), [fleet.signer.sign(archive.manifest)])
    if verdict is not None:
        prove(fleet, archive.manifest, stores[0], taken_at + timedelta(minutes=10), verdict)
    return archive.manifest


def prove(
    fleet: Fleet, manifest: Manifest, store: str, at: datetime, verdict: Verdict = "passed", signer: Fleet | None = None
) -> None:
    """A proof of a copy, in its store."""
    proof = Proof(
        plan=manifest.plan,
        backup=manifest.id,
        store=store,
        verdict=verdict,
        reason="a test",
        started_at=at,
        finished_at=at,
        stored_sha256=manifest.stored_sha256,
        backproof_version="0",
        proven_on="scratch",
        server_version="16.14",
    )
    name = archive_name(manifest).with_part(ProofPart(at, verdict))
    fleet.store(store).put(key(name), [(signer or fleet).signer.sign(proof)])
