"""Archives made for tests: real ones, small enough to be broken in every way there is."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from backproof.archive.encryption import FRAME_BYTES, KeyRing
from backproof.archive.reader import ArchiveReader
from backproof.archive.writer import ArchiveWriter
from backproof.engines import Piece
from backproof.naming import backup_id
from backproof.records import Database, Kind, Manifest

TAKEN_AT = datetime(2025, 11, 7, 2, 0, tzinfo=UTC)
KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))


@cache
def escrow_pair() -> tuple[bytes, bytes]:
    """Public and private PEM of one RSA-4096 pair; made once, since that takes a second."""
    private = rsa.generate_private_key(65537, 4096)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    unprotected = serialization.NoEncryption()
    return public, private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unprotected)


def rows_of(table: str, body: bytes, columns: tuple[str, ...] = ("a",)) -> Piece:
    """A data piece as an engine cuts it."""
    head = b"COPY %s (%s) FROM stdin;\n" % (table.encode(), ", ".join(columns).encode())
    return Piece("data", table, columns, body.count(b"\n"), head, body, b"\\.\n\n")


def sql(section: str, text: bytes) -> Piece:
    """A schema or finish piece."""
    return Piece(section, None, (), 0, text, b"", b"")  # type: ignore[arg-type]


SHOP = (
    sql("schema", b"CREATE TABLE users (a text);\nCREATE TABLE orders (a text);\n"),
    rows_of("public.users", b"anna\nbert\n"),
    rows_of("public.orders", b"1\n2\n3\n"),
    rows_of("public.users", b"carla\n"),
    sql("finish", b"CREATE INDEX users_a ON users (a);\n"),
)


@dataclass(frozen=True)
class Archive:
    """An archive in memory, its manifest, and its ring."""

    stored: bytes
    manifest: Manifest
    ring: KeyRing | None

    def reader(self, stored: bytes | None = None, ring: KeyRing | None = None) -> ArchiveReader:
        """A reader of it, or of other bytes in its place, or with another ring."""
        return ArchiveReader(self.manifest, ranges(self.stored if stored is None else stored), ring or self.ring)


class ranges:
    """Serves ranges of some bytes, as a store does, and counts what was asked for."""

    chunk = 7

    def __init__(self, stored: bytes) -> None:
        self.stored = stored
        self.asked: list[tuple[int, int | None]] = []

    def __call__(self, start: int, length: int | None) -> Iterator[bytes]:
        """As ``Store.read``, but for a range beyond the end: it ends early."""
        self.asked.append((start, length))
        part = self.stored[start:] if length is None else self.stored[start : start + length]
        return (part[at : at + self.chunk] for at in range(0, len(part), self.chunk))


def make(
    pieces: Iterable[Piece] = SHOP,
    ring: KeyRing | None = None,
    plan: str = "shop",
    kind: Kind = "daily",
    taken_at: datetime = TAKEN_AT,
    frame_bytes: int = FRAME_BYTES,
) -> Archive:
    """Write an archive and its manifest."""
    context = {"plan": plan, "backup": backup_id(taken_at), "kind": kind}
    writer = ArchiveWriter(ring, context, workers=2, frame_bytes=frame_bytes)
    stored = b"".join(writer.write(pieces))
    contents = writer.contents
    manifest = Manifest(
        plan=plan,
        id=context["backup"],
        kind=kind,
        taken_at=taken_at,
        backproof_version="0",
        database=Database(
            engine="postgresql",
            server_version="16.4",
            tool_version="16.4",
            taken_at=taken_at,
            live_bytes=8192,
            server={},
            settings={"encoding": "UTF8"},
            globals={},
        ),
        stored_bytes=contents.stored_bytes,
        stored_sha256=contents.stored_sha256,
        gzip_bytes=contents.gzip_bytes,
        plain_bytes=contents.plain_bytes,
        encryption=contents.encryption,
        members=contents.members,
        tables=contents.tables,
        entries={},
        timings=(),
    )
    return Archive(stored, manifest, ring)
