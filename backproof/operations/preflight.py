"""Preflight: everything that can be known to stand in the way, before anything is touched."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from backproof import catalog
from backproof.archive.keys import KeyRing
from backproof.errors import BackproofError, Damaged, Permanent, Transient
from backproof.findings import failed
from backproof.fleet import Fleet
from backproof.records import Finding, Manifest
from backproof.words import size

STORE_SHARE = 1.2
"""Of the last archive's size: room for a database that grows from one backup to the next."""

_FIRST_SHARE = 0.1
"""Of the live size, where no archive tells: what a first one takes at the very least, or nearly so."""

_SCRATCH_SHARE = 1.3
"""Of the live size: what a scratch server takes while it restores."""


def preflight(fleet: Fleet, plan: str) -> list[Finding]:
    """Every check of a plan with its result and remedy; raises for nothing that it can report.

    Covers the keys (something encrypted and decrypted), the database (reached, password, privileges against the object
    inventory), the tools and their versions, every store of the plan (an object written, read back and deleted), and
    free space. One store of several that can't be written is a warning: the backup is safe without it.
    """
    findings = list(key_findings(fleet, plan))
    try:
        findings += fleet.engine(plan).findings(fleet.target(plan), fleet.tool_folders)
    except BackproofError as error:
        findings.append(failed("database", error))
    findings += _admin(fleet, plan)
    last = _last(fleet, plan)
    live_bytes = next((finding.live_bytes for finding in findings if finding.live_bytes is not None), None)
    if last and live_bytes is None:
        live_bytes = last.database.live_bytes
    return [*findings, *scratch_room(fleet, plan, live_bytes), *_stores(fleet, plan, last, live_bytes)]


def require(findings: Iterable[Finding]) -> None:
    """Stop where a backup can't be taken.

    Raises:
        Permanent: names every failed check and its remedy.
        Transient: likewise, where all that failed may pass on its own.
    """
    broken = [finding for finding in findings if finding.status == "failed"]
    if broken:
        kind = Transient if all(finding.passing for finding in broken) else Permanent
        raise kind(
            "; ".join(f"{finding.check}: {finding.found}" for finding in broken),
            " ".join(dict.fromkeys(finding.remedy for finding in broken if finding.remedy)),
        )


def key_findings(fleet: Fleet, plan: str) -> Iterable[Finding]:
    """Whether there is a signing key, and a key that encrypts and decrypts; touches no store."""
    try:
        ring, signer = fleet.ring(plan), fleet.signer
    except BackproofError as error:
        yield failed("key", error)
        return
    yield Finding(check="signing key", status="ok", found=signer.fingerprint)
    if ring is None:
        yield Finding(
            check="key",
            status="warning",
            found="the plan says encryption: none",
            remedy="Anybody who reaches a store can read its archives. Name a key in the plan to encrypt them.",
        )
        return
    yield _key(ring, plan)
    if ring.escrow_fingerprint is None:
        yield Finding(
            check="escrow key",
            status="warning",
            found="the plan has none",
            remedy="If the key is lost, so is every backup. Make one with `backproof keys escrow` and keep it offline.",
        )
    else:
        yield Finding(check="escrow key", status="ok", found=ring.escrow_fingerprint)


def _key(ring: KeyRing, plan: str) -> Finding:
    """Wrap something and unwrap it, bound to the plan as its archives are: a key in KMS may ask for that."""
    probe, context = os.urandom(32), {"plan": plan, "backup": "preflight", "kind": "preflight"}
    name = str(ring.fingerprint)
    try:
        wrapped = ring.wrap(probe, context)
    except BackproofError as error:
        return failed("key", error)
    try:
        opened = ring.unwrap(wrapped[:1], context)
    except Damaged:
        opened = b""
    except BackproofError as error:
        # That can be meant: whoever breaks into a machine that may only encrypt opens no archive.
        found = f"{name}: encrypts, but does not decrypt here; backups can be neither proven nor restored: {error.fact}"
        return Finding(check="key", status="warning", found=found, remedy=error.remedy)
    if opened != probe:
        found, remedy = f"{name}: what it encrypts it does not decrypt", "Give the key ring another key."
        return Finding(check="key", status="failed", found=found, remedy=remedy)
    return Finding(check="key", status="ok", found=f"{name}: encrypts and decrypts")


def _admin(fleet: Fleet, plan: str) -> Iterable[Finding]:
    """Whoever restores is not asked for in a backup: what is wrong with them would show on the day of need."""
    live, restorer = fleet.target(plan), fleet.restorer(plan)
    if restorer == live:
        return
    try:
        with fleet.engine(plan).lock(restorer, f"doctor {plan} {os.getpid()}"):
            yield Finding(check="admin", status="ok", found=f"{restorer.user} can connect")
    except BackproofError as error:
        found = f"{error.fact}; backups are not affected, restores are"
        yield Finding(check="admin", status="warning", found=found, remedy=error.remedy)


def _last(fleet: Fleet, plan: str) -> Manifest | None:
    """What the newest backup took tells what the next one will take."""
    try:
        return catalog.manifest(fleet, plan)[0]
    except BackproofError:
        return None


def scratch_room(fleet: Fleet, plan: str, live_bytes: int | None) -> Iterable[Finding]:
    """Whether a proof has room on this machine."""
    if live_bytes is None or fleet.plan(plan).verify_on != "scratch":
        return
    folder = fleet.scratch_folder or Path(tempfile.gettempdir())
    free, needed = shutil.disk_usage(_existing(folder)).free, int(live_bytes * _SCRATCH_SHARE)
    if free < needed:
        yield Finding(
            check="scratch folder",
            status="warning",
            found=f"{folder}: {size(free)} free, a proof needs {size(needed)}",
            remedy="Make room, or name a larger folder as scratch_folder in the fleet.",
        )
    else:
        yield Finding(check="scratch folder", status="ok", found=f"{folder}: {size(free)} free")


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.absolute().parents) if place.is_dir())


def _stores(fleet: Fleet, plan: str, last: Manifest | None, live_bytes: int | None) -> list[Finding]:
    findings = [_store(fleet, name, last, live_bytes) for name in fleet.plan(plan).stores]
    if all(finding.status == "failed" for finding in findings):
        return findings
    return [
        finding.model_copy(update={"status": "warning", "found": f"{finding.found}; backups will lack this copy"})
        if finding.status == "failed"
        else finding
        for finding in findings
    ]


def _store(fleet: Fleet, name: str, last: Manifest | None, live_bytes: int | None) -> Finding:
    check = f"store {name}"
    try:
        store = fleet.store(name)
        store.probe()
        free = store.free_bytes()
    except BackproofError as error:
        return failed(check, error)
    needed = int(last.stored_bytes * STORE_SHARE) if last else 0
    if free is not None and free < needed:
        found = f"{store.location()}: {size(free)} free, a backup needs {size(needed)}"
        return Finding(check=check, status="failed", found=found, remedy="Make room there, or use a larger disk.")
    first = int((live_bytes or 0) * _FIRST_SHARE) if last is None else 0
    if free is not None and free < first:
        found = f"{store.location()}: {size(free)} free, and a first backup may need {size(first)} or more"
        return Finding(check=check, status="warning", found=found, remedy="Make room there, or use a larger disk.")
    room = "" if free is None else f", {size(free)} free"
    return Finding(check=check, status="ok", found=f"{store.location()}: written, read and deleted{room}")
