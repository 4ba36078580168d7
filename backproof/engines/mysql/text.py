"""Reading the definitions that mariadb-dump writes: entries, their keys, statements, session settings. Pure; bytes.

The tool heads tables and views with a comment, but neither triggers, events nor routines. So entries are told by their
statements: each sets some session variables, creates one thing, and sets them back. A text says which schema it is of,
in a comment line of ours that every piece of definitions holds, since definitions can hold the name of their schema.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from backproof.engines import Entry
from backproof.engines.mysql.lexer import DEFAULT, Mode, Statement, name_of, statements, tokens
from backproof.engines.mysql.names import CODECS, decode, spell, unspell
from backproof.engines.mysql.rewrite import requalified_statement, schema_comment, schema_of
from backproof.errors import Damaged

__all__ = [
    "COMPLETE",
    "NAME",
    "SCHEMA_KINDS",
    "canonical",
    "entries",
    "entry_statements",
    "preamble_settings",
    "schema_comment",
    "schema_of",
    "shape_of",
    "split_definitions",
]

COMPLETE = re.compile(rb"\n-- Dump completed(?: on [^\n]*)?\n\Z")
"""The closing words; nothing comes behind them."""

SCHEMA_KINDS = frozenset({"PREAMBLE", "SEQUENCE", "TABLE", "VIEW COLUMNS"})
"""What must exist before rows do. All other kinds belong to the finish section."""

NAME = rb"`(?>(?:[^`]++|``)*)`"
"""A quoted name as the tools write it."""

_HEADER = re.compile(
    rb"\n?--\n-- (?:(?:Sequence|Table|Temporary table|Temporary view|Final view) structure|"
    rb"Dumping (?:events|routines|data)) for "
)
_SET = re.compile(
    rb"(?:/\*!\d{5,6} )?SET (?:(?P<preamble>NAMES |@OLD_|TIME_ZONE='\+00:00')|(?P<closing>[A-Z_]+=@OLD_)|"
    rb"(?P<back>\w+\s*=\s*@save)|(?P<setting>))",
)
_FIXED = (
    ("TABLE", re.compile(rb"CREATE TABLE (?:IF NOT EXISTS )?(" + NAME + rb") ")),
    ("SEQUENCE", re.compile(rb"CREATE SEQUENCE (" + NAME + rb") ")),
    ("VIEW COLUMNS", re.compile(rb"/\*!50001 CREATE VIEW (" + NAME + rb") AS SELECT\b")),
    ("drop", re.compile(rb"/\*!50001 DROP VIEW IF EXISTS (" + NAME + rb") ?\*/")),
    ("setval", re.compile(rb"(?:DO|SELECT) SETVAL\((" + NAME + rb"),")),
    ("alter", re.compile(rb"ALTER DATABASE (" + NAME + rb") CHARACTER SET ")),
)
_FRAME_OF_EVENTS = re.compile(rb"/\*!50106 SET (?:@save_time_zone= @@TIME_ZONE|TIME_ZONE= @save_time_zone) \*/")
_KINDS = frozenset({b"VIEW", b"TRIGGER", b"PROCEDURE", b"FUNCTION", b"EVENT", b"PACKAGE"})
_CLAUSES = {b"ALGORITHM": 3, b"DEFINER": 3, b"SQL": 3, b"AGGREGATE": 1}
"""What may stand between CREATE and the kind, and how many tokens it takes, without a host."""
_HEADING_TOKENS = 40


class Shape(NamedTuple):
    """What a statement of a dump is: ``preamble``, ``closing``, ``setting``, ``back``, ``alter``, ``drop``,
    ``setval``, or the kind of what it creates."""

    kind: str
    schema: str = ""
    """The qualifier of the created thing's name, where there is one."""
    name: str = ""
    table: str | None = None


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
    """An entry as it is compared: its statements, without comments between them, and without its schema's own name."""
    schema = schema_of(entry.settings)
    return b"\n".join(
        requalified_statement(each.sql, each.mode, schema[0], b"``", schema[1]) if schema else each.sql
        for each in own_statements(entry)
    )


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


def shape_of(sql: bytes, mode: Mode = DEFAULT) -> Shape:
    """What a statement is.

    Raises:
        Damaged: none that a dump of definitions holds.
    """
    if match := _SET.match(sql):
        return Shape(match.lastgroup or "")
    for kind, pattern in _FIXED:
        if match := pattern.match(sql):
            return Shape(kind, "", unspell(decode(match[1])))
    if (shape := _created(sql, mode)) is not None:
        return shape
    words = " ".join(sql[:80].decode("latin-1").split()[:2])
    raise Damaged(
        f"there is a statement that a dump of definitions does not hold: {words} …",
        "Find out how it came there; restore nothing from it by other means either.",
    )


def _created(sql: bytes, mode: Mode) -> Shape | None:
    """What a CREATE of a view, trigger, event or routine creates; its heading is partly in its author's words."""
    heading = _heading(sql, mode)
    words = [word.upper() if kind != "name" else b"" for kind, word in heading]
    at = _kind(heading, words)
    kind = words[at].decode("latin-1") if 0 < at < len(words) else ""
    if kind.encode("latin-1") not in _KINDS:
        return None
    at += 1
    if kind == "PACKAGE" and words[at : at + 1] == [b"BODY"]:
        kind, at = "PACKAGE BODY", at + 1
    if words[at : at + 3] == [b"IF", b"NOT", b"EXISTS"]:
        at += 3
    schema, name, at = _qualified(heading, at, mode)
    if kind in {"PROCEDURE", "FUNCTION"} and words[at : at + 1] != [b"("]:
        # A function of a shared library has none.
        return None
    if kind != "TRIGGER":
        return Shape(kind, schema, name) if name else None
    on = words.index(b"ON", at) + 1 if b"ON" in words[at:] else len(words)
    table = _qualified(heading, on, mode)[1]
    return Shape(kind, schema, name, spell(table)) if name and table else None


def _kind(heading: list[tuple[str, bytes]], words: list[bytes]) -> int:
    """Which token says what is created: between it and CREATE stand only such clauses as the tool writes."""
    if words[:1] != [b"CREATE"]:
        return 0
    at = 3 if words[1:3] == [b"OR", b"REPLACE"] else 1
    while at < len(words) and words[at] in _CLAUSES:
        at += _CLAUSES[words[at]]
        if heading[at : at + 1] == [("variable", b"@")]:
            at += 2
    return at


def _heading(sql: bytes, mode: Mode) -> list[tuple[str, bytes]]:
    """The first tokens of a statement: kind and bytes, comments left out."""
    found: list[tuple[str, bytes]] = []
    for kind, begin, end in tokens(sql, mode=mode):
        if kind not in {"comment", "open", "close"}:
            found.append((kind, sql[begin:end]))
        if len(found) == _HEADING_TOKENS:
            break
    return found


def _qualified(heading: list[tuple[str, bytes]], at: int, mode: Mode) -> tuple[str, str, int]:
    """Qualifier and name that begin at a token, and where they end; empty where there is none."""
    parts = [name_of(word, kind, mode) for kind, word in heading[at : at + 3 : 2]]
    if heading[at + 1 : at + 2] == [("mark", b".")] and len(parts) == 2:
        return parts[0], parts[1], at + 3
    return "", parts[0] if parts else "", at + 1


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
