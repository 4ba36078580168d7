"""What a manifest must say to be believed, once its signature is: it fits its place, and it fits itself."""

import re
from collections import Counter
from itertools import pairwise

from backproof import naming
from backproof.archive.signing import Signer
from backproof.errors import Damaged
from backproof.records import Manifest, Pin, Proof, Removal

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SECTIONS = ("schema", "data", "finish")


def read(document: bytes, signer: Signer, name: naming.Name) -> Manifest:
    """The manifest that lies under a name, checked.

    Raises:
        BadSignature: it is not signed by a key this fleet trusts.
        Damaged: it is no manifest, contradicts itself, or is another backup's.
    """
    manifest = signer.verify(document, Manifest)
    if (manifest.plan, manifest.kind, manifest.id) != (name.plan, name.kind, name.id):
        raise _misplaced("manifest", f"{manifest.id} of plan {manifest.plan} ({manifest.kind})", name)
    check(manifest)
    return manifest


def read_proof(document: bytes, signer: Signer, name: naming.Name) -> Proof:
    """The proof that lies under a name, checked.

    Raises:
        BadSignature: it is not signed by a key this fleet trusts.
        Damaged: it is no proof, or another one's.
    """
    proof = signer.verify(document, Proof)
    said = naming.ProofPart(proof.finished_at, proof.verdict)
    if (proof.plan, proof.backup, said) != (name.plan, name.id, name.part):
        raise _misplaced("proof", f"{proof.backup} of plan {proof.plan}, {proof.verdict}", name)
    return proof


def read_pin(document: bytes, signer: Signer, name: naming.Name) -> Pin:
    """The pin that lies under a name, checked.

    Raises:
        BadSignature: it is not signed by a key this fleet trusts.
        Damaged: it is no pin, or another backup's.
    """
    pin = signer.verify(document, Pin)
    if (pin.plan, pin.kind, pin.backup) != (name.plan, name.kind, name.id):
        raise _misplaced("pin", f"{pin.backup} of plan {pin.plan} ({pin.kind})", name)
    return pin


def read_removal(document: bytes, signer: Signer, name: naming.Name) -> Removal:
    """The removal that lies under a name, checked as a pin is."""
    removal = signer.verify(document, Removal)
    if (removal.plan, removal.kind, removal.backup) != (name.plan, name.kind, name.id):
        raise _misplaced("removal", f"{removal.backup} of plan {removal.plan} ({removal.kind})", name)
    return removal


def archive_name(manifest: Manifest) -> naming.Name:
    """Where its archive lies."""
    part = naming.ENCRYPTED if manifest.encryption else naming.PLAIN
    return naming.Name(manifest.plan, manifest.kind, manifest.taken_at, part)


def check(manifest: Manifest) -> None:
    """Hold a manifest against itself.

    Raises:
        Damaged: it contradicts itself; says where.
    """
    _check_name(manifest)
    _check_members(manifest)
    _check_tables(manifest)


def _check_name(manifest: Manifest) -> None:
    try:
        name = archive_name(manifest)
    except ValueError as error:
        raise _contradiction(manifest, str(error)) from None
    _require(manifest, name.id == manifest.id, f"it was taken at {manifest.taken_at:%Y-%m-%d %H:%M:%S}")


def _check_members(manifest: Manifest) -> None:
    members = manifest.members
    numbers = (number for member in members for number in (member.rows, member.offset, member.plain_bytes))
    _require(manifest, min(numbers, default=-1) >= 0, "it has no members, or a negative number in one")
    _require(manifest, all(member.length > 0 for member in members), "a member is empty")
    ends = [0, *(member.offset + member.length for member in members)]
    _require(manifest, all(m.offset == end for m, end in zip(members, ends, strict=False)), "members leave gaps")
    _require(manifest, ends[-1] == manifest.gzip_bytes, f"members end at {ends[-1]}, not {manifest.gzip_bytes}")
    plain_bytes = sum(member.plain_bytes for member in members)
    _require(manifest, plain_bytes == manifest.plain_bytes, f"members unpack to {plain_bytes} bytes")
    order = [_SECTIONS.index(member.section) for member in members]
    _require(manifest, all(one <= next_ for one, next_ in pairwise(order)), "its sections are out of order")
    digests = [manifest.stored_sha256, *(m.sha256 for m in members), *(table.sha256 for table in manifest.tables)]
    _require(manifest, all(map(_SHA256.fullmatch, digests)), "a digest is no SHA-256")
    stored_more = manifest.stored_bytes - manifest.gzip_bytes
    _require(manifest, stored_more > 0 if manifest.encryption else stored_more == 0, "its stored length can't be")


def _check_tables(manifest: Manifest) -> None:
    held = [member for member in manifest.members if member.section == "data" and member.table is not None]
    rows: Counter[str | None] = Counter({member.table: 0 for member in held})
    for member in held:
        rows[member.table] += member.rows
    said = {table.name: table.rows for table in manifest.tables}
    _require(manifest, len(said) == len(manifest.tables), "a table is listed twice")
    differing = sorted(str(name) for name in rows.keys() | said.keys() if rows.get(name) != said.get(name or ""))
    _require(manifest, not differing, f"its members and its tables disagree on {', '.join(differing[:3])}")


def _require(manifest: Manifest, holds: bool, otherwise: str) -> None:
    if not holds:
        raise _contradiction(manifest, otherwise)


def _contradiction(manifest: Manifest, what: str) -> Damaged:
    return Damaged(
        f"the manifest of {manifest.id} contradicts itself: {what}",
        "Use another copy of this backup, or another backup.",
    )


def _misplaced(document: str, said: str, name: naming.Name) -> Damaged:
    return Damaged(
        f"the {document} at {naming.key(name)} is of {said}", "It lies in the wrong place: use another copy."
    )
