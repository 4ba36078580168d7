"""Replicate: make every store of a plan hold what retention keeps, from whichever store has a good copy.

``survey`` reads the stores and thinks (``backproof.replication``); ``bring`` carries one step out. Both may be killed
anywhere and repeated: an archive appears whole or not at all, is checked at its place, and only then gets its manifest;
proofs and pin come last. Nothing that lies in a store is ever overwritten, and no lock is shared with a backup.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from backproof import catalog
from backproof.archive import manifest as documents
from backproof.archive.reader import checked
from backproof.engines import Progress, no_progress
from backproof.errors import AlreadyExists, BackproofError, Damaged, NotFound, Transient
from backproof.fleet import Fleet
from backproof.naming import MANIFEST, PIN, Name, ProofPart, key, taken_at
from backproof.operations.clock import Now, Stopwatch, utc_now
from backproof.operations.copy import write_manifest
from backproof.records import Backup, Kind, Manifest, Record, Timing
from backproof.replication import Alarm, Outlook, ProofPlace, Said, Step, mended, outlook
from backproof.retention import Candidate, decide
from backproof.stores import Store

_READERS = 8
"""Manifests that are read at a time: over a network each read is mostly waiting."""


class Brought(Record):
    """What was done for one store and one backup; all that it lacked, unless ``alarms`` tells why not."""

    backup: str
    target: str
    source: str | None
    """None: nothing was copied; the archive was there already, and is the one, or no copy of it is good."""
    copied_bytes: int
    server_side: bool
    """The store copied them itself: they did not pass through us."""
    manifest: bool
    """It was missing, and is written."""
    proofs: int
    """So many were written."""
    pin: bool
    """It was missing, and is written."""
    passed_over: tuple[str, ...]
    """Copies that could not be read this time, a sentence each."""
    alarms: tuple[Alarm, ...]
    """Copies that turned out to be damaged while they were read."""
    timing: Timing


def survey(fleet: Fleet, plan: str, now: Now = utc_now) -> Outlook:
    """What each store of a plan lacks; stores that can't be reached are named.

    Raises:
        BackproofError: no store could be asked.
    """
    stores = fleet.plan(plan).stores
    found = catalog.listing(fleet, plan)
    if len(found.unreachable) == len(stores):
        raise found.unreachable[0][1]
    unreachable = {store: str(error) for store, error in found.unreachable}
    with ThreadPoolExecutor(_READERS, thread_name_prefix="read") as pool:
        read = list(pool.map(lambda backup: _said(fleet, backup), found.backups))
    said = {(backup.id, backup.kind): each for backup, (each, _) in zip(found.backups, read, strict=True)}
    for _, gone in read:  # since it was listed
        unreachable |= gone
    return outlook(plan, stores, found.backups, said, unreachable, _leaving(fleet, plan, found.backups, now()))


def _leaving(fleet: Fleet, plan: str, backups: Sequence[Backup], now: datetime) -> frozenset[tuple[str, Kind]]:
    """What retention deletes next, whether or not it can today, with a store that is down."""
    spec = fleet.plan(plan)
    candidates = {
        Candidate(plan, backup.kind, backup.id, backup.taken_at, backup.pinned): backup.proven_at is not None
        for backup in backups
    }
    proven = [candidate for candidate, is_proven in candidates.items() if is_proven]
    decision = decide(list(candidates), spec.retention, spec.minimum_proven, now, proven=proven)
    return frozenset((fate.backup.id, fate.backup.kind) for fate in decision.doomed)


def bring(fleet: Fleet, plan: str, step: Step, progress: Progress = no_progress, now: Now = utc_now) -> Brought:
    """Carry out one step; safe to repeat, and resumed by repeating.

    Args:
        fleet: where the plan is found.
        plan: its name.
        step: of its outlook.
        progress: told the bytes as they are read.
        now: the wall clock.

    Raises:
        Damaged: what lies at the target is another archive; everything stays as it is.
        BackproofError: as the target tells, or a source where none could be read.
    """
    signed, manifest = _described(fleet, plan, step)
    place, watch, carried = fleet.store(step.target), Stopwatch(now), _Carried()
    with watch.phase(f"replicate to {step.target}", lambda: carried.copied_bytes):
        if step.archive == "copy":
            there = _copy(fleet, place, manifest, step.sources, carried, progress)
        else:
            there = True
            if step.archive == "check":
                _check(place, manifest, progress)
        if step.manifest and there:
            _expect_wanted(fleet, step, manifest)
            write_manifest(fleet, place, manifest, signed)
        written = sum(_write_proof(fleet, place, manifest, proof) for proof in step.proofs if there)
        pinned = _write_pin(fleet, place, manifest, step.pinned_in)
    return Brought(
        backup=step.backup,
        target=step.target,
        source=carried.source,
        copied_bytes=carried.copied_bytes,
        server_side=carried.server_side,
        manifest=step.manifest and there,
        proofs=written,
        pin=pinned,
        passed_over=tuple(carried.passed_over),
        alarms=tuple(carried.alarms),
        timing=watch.timings[0],
    )


class _Carried:
    """What became of one archive."""

    def __init__(self) -> None:
        self.source: str | None = None
        self.copied_bytes = 0
        self.server_side = False
        self.passed_over: list[str] = []
        self.alarms: list[Alarm] = []

    def refuse(self, manifest: Manifest, source: str, error: BackproofError) -> None:
        """A copy could not be read, or is not what it should be."""
        fact = f"the copy of {manifest.id} in {source} was passed over: {error.fact}"
        if isinstance(error, Damaged):
            remedy = mended(manifest.plan, manifest.id, source)
            self.alarms.append(Alarm(what="damaged", backup=manifest.id, stores=(source,), fact=fact, remedy=remedy))
        else:
            self.passed_over.append(fact)


class _Reading:
    """The bytes of one copy, checked as they pass; remembers whether it was the copy that failed."""

    def __init__(self, store: Store, archive: str, manifest: Manifest, progress: Progress) -> None:
        self.store = store
        self._chunks = checked(store.read(archive), manifest)
        self._progress = progress
        self.error: BackproofError | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._chunks:
                self._progress(len(chunk))
                yield chunk
        except BackproofError as error:
            self.error = error
            raise


def _copy(
    fleet: Fleet, place: Store, manifest: Manifest, sources: Sequence[str], carried: _Carried, progress: Progress
) -> bool:
    """From the first source that is good to the target, and checked there; False where all of them are damaged."""
    archive = key(documents.archive_name(manifest))
    refused: list[BackproofError] = []
    bad: set[str] = set()
    for way, source in [(way, source) for way in (_fetch, _stream) for source in sources]:
        if source in bad:
            continue
        reading = _Reading(fleet.store(source), archive, manifest, progress)
        try:
            told = way(place, archive, reading, manifest)
        except AlreadyExists:
            _check(place, manifest, progress)
            return True
        except BackproofError as error:
            if reading.error is not error:
                raise
            bad.add(source)
            refused.append(error)
            carried.refuse(manifest, source, error)
            continue
        if told is None:
            continue
        if not told:
            _check(place, manifest, progress)
        carried.source, carried.copied_bytes, carried.server_side = source, manifest.stored_bytes, way is _fetch
        return True
    unread = [error for error in refused if not isinstance(error, Damaged)]
    if unread:  # what passes on its own is worth another try
        raise next((error for error in unread if isinstance(error, Transient)), unread[0])
    return False


def _fetch(place: Store, archive: str, reading: _Reading, manifest: Manifest) -> bool | None:
    """Without the bytes passing through us, where that can be had."""
    try:
        return place.fetch(archive, reading.store, manifest.stored_bytes, manifest.stored_sha256)
    except Damaged as error:
        reading.error = error
        raise


def _stream(place: Store, archive: str, reading: _Reading, manifest: Manifest) -> bool | None:
    return place.resume(archive, reading, manifest.stored_bytes)


def _check(place: Store, manifest: Manifest, progress: Progress) -> None:
    """Read what lies at the target, all of it.

    Raises:
        Damaged: it is not the archive of the manifest.
    """
    archive = key(documents.archive_name(manifest))
    try:
        for chunk in checked(place.read(archive), manifest):
            progress(len(chunk))
    except Damaged as error:
        raise Damaged(
            f"{place.location(archive)} is not the archive that the manifest of {manifest.id} describes: {error.fact}",
            "It stays, and gets no manifest. Find out what it is, then move it away: the next replication brings it.",
        ) from None


def _described(fleet: Fleet, plan: str, step: Step) -> tuple[bytes, Manifest]:
    """The manifest that the step was made for, as it was signed."""
    name = Name(plan, step.kind, taken_at(step.backup), MANIFEST)
    refused: BackproofError | None = None
    for store in step.described_by:
        try:
            signed = catalog.document(fleet.store(store), key(name))
            manifest = documents.read(signed, fleet.signer, name)
        except BackproofError as error:
            refused = refused or error
            continue
        if manifest.stored_sha256 == step.stored_sha256:
            return signed, manifest
    raise refused or NotFound(f"the manifest of {step.backup} was exchanged meanwhile", "Run the replication again.")


def _expect_wanted(fleet: Fleet, step: Step, manifest: Manifest) -> None:
    """What retention deleted meanwhile must not come back.

    Raises:
        NotFound: no store has its manifest any more; an archive that was brought is swept with the leftovers.
    """
    signed = key(Name(manifest.plan, manifest.kind, taken_at(manifest.id), MANIFEST))
    if not any(fleet.store(store).head(signed) for store in step.described_by):
        raise NotFound(f"{manifest.id} was deleted from every store meanwhile", "Nothing is to be done.")


def _write_proof(fleet: Fleet, place: Store, manifest: Manifest, proof: ProofPlace) -> bool:
    """Whether it was written; one that does not count is left where it is, and one that is gone needs nothing."""
    part = ProofPart(proof.finished_at, proof.verdict)
    name = Name(manifest.plan, manifest.kind, taken_at(manifest.id), part)
    for store in proof.stores:
        try:
            signed = catalog.document(fleet.store(store), key(name))
            documents.read_proof(signed, fleet.signer, name)
        except (Damaged, NotFound):
            continue
        try:
            place.put(key(name), [signed])
        except AlreadyExists:
            return False
        return True
    return False


def _write_pin(fleet: Fleet, place: Store, manifest: Manifest, pinned_in: Sequence[str]) -> bool:
    """Whether it was written. One that does not count is left where it is, and what is unpinned meanwhile stays so."""
    name = Name(manifest.plan, manifest.kind, taken_at(manifest.id), PIN)
    for source in map(fleet.store, pinned_in):
        try:
            signed = catalog.document(source, key(name))
            documents.read_pin(signed, fleet.signer, name)
        except (Damaged, NotFound):
            continue
        try:
            place.put(key(name), [signed])
        except AlreadyExists:
            return False
        if source.head(key(name)) is None:
            place.delete(key(name))  # else it would come back; see ``pin.unpin``, which looks twice
            return False
        return True
    return False


def _said(fleet: Fleet, backup: Backup) -> tuple[Mapping[str, Said], Mapping[str, str]]:
    """What the manifest in each store says, equal ones taken apart once; and stores that could not be read."""
    name = Name(backup.plan, backup.kind, backup.taken_at, MANIFEST)
    known: dict[bytes, Said] = {}
    found: dict[str, Said] = {}
    gone: dict[str, str] = {}
    for store in [copy.store for copy in backup.copies if copy.manifest]:
        try:
            signed = catalog.document(fleet.store(store), key(name))
        except Damaged as error:
            found[store] = Said(wrong=error.fact)
        except NotFound:
            continue  # deleted meanwhile
        except BackproofError as error:
            gone[store] = str(error)
        else:
            found[store] = known.setdefault(signed, known.get(signed) or _read(fleet, name, signed))
    return found, gone


def _read(fleet: Fleet, name: Name, signed: bytes) -> Said:
    try:
        manifest = documents.read(signed, fleet.signer, name)
    except Damaged as error:
        return Said(wrong=error.fact)
    return Said(stored_bytes=manifest.stored_bytes, stored_sha256=manifest.stored_sha256)
