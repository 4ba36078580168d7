"""What each statement of a dump of definitions is, and what it creates. Pure."""

import re
from typing import NamedTuple

from backproof.engines.mysql.lexer import DEFAULT, Mode, name_of, tokens
from backproof.engines.mysql.names import decode, spell, unspell
from backproof.errors import Damaged

NAME = rb"`(?>(?:[^`]++|``)*)`"
"""A quoted name as the tools write it."""

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
