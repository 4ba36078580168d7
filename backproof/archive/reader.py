"""Reading an archive: by member and range, or as a whole. Nothing leaves here that was not checked."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

from backproof.archive.chunks import Exactly
from backproof.archive.encryption import KeyRing, Opened
from backproof.archive.manifest import check as check_manifest
from backproof.archive.members import check, unpack
from backproof.archive.message import Layout
from backproof.errors import Damaged, WrongKey
from backproof.records import Manifest, Member

ReadRange = Callable[[int, int | None], Iterator[bytes]]
"""The stored bytes ``start:start+length``, to the end where the length is None: ``Store.read`` of one key."""

B = TypeVar("B")

_HEADER_LIMIT = 4096
_KEPT_FRAMES = 16
_ANOTHER_COPY = "Use another copy of this backup."


def checked(stored: Iterable[bytes], manifest: Manifest) -> Iterator[bytes]:
    """Passes an archive's stored bytes on, and raises at their end if they are not exactly those of the manifest.

    Raises:
        Damaged: changed, cut or extended.
    """
    digest = hashlib.sha256()
    length = 0
    for chunk in stored:
        digest.update(chunk)
        length += len(chunk)
        if length > manifest.stored_bytes:
            raise Damaged(f"the archive is longer than the {manifest.stored_bytes} bytes written", _ANOTHER_COPY)
        yield chunk
    if length < manifest.stored_bytes:
        raise Damaged(f"the archive is cut: {length} of {manifest.stored_bytes} bytes are there", _ANOTHER_COPY)
    if digest.hexdigest() != manifest.stored_sha256:
        raise Damaged("the archive was changed: its SHA-256 is not the one written", _ANOTHER_COPY)


class ArchiveReader:
    """One archive in one place; what an engine restores from.

    Args:
        manifest: verified (``archive.manifest.read``).
        read_range: where the archive's bytes come from.
        ring: opens it; None for an archive that is not encrypted.

    Raises:
        Damaged: the manifest contradicts itself.
        WrongKey: the archive is encrypted and there is no ring.
    """

    def __init__(self, manifest: Manifest, read_range: ReadRange, ring: KeyRing | None) -> None:
        check_manifest(manifest)
        self._manifest = manifest
        self._read_range = read_range
        self._ring = _needed(manifest, ring)
        self._opened: Opened | None = None
        self._opening = threading.Lock()
        self._kept = _Kept(_KEPT_FRAMES)

    @property
    def manifest(self) -> Manifest:
        """What the archive holds."""
        return self._manifest

    def read(self, member: Member) -> bytes:
        """One member's plain SQL, reading just its bytes. From any thread.

        Raises:
            WrongKey: the ring does not open the archive.
            Damaged: it is not what was written.
        """
        return next(self.read_run([member]))

    def read_run(self, members: Sequence[Member]) -> Iterator[bytes]:
        """The plain SQL of members that lie one after the other, read at once and unpacked as they are asked for.

        Raises:
            ValueError: they do not lie so.
            WrongKey, Damaged: as ``read``; of a member that is not what was written, when it is asked for.
        """
        if not members or not all(one.end == other.offset for one, other in pairwise(members)):
            raise ValueError("members of a run lie one after the other")
        gzip = self._gzip(members[0].offset, members[-1].end - members[0].offset)
        return (unpack(each, gzip.take(each.length)) for each in members)

    def gzip(self) -> Iterator[bytes]:
        """The whole archive decrypted: a ``.sql.gz``, a member at a time, each checked before it is handed on.

        The archive's own length and SHA-256 are checked too, at the end: whoever writes this somewhere must throw it
        away when an error is raised, whatever came before.

        Raises:
            WrongKey: the ring does not open the archive.
            Damaged: it is not what was written.
        """
        for _, packed in self._members():
            yield bytes(packed)

    def plain(self) -> Iterator[bytes]:
        """The whole archive decrypted and unpacked: plain SQL, a member at a time; otherwise as ``gzip``."""
        for member, packed in self._members():
            yield unpack(member, packed)

    def verify(self, stored: Iterable[bytes] | None = None) -> None:
        """Hold all stored bytes against the length and SHA-256 of the manifest. Needs no key.

        Args:
            stored: the bytes, where somebody has them already; else they are read.

        Raises:
            Damaged: changed, cut or extended.
        """
        for _ in checked(self._read_range(0, None) if stored is None else stored, self._manifest):
            pass

    def verify_members(self) -> None:
        """The same, and with the key every frame and every member; nothing is unpacked or handed on.

        Raises:
            WrongKey: the ring does not open the archive.
            Damaged: it is not what was written.
        """
        for _ in self._members():
            pass

    def _members(self) -> Iterator[tuple[Member, memoryview]]:
        stored = Exactly(checked(self._read_range(0, None), self._manifest))
        gzip = Exactly(self._open(stored, self._ring).frames(stored.take)) if self._ring else stored
        for member in self._manifest.members:
            packed = gzip.take(member.length)
            check(member, packed)
            yield member, packed
        if not (gzip.ended() and stored.ended()):
            raise Damaged("the archive goes on after its last member", _ANOTHER_COPY)

    def _gzip(self, offset: int, length: int) -> Exactly:
        """These bytes of the gzip stream: read at once, decrypted as they are taken."""
        if self._ring is None:
            return Exactly(_consumed(self._stored(offset, length)))
        opened = self._header(self._ring)
        first, skipped = divmod(offset, opened.header.frame_bytes)
        frames = self._frames(opened.layout, first, (offset + length - 1) // opened.header.frame_bytes)
        gzip = Exactly(opened.frame(index, stored) for index, stored in enumerate(_consumed(frames), first))
        gzip.take(skipped)
        return gzip

    def _frames(self, layout: Layout, first: int, last: int) -> list[memoryview]:
        """The stored frames ``first`` to ``last``; those at the edges are kept, since neighbours share them."""
        kept = {index: self._kept.get(index) for index in (first, last)}
        begin = first + (kept[first] is not None)
        end = last + (kept[last] is None)
        frames = {index: memoryview(frame) for index, frame in kept.items() if frame is not None}
        if begin < end:
            length = layout.start(end - 1) + layout.length(end - 1) - layout.start(begin)
            stored = Exactly(self._stored(layout.start(begin), length))
            frames |= {index: stored.take(layout.length(index)) for index in range(begin, end)}
        self._kept.add({index: bytes(frames[index]) for index in (first, last) if kept[index] is None})
        return [frames[index] for index in range(first, last + 1)]

    def _header(self, ring: KeyRing) -> Opened:
        with self._opening:
            if self._opened is None:
                length = min(_HEADER_LIMIT, self._manifest.stored_bytes)
                self._opened = self._open(Exactly(self._read_range(0, length)), ring)
            return self._opened

    def _open(self, stored: Exactly, ring: KeyRing) -> Opened:
        return Opened.read(stored.take, self._manifest.stored_bytes, ring, self._manifest)

    def _stored(self, start: int, length: int) -> list[bytes]:
        """Just these bytes, and all of them."""
        chunks: list[bytes] = []
        missing = length
        for chunk in self._read_range(start, length):
            missing -= len(chunk)
            if missing < 0:
                raise Damaged(f"more than the {length} bytes asked for came from {start}", "The store is at fault.")
            chunks.append(chunk)
        if missing:
            raise Damaged(f"{missing} of the {length} bytes asked for did not come from {start}", _ANOTHER_COPY)
        return chunks


def _consumed(parts: list[B]) -> Iterator[B]:
    """The parts in order, none of them held any longer than whoever takes it does."""
    parts.reverse()
    while parts:
        yield parts.pop()


def _needed(manifest: Manifest, ring: KeyRing | None) -> KeyRing | None:
    """The ring where the archive is encrypted, None where it is not, whatever was given."""
    if manifest.encryption is not None and ring is None:
        raise WrongKey(
            f"{manifest.id} is encrypted for {manifest.encryption.key_fingerprint}, and the plan has no key",
            "Name its key in the plan.",
        )
    return ring if manifest.encryption is not None else None


class _Kept:
    """Some frames as they are stored, those read last. From any thread."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._frames: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, index: int) -> bytes | None:
        with self._lock:
            return self._frames.get(index)

    def add(self, frames: dict[int, bytes]) -> None:
        with self._lock:
            for index, frame in frames.items():
                self._frames[index] = frame
                self._frames.move_to_end(index)
            while len(self._frames) > self._count:
                self._frames.popitem(last=False)
