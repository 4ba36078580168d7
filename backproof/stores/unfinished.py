"""A file that is being written: what its name says, who holds it, and how it becomes an object.

The name ``~<begun>-<owner>-<token>~`` is no valid key, so it is never listed. Its owner's mark (``scratch.owner_mark``)
tells whether the writer lives, where that can be looked up. The writer also holds a lock on the open file (``flock``);
the kernel frees it when the writer dies, however it dies, in whichever container it ran. A file that is locked is never
touched. One that is not is abandoned for certain only where its owner is known to be dead, since a mount may keep locks
to each machine; what others began is given time.
"""

import errno
import fcntl
import os
import re
import stat
from datetime import UTC, datetime
from secrets import token_hex
from types import TracebackType
from typing import Self

from isal import isal_zlib

from backproof import scratch
from backproof.errors import AlreadyExists, ConfigurationError, Damaged
from backproof.stores.disk_errors import told
from backproof.stores.read_back import ReadBack

_BEGUN = "%Y%m%dT%H%M%S.%f"
_NAME = re.compile(rf"~(?P<begun>\d{{8}}T\d{{6}}\.\d{{6}})-(?P<owner>{scratch.OWNER})-[0-9a-f]{{16}}~")
RESUMABLE = re.compile(r"~resumable-[0-9a-f]{32}~")
"""What ``stores.resumable`` writes to: known by the object's name, so that the next writer finds it."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class Unfinished:
    """One file between its first byte and its key. What is not published is removed when the context ends.

    Args:
        folder: an open folder, in which the object is to lie.
        name: the object's name in it.
        place: where that is, for messages.
    """

    def __init__(self, folder: int, name: str, place: str) -> None:
        self._folder = folder
        self._name = name
        self._place = place
        self._own_name = f"~{datetime.now(UTC).strftime(_BEGUN)}-{scratch.owner_mark()}-{token_hex(8)}~"
        self._length = 0
        self._checksum = 0

    def __enter__(self) -> Self:
        with told("write", self._place):
            self._file = os.open(
                self._own_name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self._folder
            )
            lock(self._file)
        self._read_back = ReadBack(self._file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with told("write", self._place):
            try:
                self._read_back.stop()
                unlink(self._own_name, self._folder)
            finally:
                os.close(self._file)

    def write(self, chunk: bytes) -> None:
        """Append."""
        with told("write", self._place):
            self._append(memoryview(chunk))
            self._length += len(chunk)
            self._read_back.reach(self._length)
        self._checksum = isal_zlib.crc32(chunk, self._checksum)

    def confirm(self) -> None:
        """Have all of it on the disk, and as it was written: each byte is read back from there.

        Raises:
            Damaged: what lies there is not what was written.
        """
        with told("write", self._place):
            length, checksum = self._read_back.finish()
        if (length, checksum) != (self._length, self._checksum):
            raise Damaged(
                f"{self._place}: {length} bytes came back of {self._length} written, or others",
                "The disk or its controller is failing: look at the kernel's log (`dmesg`), and use another disk.",
            )

    def publish(self, way: list[int]) -> None:
        """Give it its key, if that is free, durably.

        Args:
            way: the open folders from the store's own to the object's; one that another writer made just now may not be
                on the disk yet either.

        Raises:
            AlreadyExists: the key is taken.
        """
        with told("write", self._place):
            self._link()
            try:
                unlink(self._own_name, self._folder)
                for folder in reversed(way):
                    os.fsync(folder)
            except OSError:  # a failed fsync is never tried again: what was written is gone for all we know
                unlink(self._name, self._folder)
                raise

    def _append(self, rest: memoryview) -> None:
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def _link(self) -> None:
        try:
            os.link(self._own_name, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder, follow_symlinks=False)
        except FileExistsError:
            if stat.S_ISDIR(os.stat(self._name, dir_fd=self._folder, follow_symlinks=False).st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from None
            raise already_there(self._place) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise ConfigurationError(
                f"cannot write {self._place}: its file system has no hard links",
                "Use one that has (ext4, XFS, btrfs, NFS); Backproof needs them to never overwrite a backup.",
            ) from error


def already_there(place: str) -> AlreadyExists:
    """The key is taken."""
    return AlreadyExists(f"{place} exists already", "It was left as it is: what is written once is never changed.")


def remove_abandoned(name: str, folder: int, before: datetime) -> bool:
    """Remove an unfinished file whose writer is dead, or can't be looked up and began before a moment.

    One that was left to be resumed goes once nobody has written to it since that moment.
    """
    if match := _NAME.fullmatch(name):
        dead = scratch.is_alive(match["owner"]) is False
        old = datetime.strptime(match["begun"], _BEGUN).replace(tzinfo=UTC) < before
    elif RESUMABLE.fullmatch(name):
        dead = False
        old = _written_at(name, folder) < before
    else:
        return False
    if not (dead or old):
        return False
    try:
        file = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return False
    try:
        locked = lock(file)
        return (locked or (dead and locked is None)) and unlink(name, folder)
    finally:
        os.close(file)


def _written_at(name: str, folder: int) -> datetime:
    try:
        written = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return datetime.max.replace(tzinfo=UTC)
    return datetime.fromtimestamp(written, UTC)


def lock(file: int) -> bool | None:
    """Whether it is ours now; False where somebody else has it, None where a file system knows no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            return False
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def unlink(name: str, folder: int) -> bool:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True
