"""A store in a folder of this machine: a disk, a mount.

Each object is one file, 0600, in folders of 0700 that the first ``put`` makes. Below the store's folder no symbolic
link is followed (``stores.folders``). A file is written under an unfinished name (``stores.unfinished``), brought to
the disk, read back, and then linked to its key: a link never overwrites, so of two writers one wins, and a reader sees
all of a file or nothing of it.

A missing folder is an empty store. A key that is the folder of other keys can't be written.
"""

import os
import shlex
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from backproof.errors import Damaged, NotFound
from backproof.stores import ByHand, Store, Stored, folders
from backproof.stores.disk_errors import told
from backproof.stores.keys import checked, checked_prefix, is_key
from backproof.stores.probing import remove_probes, write_read_delete
from backproof.stores.read_back import CHUNK_BYTES
from backproof.stores.resumable import Resumable
from backproof.stores.unfinished import Unfinished, already_there, remove_abandoned

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a planted FIFO must not make us wait
_Way = list[int]
_MISSING = (FileNotFoundError, NotADirectoryError)


class LocalStore:
    """The contract of ``backproof.stores``, kept by files.

    Args:
        name: what the fleet calls it.
        path: its folder; a relative one is taken from the working folder of this moment.
    """

    def __init__(self, name: str, path: Path | str) -> None:
        self._name = name
        self._root = Path(path).absolute()

    @property
    def name(self) -> str:
        """What the fleet calls it."""
        return self._name

    def location(self, key: str = "") -> str:
        """The file's path."""
        return str(self._root / key)

    def put(self, key: str, chunks: Iterable[bytes], size_hint: int | None = None) -> Stored:
        """Write one file, once. ``size_hint`` is not needed here."""
        place = self.location(key)
        if self.head(key):
            raise already_there(place)
        with self._way(key) as way, Unfinished(way[-1], _leaf(key), place) as unfinished:
            return self._written(key, chunks, unfinished, way)

    def resume(self, key: str, chunks: Iterable[bytes], length: int) -> bool:
        """Write one file, once, and go on with the bytes that an interrupted call has left."""
        place = self.location(key)
        if self.head(key):
            raise already_there(place)
        with self._way(key) as way:
            with told("measure", place):
                room = folders.free_bytes(self._root)
            with Resumable(way[-1], _leaf(key), place, length, room) as unfinished:
                self._written(key, chunks, unfinished, way)
        return False

    def fetch(self, key: str, source: Store, length: int, sha256: str) -> bool | None:
        """A folder can't."""
        return None

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes ``start:start+length``; what stands in the way is raised when the first chunk is asked for."""
        place = self.location(checked(key))
        with ExitStack() as opened:
            with told("read", place):
                file, size = self._open(key, opened)
            end = size if length is None else start + length
            if not 0 <= start <= end <= size:
                raise Damaged(f"bytes {start} to {end} of {place} were asked for, and it has {size}")
            while start < end:
                with told("read", place):
                    chunk = os.pread(file, min(CHUNK_BYTES, end - start), start)
                if not chunk:
                    raise Damaged(f"{place} was cut at byte {start} while it was read")
                yield chunk
                start += len(chunk)

    def head(self, key: str) -> Stored | None:
        """What lies under a key, or None."""
        with told("read", self.location(checked(key))), ExitStack() as opened:
            try:
                way = folders.open_way(self._root, key, opened)
                found = os.stat(_leaf(key), dir_fd=way[-1], follow_symlinks=False)
            except _MISSING:
                return None
            return None if stat.S_ISDIR(found.st_mode) else self._stored(key, found)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Every object whose key starts with ``prefix``, by key."""
        checked_prefix(prefix)
        with told("list", self.location()), ExitStack() as opened:
            files = self._walk(opened, prefix)
            found = [self._stored(key, status) for key, status, _ in files if is_key(key)]
        yield from sorted(found, key=lambda each: each.key)

    def delete(self, key: str) -> None:
        """Remove one file; its folders stay."""
        with told("delete", self.location(checked(key))), ExitStack() as opened:
            try:
                way = folders.open_way(self._root, key, opened)
                os.unlink(_leaf(key), dir_fd=way[-1])
                os.fsync(way[-1])
            except (*_MISSING, IsADirectoryError):
                return

    def lock(self, key: str) -> str | None:
        """Nothing in a folder is locked."""
        checked(key)
        return None

    def clock(self) -> datetime:
        """By what the file system writes on the store's folder when it is touched: a mount has its server's time."""
        with told("touch", self.location()), ExitStack() as opened:
            root = folders.open_root(self._root, opened)
            if root is None:
                return datetime.now(UTC).replace(microsecond=0)
            os.utime(root)
            return datetime.fromtimestamp(int(os.fstat(root).st_mtime), UTC)

    def probe(self) -> None:
        """Write, list, read back and delete a small file of our own."""
        write_read_delete(self)

    def sweep(self, before: datetime) -> Sequence[str]:
        """Remove unfinished files whose writer is dead, or can't be looked up and began before a moment.

        Files of probes from before that moment go too.
        """
        with told("sweep", self.location()), ExitStack() as opened:
            removed = [
                f"unfinished file {self.location(path)}, {status.st_size} bytes"
                for path, status, folder in self._walk(opened)
                if remove_abandoned(_leaf(path), folder, before)
            ]
        return [*removed, *remove_probes(self, before)]

    def free_bytes(self) -> int | None:
        """Room left for us on its disk."""
        with told("write", self.location()):
            return folders.free_bytes(self._root)

    def by_hand(self, plan: str) -> ByHand:
        """Files are listed and copied."""
        root = shlex.quote(str(self._root))
        return ByHand(
            f"The folder {self._root}, or a copy of it: then name that in both lines.",
            f'keys() {{ (cd {root} && find {plan} -type f); }}\nget() {{ cp {root}/"$1" "$2"; }}',
        )

    @contextmanager
    def _way(self, key: str) -> Iterator[_Way]:
        """The open folders from the store's own to the one that holds ``key``, made where they are missing."""
        with ExitStack() as opened:
            with told("write", self.location(key)):
                way = folders.open_way(self._root, key, opened, make=True)
            yield way

    def _written(self, key: str, chunks: Iterable[bytes], unfinished: Unfinished, way: _Way) -> Stored:
        for chunk in chunks:
            unfinished.write(chunk)
        unfinished.confirm()
        unfinished.publish(way)
        if (stored := self.head(key)) is None:
            raise NotFound(
                f"{self.location(key)} is gone right after it was written", "Something else deletes there: stop it."
            )
        return stored

    def _open(self, key: str, opened: ExitStack) -> tuple[int, int]:
        """The open file and its length."""
        try:
            way = folders.open_way(self._root, key, opened)
            self._stored(key, os.stat(_leaf(key), dir_fd=way[-1], follow_symlinks=False))
            file = os.open(_leaf(key), _FILE, dir_fd=way[-1])
        except _MISSING:
            raise NotFound(f"there is no {self.location(key)}") from None
        opened.callback(os.close, file)
        return file, os.fstat(file).st_size

    def _walk(self, opened: ExitStack, prefix: str = "") -> Iterator[tuple[str, os.stat_result, int]]:
        root = folders.open_root(self._root, opened)
        return iter(()) if root is None else folders.walk(root, self._root, prefix=prefix)

    def _stored(self, key: str, found: os.stat_result) -> Stored:
        if stat.S_ISLNK(found.st_mode):
            raise folders.not_followed(self.location(key))
        if not stat.S_ISREG(found.st_mode):
            raise NotFound(f"{self.location(key)} is no file")
        return Stored(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _leaf(key: str) -> str:
    return key.rpartition("/")[2]
