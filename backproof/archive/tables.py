"""The content of tables by digest, taken while their pieces pass."""

import hashlib
from dataclasses import dataclass, field

from backproof.archive.members import Piece
from backproof.errors import DumpFailed
from backproof.records import Table


@dataclass(slots=True)
class _Rows:
    """What was seen of one table so far."""

    columns: tuple[str, ...]
    charset: str | None
    rows: int = 0
    row_bytes: int = 0
    longest: int | None = None
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)


class TableDigests:
    """Rows, row bytes and SHA-256 per table; pieces of several tables may alternate."""

    def __init__(self) -> None:
        self._seen: dict[str, _Rows] = {}

    def add(self, piece: Piece) -> None:
        """Take one piece of data; others pass by.

        Raises:
            DumpFailed: a table's pieces do not agree on its columns.
        """
        if piece.section != "data" or piece.table is None:
            return
        seen = self._seen.setdefault(piece.table, _Rows(piece.columns, piece.charset))
        if seen.columns != piece.columns:
            raise DumpFailed(
                f"the dump gives {piece.table} two column lists", "It was altered during the dump: run it again."
            )
        seen.rows += piece.rows
        seen.row_bytes += len(piece.body)
        if piece.longest_bytes is not None:
            seen.longest = max(seen.longest or 0, piece.longest_bytes)
        seen.digest.update(piece.body)

    def tables(self) -> tuple[Table, ...]:
        """In the order of their first piece."""
        return tuple(
            Table(
                name=name,
                columns=seen.columns,
                rows=seen.rows,
                row_bytes=seen.row_bytes,
                sha256=seen.digest.hexdigest(),
                charset=seen.charset,
                longest_statement_bytes=seen.longest,
            )
            for name, seen in self._seen.items()
        )
