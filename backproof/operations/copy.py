"""Copy: bring an archive to another store, check it there, then write its manifest."""

from collections.abc import Iterator

from backproof import catalog
from backproof.archive.manifest import archive_name
from backproof.archive.reader import checked
from backproof.engines import Progress, no_progress
from backproof.errors import AlreadyExists, Damaged
from backproof.fleet import Fleet
from backproof.naming import MANIFEST, Name, key, taken_at
from backproof.operations.clock import Now, Stopwatch, utc_now
from backproof.records import Manifest, Record, Timing
from backproof.stores import Store


class Copied(Record):
    """One finished copy."""

    store: str
    stored_bytes: int
    existed: bool
    """The archive was there already and proved to be the same."""
    timing: Timing


def copy(
    fleet: Fleet,
    plan: str,
    backup: str,
    source: str,
    target: str,
    progress: Progress = no_progress,
    now: Now = utc_now,
) -> Copied:
    """Bring one archive from one store to another; safe to repeat, and resumable by repeating.

    The digest is taken in the pass that copies: a source that went bad never becomes a copy. A store confirms length
    and checksum of what it holds before the manifest makes it count.

    Raises:
        Damaged: the source is not what its manifest says, or the target holds another archive of the same id; both
            stay.
        BackproofError: as the stores tell.
    """
    manifest, _ = catalog.manifest(fleet, plan, backup, source)
    origin, place = fleet.store(source), fleet.store(target)
    archive = key(archive_name(manifest))
    watch = Stopwatch(now)
    with watch.phase(f"copy to {target}", lambda: manifest.stored_bytes):
        existed = False
        try:
            place.put(archive, _checked(origin, archive, manifest, progress), size_hint=manifest.stored_bytes)
        except AlreadyExists:
            existed = True
            for _ in _checked(place, archive, manifest, progress):
                pass
        write_manifest(fleet, place, manifest, fleet.signer.sign(manifest))
    return Copied(store=target, stored_bytes=manifest.stored_bytes, existed=existed, timing=watch.timings[0])


def _checked(store: Store, archive: str, manifest: Manifest, progress: Progress) -> Iterator[bytes]:
    """The bytes of an archive as they lie in a store; raises at their end when they are not those of the manifest."""
    for chunk in checked(store.read(archive), manifest):
        progress(len(chunk))
        yield chunk


def write_manifest(fleet: Fleet, place: Store, manifest: Manifest, signed: bytes) -> None:
    """Commit an archive that lies in a store.

    Raises:
        Damaged: a manifest of another archive lies there; both stay.
        BackproofError: as the store tells.
    """
    name = Name(manifest.plan, manifest.kind, taken_at(manifest.id), MANIFEST)
    try:
        place.put(key(name), [signed])
    except AlreadyExists:
        there = catalog.read_manifest(place, name, fleet.signer)
        if there.stored_sha256 != manifest.stored_sha256:
            raise Damaged(
                f"{place.location(key(name))} describes another archive of the same id",
                "Both stay. Find out which plan or machine wrote it before you use either.",
            ) from None
