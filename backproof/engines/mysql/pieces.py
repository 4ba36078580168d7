"""Stub."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from backproof.engines import PIECE_BYTES, Piece


class Readable(Protocol):
    """A pipe or a file."""

    def read(self, size: int, /) -> bytes:
        """Up to so many bytes; none at the end."""


def pieces(stream: Readable, columns: Mapping[str, tuple[str, ...]], piece_bytes: int = PIECE_BYTES) -> Iterator[Piece]:
    """A row dump as pieces; ``columns`` by spelled table name, every one of them must come."""
    raise NotImplementedError


def binlog_position(text: bytes) -> tuple[str, int] | None:
    """File and offset of the binary log that a dump prints (any text with its opening comments)."""
    raise NotImplementedError


def gtid(text: bytes) -> str | None:
    """The GTID position that a dump prints with its closing words (MariaDB)."""
    raise NotImplementedError
