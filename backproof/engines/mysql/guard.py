"""What an archive may say to a server: the statements mariadb-dump writes into these sections, and nothing else.

A second fence behind signatures and digests. Statements that reach beyond the restored schema (``GRANT``, ``SET
GLOBAL``, ``CREATE TABLE other.t``, a function of a shared library), read or write files, or run at once what they
define are none that a dump of one schema holds; an archive with one of them was not written by the tool, and is refused
before that entry is sent. Spelling counts. What triggers, events and routines of the archive do when they run is the
database's own business, as ever.
"""

import re
from collections.abc import Iterator

from backproof.engines import Entry
from backproof.engines.mysql.lexer import Statement, tokens
from backproof.engines.mysql.names import decode, spell, unspell
from backproof.engines.mysql.pieces import HEADER, INSERT, unescaped
from backproof.engines.mysql.rewrite import escaped
from backproof.engines.mysql.shapes import NAME, Shape, shape_of
from backproof.engines.mysql.text import entry_statements, own_statements, schema_of
from backproof.engines.mysql.writing import opened
from backproof.errors import Damaged

_SAVED = rb"@(?:OLD|saved|save)_\w+"
_SETTING = (
    rb"(?i:character_set_client|character_set_results|collation_connection|time_zone|sql_mode|unique_checks|"
    rb"foreign_key_checks|sql_notes)"
)
_ASSIGNED = rb"(?:" + _SAVED + rb" *= *@@" + _SETTING + rb"|" + _SETTING + rb" *= *(?:" + _SAVED + rb"|'[^'\\]*'|\w+))"
_SET = rb"SET (?:NAMES \w+|" + _ASSIGNED + rb"(?:, ?" + _ASSIGNED + rb")*)"
_COLUMN = rb"(?:NULL|1) AS " + NAME
_SHAPES = {
    "SET": re.compile(_SET + rb"|/\*!\d{5,6} " + _SET + rb" ?\*/"),
    "TABLE": re.compile(rb"CREATE TABLE " + NAME + rb" \(\n  `.*", re.DOTALL),
    "SEQUENCE": re.compile(
        rb"CREATE SEQUENCE " + NAME + rb" (?:[\w =-]|" + NAME + rb"|'(?:[^'\\]|\\.|'')*')+", re.DOTALL
    ),
    "setval": re.compile(rb"(?:DO|SELECT) SETVAL\(" + NAME + rb", -?\d+, [01]\)"),
    "alter": re.compile(rb"ALTER DATABASE " + NAME + rb" CHARACTER SET \w+ COLLATE \w+"),
    "drop": re.compile(rb"/\*!50001 DROP VIEW IF EXISTS " + NAME + rb" ?\*/"),
    "VIEW COLUMNS": re.compile(
        rb"/\*!50001 CREATE VIEW " + NAME + rb" AS SELECT ?\n *" + _COLUMN + rb"(?:,\n *" + _COLUMN + rb")* ?\*/"
    ),
}
_SETS = frozenset({"preamble", "closing", "setting", "back"})
_OTHERS_ROWS = frozenset({b"SELECT", b"TABLE"})
"""With one of these words behind its columns, a table would be filled from elsewhere as it is created."""


def permitted(entry: Entry) -> list[bytes]:
    """The statements of an entry, every one of them such as the tool writes, about things of the entry's own schema.

    ``text.entry_statements`` is what they are; for another schema, ``rewrite.moved`` comes before.

    Raises:
        Damaged: one of them is not; it is named by its first words, not shown.
    """
    own = schema_of(entry.settings)
    for statement in own_statements(entry):
        shape = shape_of(statement.sql, statement.mode)
        if not (_is_the_tools(statement, shape) and _is_own(shape, own)):
            words = " ".join(statement.sql[:80].decode("latin-1").split()[:3])
            raise Damaged(
                f"the archive holds a statement that mariadb-dump does not write there: {words} …",
                "Restore nothing from it by other means either, and find out who wrote it.",
            )
    return entry_statements(entry)


def _is_the_tools(statement: Statement, shape: Shape) -> bool:
    kind = "SET" if shape.kind in _SETS else shape.kind
    if kind in _SHAPES and not _SHAPES[kind].fullmatch(statement.sql):
        return False
    if kind != "TABLE":
        return True
    upper = statement.sql.upper()
    if b"SELECT" not in upper and upper.count(b"TABLE") == 1:
        return True
    words = (upper[begin:end] for kind, begin, end in tokens(statement.sql, 13, None, statement.mode) if kind == "word")
    return _OTHERS_ROWS.isdisjoint(words)


def _is_own(shape: Shape, own: tuple[str, bool] | None) -> bool:
    named = shape.name if shape.kind == "alter" else shape.schema
    if not named:
        return True
    if own is None:
        return False
    schema, ignore_case = own
    known = {schema, escaped(schema)}
    return named in known or (ignore_case and named.lower() in {name.lower() for name in known})


def inserts(plain: bytes, table: str) -> Iterator[tuple[bytes, int]]:
    """The statements of a member of rows, without ``;``, and how many rows each brings.

    They insert into that table, and what they insert is values: no call, no query, no other clause. The sessions that
    they go to must not have ``NO_BACKSLASH_ESCAPES``.

    Args:
        table: as ``Table.name`` spells it.

    Raises:
        Damaged: the member holds anything else.
    """
    _, begin, length = opened(plain)
    header = HEADER.match(plain, begin)
    position = header.end() if header else begin
    while position < length:
        match = INSERT.match(plain, position)
        # A long needle is found five times as fast as the end of a statement by itself.
        following = plain.find(b");\n" + match[0], match.end()) if match else -1
        end = following + 1 if following >= 0 else length - 2
        rows = _rows(plain[match.end() : end]) if match and plain.endswith(b");\n", 0, length) else 0
        if match is None or not rows or spell(unspell(decode(match["table"]))) != table:
            raise Damaged(
                f"a member that should hold rows of {table} holds something else",
                "Restore from another copy of this backup.",
            )
        yield plain[position:end], rows
        position = end + 2


def _rows(values: bytes) -> int:
    """How many rows a list of values holds; none where it holds more than values.

    All is thrown away but quotes, brackets and a few letters; then, strings. Calls leave brackets within brackets,
    and each clause that could follow has one of the letters, as has ``NEXT VALUE FOR``; ``NULL``, a number or
    ``_binary`` has none.
    """
    left = unescaped(values).translate(None, _OF_VALUES)
    outside = b"".join(left.split(b"'")[::2])
    rows = outside.count(b"()")
    return rows if len(outside) == 2 * rows else 0


_OF_VALUES = bytes(set(range(256)) - set(b"'()OoPpSsVv"))
