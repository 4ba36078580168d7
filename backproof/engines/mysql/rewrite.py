"""What definitions say of their own schema: found, and rewritten for another name. Pure.

A qualifier is told by where it stands. ``live.t`` behind ``FROM``, ``live.f(…)`` and ``live.t.c`` mean the schema;
``live.c`` within an expression is a column of a table or alias of that name, and stays. Strings are never rewritten:
a body that builds SQL of them (``'DELETE FROM live.t'``) is named instead.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from backproof.engines import Entry
from backproof.engines.mysql.lexer import Mode, name_of, statements, tokens
from backproof.engines.mysql.names import decode, quote_ident, quote_literal, unspell

BODY_KINDS = frozenset({"TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "PACKAGE", "PACKAGE BODY"})
"""What holds statements in its author's words."""

_OF_SCHEMA = re.compile(rb"^-- Database: (`(?>(?:[^`\n]++|``)*)`)( in any case)?\n", re.MULTILINE)
_TOOLS_HEADER = re.compile(rb"^-- Host: [^\n]*?    Database: ([^\n]*(?:\n-- (?!-)[^\n]*)*)\n-- -", re.MULTILINE)

_BEFORE_A_TABLE = frozenset(
    b"FROM JOIN STRAIGHT_JOIN INTO UPDATE DELETE INSERT REPLACE TRUNCATE TABLE TABLES USING CALL REFERENCES UNION "
    b"DATABASE SCHEMA VIEW TRIGGER PROCEDURE FUNCTION EVENT SEQUENCE PACKAGE DESCRIBE HANDLER".split()
)
_FUNCTIONS_TOO = frozenset(b"INSERT REPLACE TRUNCATE DATABASE SCHEMA".split())
_BETWEEN = frozenset(b"LOW_PRIORITY DELAYED HIGH_PRIORITY IGNORE QUICK TEMPORARY IF NOT EXISTS LATERAL BODY".split())
"""May stand between one of those and the table."""
_BEFORE_AN_EXPRESSION = frozenset(
    b"SELECT WHERE SET GROUP ORDER HAVING LIMIT VALUES VALUE RETURNING RETURN WINDOW THEN ELSE DO BEGIN LOOP".split()
)
_GRANTED = frozenset(b"SELECT INSERT UPDATE DELETE EXECUTE ALL PRIVILEGES".split())
_SEQUENCE_FUNCTIONS = frozenset(b"NEXTVAL LASTVAL SETVAL".split())

Token = tuple[str, int, int]


def schema_comment(schema: str, ignore_case: bool = False) -> bytes:
    """The line that says which schema a text is of; every further piece of definitions begins with it.

    Args:
        ignore_case: whether the server takes ``LIVE`` for ``live`` (``lower_case_table_names`` other than 0).
    """
    name = quote_ident(schema).replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"-- Database: {name}{' in any case' if ignore_case else ''}\n".encode()


def schema_of(text: bytes) -> tuple[str, bool] | None:
    """Which schema a text is of, by our comment or the tool's, and whether case does not matter in its name."""
    if match := _OF_SCHEMA.search(text):
        plain = re.sub(r"\\(.)", lambda escape: {"n": "\n", "r": "\r"}.get(escape[1], escape[1]), decode(match[1]))
        return unspell(plain), bool(match[2])
    if match := _TOOLS_HEADER.search(text):
        return decode(match[1].replace(b"\n-- ", b"\n")), False
    return None


def moved(entry: Entry, schema: str) -> Entry:
    """An entry as it is to be created in another schema: qualifiers of its own replaced."""
    own = schema_of(entry.settings)
    if own is None or own[0] == schema:
        return entry
    text = requalified(entry.text, own[0], schema, own[1])
    return replace(entry, text=text, settings=schema_comment(schema, own[1]))


def disabled(entry: Entry) -> Entry:
    """An event as it is to be created where it must not run."""
    parts, position = [], 0
    for statement in statements(entry.text):
        for kind, begin, end in tokens(statement.sql, mode=statement.mode):
            word = statement.sql[begin:end] if kind == "word" else b""
            if word == b"ENABLE":
                parts += [entry.text[position : statement.begin + begin], b"DISABLE"]
                position = statement.begin + end
            if word in {b"ENABLE", b"DISABLE", b"DO"}:
                break
    return replace(entry, text=b"".join([*parts, entry.text[position:]]))


def requalified(text: bytes, old: str, new: str, ignore_case: bool = False) -> bytes:
    """A script with every qualifier that means schema ``old`` replaced by ``new``."""
    parts, position = [], 0
    replacement = quote_ident(new).encode()
    for statement in statements(text):
        parts.append(text[position : statement.begin])
        parts.append(requalified_statement(statement.sql, statement.mode, old, replacement, ignore_case))
        position = statement.begin + len(statement.sql)
    return b"".join([*parts, text[position:]])


def requalified_statement(sql: bytes, mode: Mode, old: str, new: bytes, ignore_case: bool = False) -> bytes:
    """The same for one statement, without its delimiter."""
    wanted = _fold(old, ignore_case)
    if not _mention(wanted, ignore_case).search(sql):
        return sql
    parts, position = [], 0
    for begin, end in _qualifiers(sql, mode, wanted, ignore_case):
        parts += [sql[position:begin], new]
        position = end
    return b"".join([*parts, sql[position:]])


def literal_uses(entry: Entry, old: str) -> bool:
    """Whether a string in a body holds the schema's name the way that SQL would: as a qualifier, behind a word such as
    ``FROM`` or ``USE``, or as all that it holds."""
    if entry.kind not in BODY_KINDS:
        return False
    name = re.escape(old)
    found = re.compile(
        rf"(?<![\w$])`?{name}`?\s*\.|^\s*`?{name}`?\s*$|"
        rf"\b(?:from|join|into|update|table|tables|call|use|database|schema|in)\s+`?{name}`?(?![\w$])",
        re.IGNORECASE,
    )
    for statement in statements(entry.text):
        if statement.sql.startswith((b"ALTER DATABASE", b"SET")) or not _may_hold(statement.sql, old):
            continue
        for kind, begin, end in tokens(statement.sql, mode=statement.mode):
            if kind == "string" and found.search(decode(statement.sql[begin + 1 : end - 1], statement.mode.charset)):
                return True
    return False


@cache
def _mention(name: str, ignore_case: bool) -> re.Pattern[bytes]:
    """What a statement holds that may name the schema; far from every one that does holds a qualifier."""
    if not re.fullmatch(r"\w+", name, re.ASCII):
        return re.compile(b"")
    flags = re.IGNORECASE if ignore_case else re.NOFLAG
    return re.compile(rb"(?<![\w$])" + name.encode() + rb"[`\"]?\s*(?:\.|/\*|--|\#)|\b(?i:DATABASE|SCHEMA)\b", flags)


def _may_hold(sql: bytes, name: str) -> bool:
    return not name.isascii() or name.lower().encode() in sql.lower()


def escaped(name: str) -> str:
    """A schema's name as the tool spells it in ``ALTER DATABASE``: escaped as if in a string, by mistake."""
    return quote_literal(name)[1:-1]


def _fold(name: str, ignore_case: bool) -> str:
    return name.lower() if ignore_case else name


def _qualifiers(sql: bytes, mode: Mode, wanted: str, ignore_case: bool) -> Iterator[tuple[int, int]]:
    """Where a statement names its schema."""
    found = [token for token in tokens(sql, mode=mode) if token[0] not in {"comment", "open", "close"}]
    position = _Position()
    names = {wanted, escaped(wanted)}
    for number, (kind, begin, end) in enumerate(found):
        if _fold(name_of(sql[begin:end], kind, mode), ignore_case) in names and position.is_schema(
            [sql[token[1] : token[2]] for token in found[number + 1 : number + 4]]
        ):
            yield begin, end
        following = sql[found[number + 1][1] : found[number + 1][2]] if number + 1 < len(found) else b""
        position.take(kind, sql[begin:end].upper() if kind in {"word", "mark"} else b"", following)


class _Position:
    """Whether the next name may be a table's, clause by clause and bracket by bracket."""

    def __init__(self) -> None:
        self._tables = [False]
        """Per open bracket, whether a comma leads to another table."""
        self._selects = [True]
        """Per open bracket, whether it holds a query; ``FROM`` within ``EXTRACT(… FROM …)`` leads to no table."""
        self._expects = False
        self._last = self._last_but_one = b""
        self._last_kind = ""

    def is_schema(self, following: list[bytes]) -> bool:
        """Whether a name here means the schema, given what follows."""
        if self._last == b".":
            return False
        if following[:1] != [b"."]:
            return self._expects and bool({self._last, self._last_but_one} & {b"DATABASE", b"SCHEMA"})
        return self._expects or (len(following) == 3 and following[2] in {b".", b"("})

    def take(self, kind: str, word: bytes, following: bytes) -> None:
        """Go on to the next token; ``word`` is in capitals, and empty for names and strings."""
        if word == b"(":
            self._tables.append(self._expects)
            self._selects.append(False)
            self._expects = self._expects or self._last in _SEQUENCE_FUNCTIONS
        elif word == b")":
            self._close()
        elif word == b",":
            self._expects = self._tables[-1]
        elif word == b";":
            self._tables, self._selects, self._expects = [False], [True], False
        elif kind == "word" and self._last != b".":
            self._word(word, following)
        elif not (word == b"=" and self._last == b"UNION"):
            self._expects = False
        self._last_but_one, self._last = (
            (self._last, word) if word not in _BETWEEN else (self._last_but_one, self._last)
        )

    def _close(self) -> None:
        if len(self._tables) > 1:
            self._tables.pop()
            self._selects.pop()
        self._expects = False

    def _word(self, word: bytes, following: bytes) -> None:
        if word in _BEFORE_AN_EXPRESSION:
            self._selects[-1] = self._selects[-1] or word == b"SELECT"
            self._tables[-1] = self._expects = False
        elif word == b"ON":
            # Behind a trigger's event or a privilege a table comes; behind a join, an expression.
            self._expects = self._last in _GRANTED
        elif word in _BEFORE_A_TABLE:
            is_call = word in _FUNCTIONS_TOO and following == b"("
            is_part = word == b"FROM" and not self._selects[-1]
            is_on_duplicate = word == b"UPDATE" and self._last == b"KEY"
            self._expects = not (is_call or is_part or is_on_duplicate)
            self._tables[-1] = self._expects or (self._tables[-1] and not is_on_duplicate)
        elif word in {b"LIKE", b"TO"}:
            self._expects = self._tables[-1]
        elif word in {b"FOR", b"OF"}:
            self._expects = self._last in {b"VALUE", b"TYPE"}
        elif word not in _BETWEEN:
            self._expects = False
