"""Writing an archive: pieces of SQL in, the bytes of one file out, every digest taken on the way.

Each byte is touched once: a piece's row bytes are digested for their table, the piece is packed (in threads, since
compressing is most of the work), the gzip member is digested, encrypted, and digested again as stored.
"""

import hashlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from backproof.archive.chunks import evenly
from backproof.archive.encryption import FRAME_BYTES, KeyRing, Sealer
from backproof.archive.members import Packed, Piece, pack
from backproof.archive.tables import TableDigests
from backproof.records import Encryption, Member, Section, Table

_HELD_BYTES = 48 * 1024 * 1024
"""Plain bytes that may wait to be packed, however many threads there are: more would not make a dump come faster."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What went into an archive; together with the dump's facts it makes the manifest."""

    stored_bytes: int
    stored_sha256: str
    gzip_bytes: int
    plain_bytes: int
    members: tuple[Member, ...]
    tables: tuple[Table, ...]
    """In the order of their first piece."""
    encryption: Encryption | None


@dataclass(frozen=True, slots=True)
class _Closing:
    """The last piece: a comment that says how many members there are, itself among them."""

    body: bytes
    section: Section = "finish"
    table: str | None = None
    columns: tuple[str, ...] = ()
    rows: int = 0
    head: bytes = b""
    tail: bytes = b""
    charset: str | None = None
    longest_bytes: int | None = None


class ArchiveWriter:
    """Writes one archive.

    Args:
        ring: seals it; None writes the gzip stream as it is.
        context: what an encrypted archive is bound to: ``{"plan": …, "backup": …, "kind": …}``.
        workers: threads that compress. At most ``workers`` + 2 pieces, and about 48 MiB of them, are held at once.
        frame_bytes: plain bytes of an encryption frame.
    """

    def __init__(
        self, ring: KeyRing | None, context: dict[str, str], workers: int = 2, frame_bytes: int = FRAME_BYTES
    ) -> None:
        self._sealer = Sealer(ring, context, frame_bytes) if ring else None
        self._workers = workers
        self._members: list[Member] = []
        self._tables = TableDigests()
        self._gzip_bytes = 0
        self._plain_bytes = 0
        self._stored = hashlib.sha256()
        self._stored_bytes = 0
        self._contents: Contents | None = None

    @property
    def contents(self) -> Contents:
        """What was written.

        Raises:
            ValueError: not all of it has been.
        """
        if self._contents is None:
            raise ValueError("the archive is not written to its end")
        return self._contents

    def write(self, pieces: Iterable[Piece]) -> Iterator[bytes]:
        """The archive's bytes, in chunks of about 1 MiB. Once.

        Ending early (``close``, an error) stops the threads and closes ``pieces`` where that is a generator.

        Raises:
            DumpFailed: a table's pieces do not agree on its columns.
            ValueError: something was written before.
        """
        if self._members:
            raise ValueError("a writer writes one archive")
        packed = self._packed(pieces)
        try:
            for chunk in evenly(self._sealer.seal(packed) if self._sealer else packed):
                self._stored.update(chunk)
                self._stored_bytes += len(chunk)
                yield chunk
        finally:
            packed.close()
            if isinstance(pieces, Generator):
                pieces.close()
        self._contents = self._summed()

    def _packed(self, pieces: Iterable[Piece]) -> Generator[bytes, None, None]:
        """Gzip members in the order of their pieces, a bounded number of them being packed at once."""
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="pack")
        waiting: deque[tuple[Piece, Future[Packed]]] = deque()
        try:
            for piece in pieces:
                self._tables.add(piece)
                waiting.append((piece, pool.submit(pack, piece)))
                while len(waiting) > self._workers + 1 or sum(len(held.body) for held, _ in waiting) > _HELD_BYTES:
                    yield self._index(*waiting.popleft())
            while waiting:
                yield self._index(*waiting.popleft())
            closing = _Closing(b"-- Backproof: %d members\n" % (len(self._members) + 1))
            yield self._index(closing, pool.submit(pack, closing))
        finally:
            pool.shutdown(cancel_futures=True)

    def _index(self, piece: Piece, packing: "Future[Packed]") -> bytes:
        packed = packing.result()
        member = Member(
            section=piece.section,
            table=piece.table,
            rows=piece.rows,
            offset=self._gzip_bytes,
            length=len(packed.gzip),
            plain_bytes=packed.plain_bytes,
            sha256=packed.sha256,
        )
        self._members.append(member)
        self._gzip_bytes += member.length
        self._plain_bytes += member.plain_bytes
        return packed.gzip

    def _summed(self) -> Contents:
        return Contents(
            stored_bytes=self._stored_bytes,
            stored_sha256=self._stored.hexdigest(),
            gzip_bytes=self._gzip_bytes,
            plain_bytes=self._plain_bytes,
            members=tuple(self._members),
            tables=self._tables.tables(),
            encryption=self._sealer.encryption if self._sealer else None,
        )
