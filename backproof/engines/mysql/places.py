"""What a table's definition says of places outside of its schema: folders of the server, and other servers. Pure.

A table in a folder of its own (``DATA DIRECTORY``) comes back where the new server keeps its tables, by the mode
``NO_DIR_IN_CREATE``: so the folder is no part of what is compared. A table that names another server (``CONNECTION``)
reaches it from wherever it is restored.
"""

from collections.abc import Iterable, Iterator

from backproof.engines import Entry
from backproof.engines.mysql.definition import divided
from backproof.engines.mysql.lexer import DEFAULT, Mode, statements, tokens

Span = tuple[int, int]


def without_folders(sql: bytes, mode: Mode = DEFAULT) -> bytes:
    """A CREATE TABLE or CREATE SEQUENCE without the folders that it names."""
    kept, position = [], 0
    for begin, end in _clauses(sql, mode, b"DIRECTORY"):
        kept.append(sql[position:begin].rstrip(b" "))
        position = end
    return b"".join([*kept, sql[position:]])


def in_folders(entries: Iterable[Entry]) -> list[str]:
    """The keys of entries whose tables lie in folders of their own."""
    return _saying(entries, b"DIRECTORY")


def with_servers(entries: Iterable[Entry]) -> list[str]:
    """The keys of entries whose tables name another server."""
    return _saying(entries, b"CONNECTION")


def with_parents_elsewhere(entries: Iterable[Entry]) -> list[str]:
    """The keys of entries whose tables have foreign keys to tables of other schemas."""
    return [
        entry.key
        for entry in entries
        if entry.kind == "TABLE" and b"REFERENCES" in entry.text
        for each in statements(entry.text)
        if each.sql.startswith(b"CREATE TABLE")
        if any(schema for link in divided(each.sql).of("foreign key") for schema, _ in [link.referenced])
    ]


def _saying(entries: Iterable[Entry], word: bytes) -> list[str]:
    return [
        entry.key
        for entry in entries
        if entry.kind in {"TABLE", "SEQUENCE"} and word in entry.text.upper()
        if any(True for each in statements(entry.text) for _ in _clauses(each.sql, each.mode, word))
    ]


def _clauses(sql: bytes, mode: Mode, word: bytes) -> Iterator[Span]:
    """Where ``DATA DIRECTORY='…'``, ``INDEX DIRECTORY = '…'`` or ``CONNECTION='…'`` stands."""
    if word not in sql.upper():
        return
    found = [each for each in tokens(sql, 0, None, mode) if each[0] not in {"comment", "open", "close"}]
    for number, (kind, begin, end) in enumerate(found):
        if kind != "word" or sql[begin:end].upper() != word:
            continue
        following = found[number + 1 : number + 3]
        if [sql[at:to] for _, at, to in following[:1]] == [b"="] and [each[0] for each in following[1:]] == ["string"]:
            start = found[number - 1][1] if word == b"DIRECTORY" else begin
            yield start, following[1][2]
