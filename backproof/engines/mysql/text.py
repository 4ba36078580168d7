"""Reading the definitions that mariadb-dump writes: entries, their keys, statements, session settings. Pure; bytes.

The tool heads tables and views with a comment, but neither triggers, events nor routines. So entries are told by their
statements: each sets some session variables, creates one thing, and sets them back. A text says which schema it is of,
in a comment line of ours that every piece of definitions holds, since definitions can hold the name of their schema.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from backproof.engines import Entry
from backproof.engines.mysql.definition import without_old_formats
from backproof.engines.mysql.keys import with_unique_keys_sorted
from backproof.engines.mysql.lexer import Statement, statements, tokens
from backproof.engines.mysql.names import CODECS, spell
from backproof.engines.mysql.places import without_folders
from backproof.engines.mysql.rewrite import requalified_statement, schema_comment, schema_of
from backproof.engines.mysql.shapes import NAME, Shape, shape_of
from backproof.errors import Damaged

__all__ = [
    "COMPLETE",
    "SCHEMA_KINDS",
    "canonical",
    "entries",
    "entry_statements",
    "preamble_settings",
    "schema_comment",
    "schema_of",
    "split_definitions",
]

COMPLETE = re.compile(rb"\n-- Dump completed(?: on [^\n]*)?\n\Z")
"""The closing words; nothing comes behind them."""

SCHEMA_KINDS = frozenset({"PREAMBLE", "SEQUENCE", "TABLE", "VIEW COLUMNS"})
"""What must exist before rows do. All other kinds belong to the finish section."""

_HEADER = re.compile(
    rb"\n?--\n-- (?:(?:Sequence|Table|Temporary table|Temporary view|Final view) structure|"
    rb"Dumping (?:events|routines|data)) for "
)
_FRAME_OF_EVENTS = re.compile(rb"/\*!50106 SET (?:@save_time_zone= @@TIME_ZONE|TIME_ZONE= @save_time_zone) \*/")
_PREAMBLE = Shape("PREAMBLE")


@dataclass
class _Group:
    """The statements of one entry."""

    end: int = 0
    main: Shape | None = None
    altered: int = 0
    """How often it changed the schema's collation: for what it creates, and back."""


def split_definitions(text: bytes, schema: str, ignore_case: bool = False) -> tuple[bytes, bytes]:
    """Schema and finish section of a whole definitions dump, in the tool's order and words; each says its schema.

    Raises:
        Damaged: the dump is cut, or holds a statement that does not belong in one.
    """
    comment = schema_comment(schema, ignore_case)
    first, last = [comment], [comment]
    for entry in entries(text):
        if entry.kind == "PREAMBLE":
            first.insert(0, entry.text)
        else:
            (first if entry.kind in SCHEMA_KINDS else last).append(entry.text)
    return b"".join(first), b"".join(last)


def entries(text: bytes) -> Iterator[Entry]:
    """Divide schema or finish text into its entries; their texts, joined, are the text.

    ``settings`` of each is the comment that says which schema it is of.

    Raises:
        Damaged: a statement that the dump tool does not write there, a client's command, or a text that is cut.
    """
    groups = list(_groups(text))
    settings = b""
    begin = 0
    for number, group in enumerate(groups):
        end = group.end if number < len(groups) - 1 else len(text)
        if not number and (schema := schema_of(text[:end])):
            settings = schema_comment(*schema)
        shape = group.main or _PREAMBLE
        table = spell(shape.name) if shape.kind == "TABLE" else shape.table
        key = f"{shape.kind} {spell(shape.name)}" if shape.name else shape.kind
        yield Entry(key, shape.kind, table, text[begin:end], settings)
        begin = end
    if text and not groups:
        yield Entry("PREAMBLE", "PREAMBLE", None, text)


def canonical(entry: Entry) -> bytes:
    """An entry as it is compared: its statements, without comments between them, and without its schema's own name.

    Unique keys come in the order in which a server that creates the table puts them, and nothing is said of the format
    in which it keeps dates and times.
    """
    schema = schema_of(entry.settings)
    own = _OWN if entry.kind == "VIEW" else b"``"
    texts: Iterable[bytes] = (
        requalified_statement(sql, each.mode, schema[0], own, schema[1]) if schema else sql
        for each in own_statements(entry)
        for sql in [without_folders(each.sql, each.mode) if entry.kind in SCHEMA_KINDS else each.sql]
    )
    if entry.kind == "VIEW":
        texts = map(_view, texts)
    elif entry.kind == "TABLE":
        texts = map(_table, texts)
    return b"\n".join(texts)


def _table(sql: bytes) -> bytes:
    if not sql.startswith(b"CREATE TABLE "):
        return sql
    sql = without_old_formats(sql)
    return with_unique_keys_sorted(sql) if sql.count(b"\n  UNIQUE KEY ") > 1 else sql


_OWN = b"`\0`"
_OWN_TABLE = re.compile(re.escape(_OWN) + rb"\." + NAME + rb"(?![.(])")
_OWN_COLUMN = re.compile(re.escape(_OWN) + rb"\.(?=" + NAME + rb"\.)")


def _view(sql: bytes) -> bytes:
    """A view, as a server writes it where its definer may read the tables; else it names their schema with each column,
    and yet not with the tables. On a scratch server every definer may."""
    short = sql if _OWN_TABLE.search(sql) else _OWN_COLUMN.sub(b"", sql)
    return short.replace(_OWN, b"``")


_COUNTER = re.compile(rb"(?<=\n\) ENGINE=)([^\n]*?) AUTO_INCREMENT=[0-9]+")
"""In the options of a table, which begin a line: one within a text would be written as \\n."""


def shape(entry: Entry) -> bytes:
    """An entry as it is compared, without what moves with the rows."""
    return _COUNTER.sub(rb"\1", canonical(entry)) if entry.kind == "TABLE" else canonical(entry)


def entry_statements(entry: Entry) -> list[bytes]:
    """The statements of an entry, in order, without delimiters; alone they leave the session as they found it."""
    return [_event(each) if entry.kind == "EVENT" else each.sql for each in own_statements(entry)]


def preamble_settings(text: bytes) -> list[bytes]:
    """The statements that open a dump: what every session runs first."""
    preamble = next(entries(text), None)
    return entry_statements(preamble) if preamble is not None and preamble.kind == "PREAMBLE" else []


def own_statements(entry: Entry) -> Iterator[Statement]:
    """Without what frames all events together: each of them sets its time zone itself."""
    return (each for each in statements(entry.text) if not _FRAME_OF_EVENTS.fullmatch(each.sql))


def _groups(text: bytes) -> Iterator[_Group]:
    """The statements of a text, gathered to entries."""
    group: _Group | None = None
    for statement in statements(text):
        shape = shape_of(statement.sql, statement.mode)
        if group is not None and not _continues(group, shape):
            if group.main == _PREAMBLE and (header := _HEADER.search(text, group.end, statement.begin)):
                # What is said of the whole dump, the log position for one, stays with its opening.
                group.end = header.start()
            yield group
            group = None
        group = group or _Group()
        _take(group, shape)
        group.end = statement.end
    if group is not None:
        if group.main is None:
            raise Damaged("the definitions in a dump end amidst one of them", "Use another backup.")
        yield group


def _continues(group: _Group, shape: Shape) -> bool:
    """Whether a statement belongs to the entry that the last one belongs to."""
    if group.main is None:
        return shape.kind not in {"preamble", "closing"}
    if group.main.kind in {"PREAMBLE", "CLOSING"}:
        return shape.kind.upper() == group.main.kind
    if shape.kind == "alter":
        return group.altered == 1
    return shape.kind == "back" or (shape.kind == "setval" and group.main[:3] == ("SEQUENCE", "", shape.name))


def _take(group: _Group, shape: Shape) -> None:
    if shape.kind in {"preamble", "closing"}:
        group.main = Shape(shape.kind.upper())
    elif shape.kind == "alter":
        group.altered += 1
    elif shape.kind in {"back", "setval"} and group.main is None:
        raise Damaged("the dump sets back what it has not set", "Use another backup.")
    elif shape.kind.isupper():
        group.main = shape


def _event(statement: Statement) -> bytes:
    """A statement of an event; the tool writes its heading in UTF-8 even where its body is in another charset."""
    sql, charset = statement.sql, statement.mode.charset
    if not charset or sql.isascii():
        return sql
    body = next((begin for kind, begin, end in tokens(sql, mode=statement.mode) if sql[begin:end] == b"DO"), 0)
    try:
        return sql[:body].decode().encode(CODECS.get(charset, charset)) + sql[body:]
    except (UnicodeError, LookupError):
        return sql
