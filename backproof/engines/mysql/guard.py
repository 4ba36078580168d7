"""Stub."""

from collections.abc import Iterator

from backproof.engines import Entry


def permitted(entry: Entry) -> list[bytes]:
    """The statements of an entry, each such as the dump tool writes; Damaged otherwise."""
    raise NotImplementedError


def inserts(plain: bytes, table: str) -> Iterator[tuple[bytes, int]]:
    """The INSERT statements of a data member, without ``;``, and the rows of each: into that table, nothing but values."""
    raise NotImplementedError
