"""Stub."""

from collections.abc import Iterator
from typing import NamedTuple


class Mode(NamedTuple):
    """What of a session decides where a quotation ends."""

    backslash: bool = True
    ansi: bool = False
    charset: str = ""


class Statement(NamedTuple):
    """One statement of a script."""

    begin: int
    end: int
    sql: bytes
    mode: Mode


def tokens(
    sql: bytes, start: int = 0, end: int | None = None, mode: Mode | None = None
) -> Iterator[tuple[str, int, int]]:
    """(kind, begin, end) of what is not blank: comment, string, name, word, number, open, close, other."""
    raise NotImplementedError


def statements(text: bytes) -> Iterator[Statement]:
    """The statements of a script, DELIMITER lines obeyed; ``sql`` is without its delimiter."""
    raise NotImplementedError
