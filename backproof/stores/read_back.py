"""Bringing what is written to the disk, and reading it back from there, while more is being written."""

import os
import threading

from isal import isal_zlib

CHUNK_BYTES = 1024 * 1024
STRIDE_BYTES = 16 * CHUNK_BYTES
"""How much is brought to the disk at once: a disk that is busy all along is done soon after the last byte."""


class ReadBack:
    """The checksum of a file's first bytes as they lie on the disk.

    A stride is brought there by a thread as soon as it is written, the rest by ``finish``. After an error nothing more
    is brought: a failed fsync is never tried again.

    Args:
        file: descriptor of the open file, to which another appends.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._brought = 0
        self._checksum = 0
        self._written = 0
        self._error: OSError | None = None
        self._over = False
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    def reach(self, written: int) -> None:
        """So many bytes are written by now.

        Raises:
            OSError: those before could not be brought to the disk.
        """
        with self._wake:
            if self._error is not None:
                raise self._error
            self._written = written
            if written - self._brought < STRIDE_BYTES:
                return
            self._wake.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="read back", daemon=True)
            self._thread.start()

    def finish(self) -> tuple[int, int]:
        """Bring the rest.

        Returns:
            Length and CRC-32 of what lies on the disk.

        Raises:
            OSError: it could not be brought there, or read.
        """
        self.stop()
        if self._error is not None:
            raise self._error
        # To the file's end, wherever that is: what another appended is none of ours.
        self._bring(None)
        # Cut after it was read, it would be taken for whole.
        return min(self._brought, os.fstat(self._file).st_size), self._checksum

    def stop(self) -> None:
        """Bring nothing more. Returns when the thread is gone."""
        with self._wake:
            self._over = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._over or self._written - self._brought >= STRIDE_BYTES)
                if self._over:
                    return
                end = self._written
            try:
                self._bring(end)
            except OSError as error:
                with self._wake:
                    self._error = error
                return
            if self._brought < end:
                return  # somebody cut it: its length will tell

    def _bring(self, end: int | None) -> None:
        os.fsync(self._file)
        # Else memory answers instead of the disk.
        os.posix_fadvise(self._file, self._brought, 0 if end is None else end - self._brought, os.POSIX_FADV_DONTNEED)
        while end is None or self._brought < end:
            wanted = CHUNK_BYTES if end is None else min(CHUNK_BYTES, end - self._brought)
            if not (chunk := os.pread(self._file, wanted, self._brought)):
                return
            self._checksum = isal_zlib.crc32(chunk, self._checksum)
            self._brought += len(chunk)
