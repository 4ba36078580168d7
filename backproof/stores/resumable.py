"""A file whose bytes are the same each time they are asked for: the next writer goes on where one was interrupted.

It lies under ``~resumable-<digest of the object's name>~`` in the object's folder. Who writes holds a lock on it. What
lies there is taken for nothing but a guess: each byte is held against the source's before it counts, and from the first
other one on it is written anew. What may pass on its own, and a writer's death, leave the file; what a person must
mend, a full disk for one, removes it.
"""

import hashlib
import os
from types import TracebackType
from typing import Self

from backproof.errors import BackproofError, Busy, NoSpace, Transient
from backproof.stores.disk_errors import told
from backproof.stores.read_back import ReadBack
from backproof.stores.unfinished import Unfinished, lock, unlink


class Resumable(Unfinished):
    """As ``Unfinished``, and kept for the next one where it is interrupted.

    Args:
        folder: an open folder, in which the object is to lie.
        name: the object's name in it.
        place: where that is, for messages.
        length: of the object.
        free_bytes: room left on the disk.

    Raises:
        Busy: another writer is at it.
        NoSpace: the rest of it does not fit.
    """

    def __init__(self, folder: int, name: str, place: str, length: int, free_bytes: int) -> None:
        super().__init__(folder, name, place)
        self._own_name = f"~resumable-{hashlib.sha256(name.encode()).hexdigest()[:32]}~"
        self._wanted = length
        self._free_bytes = free_bytes
        self._left = 0
        """Bytes of an earlier writer from here on."""
        self._broken = False
        """The disk itself failed: what could not be brought there once is never tried again."""

    def __enter__(self) -> Self:
        with told("write", self._place):
            self._file = self._open()
            self._left = os.fstat(self._file).st_size
        if self._free_bytes < self._wanted - self._left:
            with told("write", self._place):
                self._close(keep=False)
            raise NoSpace(
                f"cannot write {self._place}: {self._wanted - self._left} bytes are needed and {self._free_bytes} free",
                "Free some room there, or let the plan use a larger disk.",
            )
        self._read_back = ReadBack(self._file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        passing = not self._broken and (isinstance(error, Transient) or not isinstance(error, Exception))
        with told("write", self._place):
            try:
                self._read_back.stop()
            finally:
                # After a success the name is free, or already another's.
                self._close(keep=passing and (error is None or os.fstat(self._file).st_size > 0))

    def write(self, chunk: bytes) -> None:
        """Append; what lies there already is not written again."""
        try:
            super().write(chunk)
        except BackproofError:
            self._broken = True
            raise

    def confirm(self) -> None:
        """As ``Unfinished.confirm``; what an earlier writer left beyond the end is cut off."""
        try:
            with told("write", self._place):
                os.ftruncate(self._file, self._length)
            super().confirm()
        except BackproofError:
            self._broken = True
            raise

    def _append(self, rest: memoryview) -> None:
        if self._left:
            there = os.pread(self._file, min(len(rest), self._left), self._length)
            same = there == rest[: len(there)]
            self._left = self._left - len(there) if same and there else 0
            kept = self._length + len(there) if same else self._length
            if not self._left:
                os.ftruncate(self._file, kept)
            os.lseek(self._file, kept, os.SEEK_SET)
            rest = rest[kept - self._length :]
        super()._append(rest)

    def _open(self) -> int:
        """The file, locked, and surely that of the name: a sweep may have removed it just before."""
        while True:
            file = os.open(
                self._own_name,
                os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o600,
                dir_fd=self._folder,
            )
            try:
                if lock(file) is False:
                    raise Busy(f"{self._place} is being written by another run", "Wait for it to end.")
                if _same_file(self._own_name, self._folder, file):
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)

    def _close(self, keep: bool) -> None:
        try:
            if not keep:
                unlink(self._own_name, self._folder)
        finally:
            os.close(self._file)


def _same_file(name: str, folder: int, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(name, dir_fd=folder, follow_symlinks=False), os.fstat(file))
    except FileNotFoundError:
        return False
