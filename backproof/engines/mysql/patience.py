"""Reading on now and then when nobody asks, so that a server does not give up a dump whose reader is slow.

A MySQL server ends a connection that takes nothing for ``net_write_timeout``, a minute unless set otherwise. A dump
has good reasons to wait for longer: definitions of thousands of tables come first, and a store may be slow.
"""

import select
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader

from backproof.subprocesses.gathering import GatheringPipe

NUDGE_SECONDS = 15.0
"""How long nobody may have read."""

_CHUNK_BYTES = 1024 * 1024
"""A server sees no progress before a third of its socket's buffer, of a few megabytes, has room again."""

_HELD_BYTES = 48 * _CHUNK_BYTES
"""What is read ahead of a reader at most: twelve minutes' worth."""


class PatientPipe:
    """What a dump tool writes."""

    def __init__(self, pipe: BufferedReader) -> None:
        self._pipe = pipe
        self._gathering = GatheringPipe(pipe)
        self._held = bytearray()
        self._lock = threading.Lock()
        self._read_at = time.monotonic()

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill it, and say with how many bytes; fewer only at the end."""
        with self._lock:
            first = self._held[: len(buffer)]
            buffer[: len(first)] = first
            del self._held[: len(first)]
            rest = self._gathering.readinto(buffer[len(first) :]) if len(first) < len(buffer) else 0
            self._read_at = time.monotonic()
        return len(first) + rest

    def nudge(self) -> None:
        """Read a little, if nobody has for long."""
        if not self._lock.acquire(blocking=False):
            return  # somebody does
        try:
            due = time.monotonic() - self._read_at >= NUDGE_SECONDS and len(self._held) < _HELD_BYTES
            if due and select.select([self._pipe], [], [], 0)[0]:
                self._held += self._ready()
                self._read_at = time.monotonic()
        except ValueError:
            return  # closed: the run is over
        finally:
            self._lock.release()

    def _ready(self) -> bytes:
        """What can be read without waiting, a chunk at most."""
        parts: list[bytes] = []
        wanted = _CHUNK_BYTES
        while wanted > 0 and select.select([self._pipe], [], [], 0.01)[0] and (part := self._pipe.read1(wanted)):
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)


@contextmanager
def patient(pipes: Sequence[PatientPipe]) -> Iterator[None]:
    """Nudge these pipes for the length of a context."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(NUDGE_SECONDS / 2):
            for pipe in pipes:
                pipe.nudge()

    thread = threading.Thread(target=watch, name="patience", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
