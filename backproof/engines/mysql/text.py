"""Stub."""

import re
from collections.abc import Iterator

from backproof.engines import Entry

COMPLETE = re.compile(rb"\n-- Dump completed(?: on [^\n]*)?\n\Z")


def entries(text: bytes) -> Iterator[Entry]:
    """Divide schema or finish text; their texts, joined, are the text. ``settings`` is ``schema_comment`` of it."""
    raise NotImplementedError


def canonical(entry: Entry) -> bytes:
    """The entry as compared."""
    raise NotImplementedError


def preamble_settings(text: bytes) -> list[bytes]:
    """The statements that open a dump, without delimiter: what every session runs first."""
    raise NotImplementedError


def split_definitions(text: bytes, schema: str, ignore_case: bool = False) -> tuple[bytes, bytes]:
    """Schema and finish section of a definitions dump, each saying which schema it is of."""
    raise NotImplementedError


def schema_comment(schema: str, ignore_case: bool = False) -> bytes:
    """The comment line that every further piece of definitions has to begin with."""
    raise NotImplementedError


def schema_of(text: bytes) -> tuple[str, bool] | None:
    """Which schema a text is of and whether its name is told apart by case alone, from our comment line."""
    raise NotImplementedError


def entry_statements(entry: Entry) -> list[bytes]:
    """The statements of an entry, in order, without delimiters, settings around it included."""
    raise NotImplementedError
