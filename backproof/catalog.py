"""What exists: the backups of a plan over its stores. Read from the stores alone, which are the truth.

A backup exists in a store when its manifest does: manifests are written last and deleted first. A proof counts when its
signature holds and it is of this backup; what its file name says is only a hint where to look.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from backproof.archive import manifest as documents
from backproof.archive.reader import ArchiveReader
from backproof.archive.signing import Signer
from backproof.errors import BackproofError, BadSignature, Damaged, NotFound
from backproof.fleet import Fleet
from backproof.holdings import Held, Holdings, listed
from backproof.naming import ENCRYPTED, MANIFEST, PIN, PLAIN, REMOVAL, Name, ProofPart, key
from backproof.records import Backup, Copy, Manifest, Proof, Removal
from backproof.stores import Store

_DOCUMENT_BYTES = 256 * 1024 * 1024
"""No manifest or proof is larger; what claims to be is not read."""


@dataclass(frozen=True)
class Listing:
    """The backups of a plan, and the stores that could not be asked."""

    backups: tuple[Backup, ...]
    unreachable: tuple[tuple[str, BackproofError], ...]


_READERS = 8
"""Backups whose manifest and proofs are read at a time: over a network each read is mostly waiting."""


def listing(fleet: Fleet, plan: str, stores: Sequence[str] | None = None) -> Listing:
    """Every backup of a plan, newest first, with its copies and whether it is proven; unreachable stores are named."""
    held = _held(fleet, plan, stores)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="read") as pool:
        backups = list(pool.map(lambda each: read_backup(fleet, each), _newest_first(held)))
    return Listing(tuple(backup for backup in backups if backup is not None), tuple(held.unlisted.items()))


def _held(fleet: Fleet, plan: str, stores: Sequence[str] | None) -> Holdings:
    return listed(fleet, plan, tuple(stores or fleet.plan(plan).stores))


def _newest_first(held: Holdings) -> list[Held]:
    return sorted(held.found, key=lambda each: (each.taken_at, each.kind), reverse=True)


def backups(fleet: Fleet, plan: str, stores: Sequence[str] | None = None) -> list[Backup]:
    """Every backup of a plan, newest first.

    Raises:
        BackproofError: a store could not be listed whole. ``listing`` goes on without it, and says so.
    """
    found = listing(fleet, plan, stores)
    for _, error in found.unreachable:
        raise error
    return list(found.backups)


def manifest(fleet: Fleet, plan: str, backup: str = "latest", store: str | None = None) -> tuple[Manifest, str]:
    """The signed manifest of one backup, and the store it was read from: the first of ``manifests``.

    Raises:
        NotFound, Damaged: as ``manifests``.
    """
    return next(manifests(fleet, plan, backup, store))


def manifests(
    fleet: Fleet, plan: str, backup: str = "latest", store: str | None = None
) -> Iterator[tuple[Manifest, str]]:
    """The signed manifest of one backup from each store that has it; at least one.

    Args:
        backup: an id, ``latest`` (the newest that is committed), or ``latest-proven``. Neither means one that was
            sealed because of a recovery: it holds the very state that somebody wanted to be rid of.
        store: where to look; unless said, the plan's stores in their order, past those that can't be reached, and those
            that lost the archive itself last.

    Raises:
        NotFound: no store that can be reached has it; says which could not be. Or there is no such store.
        Damaged: its manifest, or the name it lies under, is not what was written; where no store has a better one.
    """
    return manifests_of(fleet, find(fleet, plan, backup, store)[0])


def find(fleet: Fleet, plan: str, backup: str, store: str | None = None) -> tuple[tuple[Backup, ...], tuple[str, ...]]:
    """The backup that an id or ``latest`` means, and a sentence for each store that might know of a newer one.

    Returns:
        One backup, as a rule: what lies under one id in two kinds is two, one of which is not what it says.

    Raises:
        NotFound: as ``manifests``.
    """
    if store is not None:
        fleet.store(store)
    held = _held(fleet, plan, None if store is None else [store])
    chosen = _choose(fleet, plan, held, backup)
    doubts = (
        f"store {name} could not be asked, and may hold a newer backup than {chosen[0].id}: {error.fact}"
        for name, error in held.unlisted.items()
    )
    return chosen, tuple(doubts) if backup.startswith("latest") else ()


def manifests_of(fleet: Fleet, chosen: Sequence[Backup]) -> Iterator[tuple[Manifest, str]]:
    """What ``manifests`` gives, of backups that were found."""
    refused: BackproofError | None = None
    some = False
    places = [(backup, copy) for backup in chosen for copy in backup.copies if copy.manifest]
    for backup, copy in sorted(places, key=lambda place: not place[1].archive):
        name = Name(backup.plan, backup.kind, backup.taken_at, MANIFEST)
        try:
            read = read_manifest(fleet.store(copy.store), name, fleet.signer)
        except BackproofError as error:
            refused = refused or error
        else:
            some = True
            yield read, copy.store
    if not some:
        raise refused or NotFound(f"no store has a manifest of {chosen[0].id}", "Run `backproof list`.")


def read_manifest(store: Store, name: Name, signer: Signer) -> Manifest:
    """One manifest, its signature, its consistency and its name checked.

    Raises:
        NotFound, Damaged: it is not there, or not what was written.
    """
    place = name.with_part(MANIFEST)
    return documents.read(document(store, key(place)), signer, place)


def read_proof(store: Store, name: Name, signer: Signer) -> Proof:
    """One proof, its signature checked and that it is of the backup whose name it lies under.

    Raises:
        NotFound, Damaged: it is not there, or not what was written.
    """
    return documents.read_proof(document(store, key(name)), signer, name)


def read_removal(store: Store, name: Name, signer: Signer) -> Removal:
    """The mark that what is left of a backup is to be deleted, its signature checked and that it is of this backup.

    Raises:
        NotFound, Damaged: it is not there, or not what was written.
    """
    place = name.with_part(REMOVAL)
    return documents.read_removal(document(store, key(place)), signer, place)


def why_pinned(fleet: Fleet, name: Name, stores: Sequence[str]) -> str | None:
    """Why a backup is pinned, from the first good pin in the stores that list one; None where none does.

    A pin that can't be read, or that no key of this fleet has signed, keeps the backup all the same: whoever removes
    one should have to mean it.
    """
    doubt = None
    place = name.with_part(PIN)
    for store in stores:
        try:
            return documents.read_pin(document(fleet.store(store), key(place)), fleet.signer, place).why
        except BackproofError as error:
            doubt = doubt or f"(the pin in store {store} does not say why: {error.fact})"
    return doubt


def open_archive(fleet: Fleet, manifest: Manifest, store: str) -> ArchiveReader:
    """One copy of a backup, for reading; its length is held against the manifest first.

    Raises:
        NotFound: the archive is not in that store.
        Damaged: it is longer or shorter than what was written.
    """
    place = fleet.store(store)
    archive = key(documents.archive_name(manifest))
    stored = place.head(archive)
    if stored is None:
        raise NotFound(f"{place.location(archive)} is missing, though its manifest is there", "Use another store.")
    if stored.length != manifest.stored_bytes:
        raise Damaged(
            f"{place.location(archive)} is {stored.length} bytes long, {manifest.stored_bytes} were written",
            "Do not use this copy; use another store, and find out who changed it.",
        )
    return ArchiveReader(manifest, lambda start, length: place.read(archive, start, length), fleet.ring(manifest.plan))


def read_backup(fleet: Fleet, held: Held, certain: bool = False) -> Backup | None:
    """One backup, from what the stores list of it; None where no store lists its manifest.

    Args:
        fleet: where the plan is found.
        held: what is listed.
        certain: raise where it can't be known whether it is proven, rather than to call it unproven.

    Raises:
        BackproofError: with ``certain``, that of a store which could not be read.
    """
    if not held.committed:
        return None
    copies = tuple(_copy(store, parts) for store, parts in held.places().items())
    name = held.name
    proofs, distrusted_at = _proofs(fleet, name, copies, certain)
    verdicts = {proof.store: proof for proof in proofs if proof.verdict != "could-not-run"}  # the newest comes last
    passed = [proof.finished_at for proof in verdicts.values() if proof.verdict == "passed"]
    failed = [proof.finished_at for proof in verdicts.values() if proof.verdict == "failed"]
    marked = tuple(
        copy.model_copy(update={"verdict": verdicts[copy.store].verdict}) if copy.store in verdicts else copy
        for copy in copies
    )
    return Backup(
        plan=held.plan,
        id=held.id,
        kind=held.kind,
        taken_at=held.taken_at,
        copies=marked,
        proven_at=max(passed) if passed and _some_whole(fleet, name, marked, certain) else None,
        failed_at=max(failed, default=None),
        distrusted_at=distrusted_at,
        pinned=why_pinned(fleet, name, held.having(PIN)),
    )


def _some_whole(fleet: Fleet, name: Name, copies: Sequence[Copy], certain: bool) -> bool:
    """Whether a copy is left that did not fail, with an archive as long as its own signed manifest says."""
    unread: BackproofError | None = None
    for copy in copies:
        if copy.archive and copy.manifest and copy.verdict != "failed":
            try:
                manifest = read_manifest(fleet.store(copy.store), name, fleet.signer)
            except BackproofError as error:
                unread = unread or _no_answer(error)
                continue
            if manifest.stored_bytes == copy.stored_bytes:
                return True
    if certain and unread is not None:
        raise unread
    return False


def _no_answer(error: BackproofError) -> BackproofError | None:
    """An error that says nothing of what lies there."""
    return None if isinstance(error, Damaged | NotFound) else error


def _copy(store: str, parts: Sequence[tuple[Name, int]]) -> Copy:
    archives = [length for name, length in parts if name.part in (ENCRYPTED, PLAIN)]
    proofs = sorted((name.part.finished_at, name.part.verdict) for name, _ in parts if isinstance(name.part, ProofPart))
    return Copy(
        store=store,
        archive=bool(archives),
        manifest=any(name.part == MANIFEST for name, _ in parts),
        stored_bytes=archives[0] if archives else None,
        proofs=tuple(proofs),
        pinned=any(name.part == PIN for name, _ in parts),
    )


def _proofs(fleet: Fleet, name: Name, copies: Sequence[Copy], certain: bool) -> tuple[list[Proof], datetime | None]:
    """Every proof whose signature holds, oldest first; and when the newest was made that nobody trusted signed."""
    found: list[Proof] = []
    distrusted: list[datetime] = []
    for at, verdict in sorted({each for copy in copies for each in copy.proofs}):
        place = name.with_part(ProofPart(at, verdict))
        doubted = False
        unread: BackproofError | None = None
        for copy in copies:
            if (at, verdict) in copy.proofs:
                try:
                    found.append(read_proof(fleet.store(copy.store), place, fleet.signer))
                    break
                except BadSignature:
                    doubted = True
                except BackproofError as error:
                    unread = unread or _no_answer(error)
        else:
            if certain and unread is not None:
                raise unread
            distrusted += [at] * doubted
    return found, max(distrusted, default=None)


def document(store: Store, name: str) -> bytes:
    """A manifest or proof as it lies there, nothing of it checked.

    Raises:
        Damaged: it is larger than any of ours.
    """
    chunks: Iterator[bytes] = store.read(name)
    read = bytearray()
    for chunk in chunks:
        read += chunk
        if len(read) > _DOCUMENT_BYTES:
            raise Damaged(f"{store.location(name)} is too large for what it should be", "Use another store.")
    return bytes(read)


def _choose(fleet: Fleet, plan: str, held: Holdings, backup: str) -> tuple[Backup, ...]:
    """Only as many backups are read as it takes to find the one that is meant."""
    chosen: list[Backup] = []
    for each in _newest_first(held):
        if chosen and chosen[0].taken_at != each.taken_at:
            break
        if each.kind == "safety" if backup.startswith("latest") else each.id != backup:
            continue
        candidate = read_backup(fleet, each)
        if candidate is not None and (candidate.proven_at or backup != "latest-proven"):
            chosen.append(candidate)
    if chosen:
        return tuple(chosen)
    missing = "; ".join(f"store {store} could not be asked: {error.fact}" for store, error in held.unlisted.items())
    what = "no backup" if backup.startswith("latest") else f"no backup {backup}"
    raise NotFound(
        f"{what} of plan {plan} was found" + (f" ({missing})" if missing else ""),
        "`backproof list` shows those there are.",
    )
