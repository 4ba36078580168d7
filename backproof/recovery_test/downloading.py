"""Bringing a backup here from a cloud copy, and opening it: what every recovery begins with."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from backproof import catalog
from backproof.archive.manifest import archive_name
from backproof.archive.reader import ArchiveReader, ReadRange, checked
from backproof.errors import NoSpace
from backproof.fleet import Fleet
from backproof.fleet.specs import S3StoreSpec
from backproof.naming import MANIFEST, Name, key
from backproof.objectives import CLOCK_SKEW, in_words
from backproof.records import Manifest
from backproof.recovery_test.context import Rehearsal
from backproof.recovery_test.record import Cited
from backproof.scratch import workspace

DOWNLOADS, DECOMPRESSION = "File downloads", "Decompression"

_CHUNK = 1024 * 1024


def clouds(fleet: Fleet, plan: str) -> list[str]:
    """The plan's stores that are buckets."""
    return [name for name in fleet.plan(plan).stores if isinstance(fleet.spec.stores[name], S3StoreSpec)]


def whose_turn(names: Sequence[str], at: datetime) -> str:
    """Of the regions in turn, that of a moment's quarter."""
    quarters = at.astimezone(UTC).year * 4 + (at.astimezone(UTC).month - 1) // 3
    return names[quarters % len(names)]


def download(rehearsal: Rehearsal) -> None:
    """The newest backup of a cloud copy: its manifest's signature, then every byte, held against length and digest."""
    fleet, plan = rehearsal.fleet, rehearsal.plan
    buckets = clouds(fleet, plan)
    store = rehearsal.store or (whose_turn(buckets, rehearsal.started_at) if buckets else fleet.plan(plan).stores[-1])
    rehearsal.copy_in = store
    manifest, _ = catalog.manifest(fleet, plan, rehearsal.backup, store)
    rehearsal.manifest = manifest
    catalog.open_archive(fleet, manifest, store)
    folder = rehearsal.open.enter_context(workspace("rehearsal", fleet.scratch_folder))
    rehearsal.folder = folder
    file = folder / "archive"
    _write(file, checked(fleet.store(store).read(key(archive_name(manifest))), manifest))
    rehearsal.moved = manifest.stored_bytes
    rehearsal.file = ArchiveReader(manifest, _reading(file), fleet.ring(plan))
    rehearsal.cites += _cited(fleet, manifest, store)
    came = (
        f"{manifest.id} came from {where(fleet, store)}: {manifest.stored_bytes:,} bytes, "
        "with the signature, the length and the SHA-256 that were written"
    )
    objectives = fleet.plan(plan).objectives
    age = rehearsal.started_at - manifest.taken_at
    if -age > CLOCK_SKEW:
        rehearsal.judge(
            DOWNLOADS,
            "fail",
            f"{came}; but it would be from the future, by {in_words(-age)}: how old it is, is not known",
            "Set the clock of this machine, or of the one that took the backup; then run the test again.",
        )
    elif rehearsal.backup == "latest" and age > objectives.rpo + objectives.grace:
        rehearsal.judge(
            DOWNLOADS,
            "fail",
            f"{came}; but it is the newest that is there, and {in_words(age)} old, where the plan promises "
            f"{in_words(objectives.rpo)}",
            f"`backproof replicate {plan}` brings what that store lacks; `backproof status` says how the plan stands.",
        )
    elif store in buckets:
        rehearsal.judge(DOWNLOADS, "pass", came)
    else:
        rehearsal.judge(
            DOWNLOADS,
            "not run",
            f"there is no cloud copy to download: {came}",
            "Give the plan a store of type s3, so that a backup survives the loss of this place.",
        )


def decompress(rehearsal: Rehearsal) -> None:
    """Decrypt and decompress all of it: each frame and member is held against what was written."""
    archive, plain = rehearsal.archive(), 0
    for member in archive.plain():
        plain += len(member)
        rehearsal.progress(0)  # the moment at which a run that is to stop does
    rehearsal.moved = plain
    manifest = archive.manifest
    opened = f"decrypted with {manifest.encryption.key_fingerprint}" if manifest.encryption else "not encrypted"
    members = f"{len(manifest.members)} members, {plain:,} bytes of SQL"
    rehearsal.judge(DECOMPRESSION, "pass", f"{opened}, decompressed: {members}, each as it was written")


def where(fleet: Fleet, store: str) -> str:
    """``s3://shop-backups-dr (us-east-1)``, or a folder."""
    spec = fleet.spec.stores[store]
    place = fleet.store(store).location().rstrip("/")
    return f"{place} ({spec.region})" if isinstance(spec, S3StoreSpec) else place


def _cited(fleet: Fleet, manifest: Manifest, store: str) -> Iterator[Cited]:

    name = Name(manifest.plan, manifest.kind, manifest.taken_at, MANIFEST)
    yield Cited(what="archive", name=key(archive_name(manifest)), sha256=manifest.stored_sha256)
    document = catalog.document(fleet.store(store), key(name))
    yield Cited(what="manifest", name=key(name), sha256=hashlib.sha256(document).hexdigest())


def _write(file: Path, chunks: Iterable[bytes]) -> None:
    try:
        with file.open("xb") as written:
            file.chmod(0o600)
            for chunk in chunks:
                written.write(chunk)
    except OSError as error:
        raise NoSpace(
            f"the backup could not be written to {file.parent.parent}: {error.strerror}",
            "Make room, or name a larger folder as scratch_folder in the fleet.",
        ) from None


def _reading(file: Path) -> ReadRange:
    def read(start: int, length: int | None) -> Iterator[bytes]:
        with file.open("rb") as opened:
            opened.seek(start)
            left = length
            while left is None or left > 0:
                chunk = opened.read(_CHUNK if left is None else min(_CHUNK, left))
                if not chunk:
                    return
                left = None if left is None else left - len(chunk)
                yield chunk

    return read
