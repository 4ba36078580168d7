"""Export: the file that stock tools restore, or the archive as it lies in its store."""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from backproof.archive.manifest import archive_name
from backproof.archive.members import compress
from backproof.archive.reader import ArchiveReader, checked
from backproof.engines import Engine, Progress, no_progress
from backproof.errors import AccessDenied, AlreadyExists, ConfigurationError, NoSpace, Permanent
from backproof.fleet import Fleet
from backproof.naming import key
from backproof.operations.clock import Now, Stopwatch, utc_now
from backproof.operations.good_copy import from_a_good_copy
from backproof.records import Manifest, Record, Timing

_BLOCK = 4 * 1024 * 1024


class Exported(Record):
    """One finished export."""

    plan: str
    backup: str
    store: str
    path: str
    encrypted: bool
    """False: the file is plain data, readable by whoever has it."""
    file_bytes: int
    tables: tuple[str, ...]
    timing: Timing
    passed_over: tuple[str, ...] = ()
    """Copies that were not good, and stores that could not be asked, a sentence each."""


def export(
    fleet: Fleet,
    plan: str,
    backup: str,
    to: Path,
    store: str | None = None,
    tables: Sequence[str] | None = None,
    encrypted: bool = False,
    progress: Progress = no_progress,
    now: Now = utc_now,
) -> Exported:
    """Write one backup to a file of mode 0600: a plain ``.sql.gz``, or the archive itself.

    Args:
        fleet: where the plan is found.
        plan: its name.
        backup: an id, ``latest`` or ``latest-proven``.
        to: the new file; it appears whole or not at all.
        store: the copy to read; unless said the nearest, and the next where that turns out not to be good.
        tables: just these and what they stand on.
        encrypted: the archive as it is stored, for the stock ``aws-encryption-cli``.
        progress: told the bytes written.
        now: the wall clock.

    Raises:
        AlreadyExists: ``to`` is there; it is never overwritten.
        Damaged, WrongKey: the copy is not what was sealed, or can't be opened; nothing was written.
    """

    def use(archive: ArchiveReader, place: str) -> Exported:
        return _from(archive, place, fleet, to, tables, encrypted, progress, Stopwatch(now))

    exported, passed_over = from_a_good_copy(fleet, plan, backup, store, use)
    return exported.model_copy(update={"passed_over": passed_over})


def _from(
    archive: ArchiveReader,
    store: str,
    fleet: Fleet,
    to: Path,
    tables: Sequence[str] | None,
    encrypted: bool,
    progress: Progress,
    watch: Stopwatch,
) -> Exported:
    manifest = archive.manifest
    engine = fleet.engine(manifest.plan)
    chosen = None if tables is None else engine.resolve(archive, tables)
    chunks = _stored(fleet, manifest, store) if encrypted else _plain(engine, archive, chosen)
    size = 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for chunk in chunks:
            size += len(chunk)
            progress(len(chunk))
            yield chunk

    with watch.phase("export", lambda: size):
        _write(to, counted())
    return Exported(
        plan=manifest.plan,
        backup=manifest.id,
        store=store,
        path=str(to),
        encrypted=encrypted and manifest.encryption is not None,
        file_bytes=size,
        tables=chosen or (),
        timing=watch.timings[0],
    )


def _stored(fleet: Fleet, manifest: Manifest, store: str) -> Iterator[bytes]:
    return checked(fleet.store(store).read(key(archive_name(manifest))), manifest)


def _plain(engine: Engine, archive: ArchiveReader, tables: Sequence[str] | None) -> Iterator[bytes]:
    if tables is None:
        yield from archive.gzip()  # members as they are: nothing is compressed again
        return
    for block in _blocks(engine.export(archive, tables)):
        yield compress(block)


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    block = bytearray()
    for chunk in chunks:
        block += chunk
        if len(block) >= _BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def _write(to: Path, chunks: Iterator[bytes]) -> None:
    """Whole or not at all: under a name of its own first, then in its place unless something is there."""
    if str(to) == "-":
        raise ConfigurationError("an export goes into a file, and not to the terminal", "Name a new file.")
    if to.exists() or to.is_symlink():
        raise AlreadyExists(f"{to} exists", "Choose another file; no file is ever overwritten.")
    partial = to.with_name(f".{to.name}.{os.getpid()}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, to)
    except OSError as error:
        raise refused(to, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def refused(to: Path, error: OSError) -> Permanent:
    """Why a file could not be made."""
    fact = f"cannot write {to}: {error.strerror}"
    if error.errno == errno.EEXIST:
        return AlreadyExists(fact, "Choose another file; no file is ever overwritten.")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return NoSpace(fact, "Choose a disk with more room; nothing was left behind.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AccessDenied(fact, "Choose a folder you may write to.")
    return Permanent(fact, "Choose another folder.")
