"""What is a statement, a quotation, a comment in the SQL that mariadb-dump writes: enough to divide it, and no more.

The text is bytes and never decoded. Where a quotation ends depends on the session: on ``sql_mode`` (is a backslash an
escape, is ``"`` a quotation of names) and, in four old character sets, on which bytes are the second half of a
character. A dump sets both before each body, and what it sets is followed here, as server and client do it.

Conditional comments (``/*!50003 … */``) are SQL, and belong to the statement. ``DELIMITER`` is obeyed as the tool
writes it: a run of semicolons. Any other command that only the stock client would obey is refused.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from backproof.engines.mysql.names import decode
from backproof.errors import Damaged

_REMEDY = "The dump tool writes no such thing. Use another backup, and find out how this one came about."


class Mode(NamedTuple):
    """What of a session decides where a quotation ends."""

    backslash: bool = True
    """Whether a backslash in a string is an escape (no ``NO_BACKSLASH_ESCAPES``)."""
    ansi: bool = False
    """Whether ``"`` quotes names (``ANSI_QUOTES``)."""
    charset: str = ""
    """``character_set_client``; empty for the dump's own, which is utf8mb4."""


class Statement(NamedTuple):
    """One statement of a script, and where it stands."""

    begin: int
    end: int
    """Behind its delimiter and the line end that follows."""
    sql: bytes
    """Without delimiter and blanks around it."""
    mode: Mode


DEFAULT = Mode()
"""The mode that a dump's preamble sets."""

_SANDBOX = rb"/\*M?!999999\\-\ enable\ the\ sandbox\ mode\ \*/"
_COMMENT = (
    rb"(?P<comment> --(?=[\x00-\x20\x7f]|\Z)[^\n]*+ | \#[^\n]*+ | "
    + _SANDBOX
    + rb" | (?P<block> /\*(?!M?!) ) ) | (?P<open> /\*M?!\d*+ ) | (?P<close> \*/ )"
)
# What is passed over comes first, in one go. Atomic groups, since possessive ones, (?: … )*+, match wrongly before
# Python 3.11.5 (gh-106052; Debian 12 has 3.11.2); bounded, since they remember every round until they are done.
_COARSE = (
    rb"""
    (?> (?: [^'"`\-/\#;\\*<LEAD>]++ <PAIR> | <STRING> | <NAME> | \\N
      | - (?! -(?:[\x00-\x20\x7f]|\Z) ) | / (?!\*) | \* (?!/) ){0,9999} )
    (?: """
    + _COMMENT
    + rb""" | (?P<mark> ;++ | \\(?!N) ) | (?P<opened> ['"`] ) | (?P<more> (?=.) ) )"""
)
_FINE = (
    rb"[\x00-\x20\x7f]*+ (?: "
    + _COMMENT
    + rb""" | (?P<string> <STRING> ) | (?P<name> <NAME> ) | (?P<opened> ['"`] )
      | (?P<variable> @[\w$.@\x80-\xff]*+ ) | (?P<word> (?> (?: [\w$]++ | <BEYOND>++ <PAIR> )+ ) ) | (?P<mark> . ) )"""
)
_SJIS, _OTHER = rb"\x81-\x9f\xe0-\xfc", rb"\x81-\xfe"
_LEADS = {"sjis": _SJIS, "cp932": _SJIS, "big5": _OTHER, "gbk": _OTHER, "gb18030": _OTHER}
"""Character sets whose characters may end in a byte that is a backslash or a backtick by itself."""

_BETWEEN = re.compile(
    rb"(?> (?: [\x00-\x20]++ | --(?=[\x00-\x20\x7f]|\Z)[^\n]*+ | \#[^\n]*+ | "
    + _SANDBOX
    + rb" | /\*(?!M?!).*?\*/ ){0,999} )",
    re.VERBOSE | re.DOTALL,
)
_LINE_END = re.compile(rb"[ \t]*+\n?")
_DELIMITER = re.compile(rb"DELIMITER (;+)[ \t]*(?:\n|\Z)")
_SQL_MODE = re.compile(rb"\bSQL_MODE\s*=\s*(?:(['\"])([A-Z0-9_,]*)\1|@[^@])", re.IGNORECASE)
_CLIENT = re.compile(rb"SET (?:NAMES |character_set_client\s*=\s*)(?:'?(\w+)'?|@)", re.IGNORECASE)


def tokens(sql: bytes, start: int = 0, end: int | None = None, mode: Mode = DEFAULT) -> Iterator[tuple[str, int, int]]:
    """All of a statement that is not blank: (kind, begin, end).

    Kinds are ``comment``, ``open`` and ``close`` (of a conditional comment), ``string``, ``name`` (quoted), ``word``
    (bare name, keyword, number), ``variable`` (``@a.b``) and ``mark`` (any other byte).

    Raises:
        Damaged: something that was opened is never closed.
    """
    stop = len(sql) if end is None else end
    pattern, position = _pattern(_FINE, mode), start
    while match := pattern.match(sql, position, stop):
        kind, begin, position = _whole(match, sql, stop, mode)
        doubled = kind in {"string", "name"} and sql.startswith(sql[begin : begin + 1], position)
        while doubled and (match := pattern.match(sql, position, stop)):
            _, _, position = _whole(match, sql, stop, mode)
            doubled = sql.startswith(sql[begin : begin + 1], position)
        yield kind, begin, position


def name_of(token: bytes, kind: str, mode: Mode = DEFAULT) -> str:
    """The name that a ``name`` or ``word`` token stands for; empty for any other."""
    if kind == "name":
        token = token[1:-1].replace(token[:1] * 2, token[:1])
    return decode(token, mode.charset) if kind in {"name", "word"} else ""


def statements(text: bytes) -> Iterator[Statement]:
    """The statements of a script, in order; what stands between them is blank, comments and ``DELIMITER`` lines.

    Raises:
        Damaged: the text ends inside a statement, quotation or comment, or holds a client's command.
    """
    position, delimiter, mode = 0, 1, DEFAULT
    while position < len(text):
        if (line := _DELIMITER.match(text, position)) and (position == 0 or text[position - 1] == 0x0A):
            delimiter, position = len(line[1]), line.end()
        elif between := _BETWEEN.match(text, position)[0]:  # type: ignore[index]
            position += len(between)
        else:
            begin, end = position, _end_of_statement(text, position, delimiter, mode)
            position = _LINE_END.match(text, end + delimiter).end()  # type: ignore[union-attr]
            if sql := text[begin:end].strip():
                yield Statement(begin, position, sql, mode)
                mode = mode_after(sql, mode)


def mode_after(sql: bytes, mode: Mode) -> Mode:
    """The mode that a statement leaves the session in."""
    if b"SET " not in sql[:16]:
        return mode
    if match := _SQL_MODE.search(sql):
        named = (match[2] or b"").upper().split(b",")
        mode = mode._replace(backslash=b"NO_BACKSLASH_ESCAPES" not in named, ansi=b"ANSI_QUOTES" in named)
    if match := _CLIENT.search(sql):
        charset = (match[1] or b"").decode().lower()
        mode = mode._replace(charset="" if charset == "utf8mb4" else charset)
    return mode


def _end_of_statement(text: bytes, start: int, delimiter: int, mode: Mode) -> int:
    """Where the delimiter stands that ends a statement."""
    pattern, position, depth = _pattern(_COARSE, mode), start, 0
    while match := pattern.match(text, position):
        kind, begin, position = _whole(match, text, len(text), mode)
        if kind in {"open", "close"}:
            depth += 1 if kind == "open" else -1
        elif kind == "mark" and text[begin] == 0x5C:
            raise Damaged("the SQL holds a command of the client, which is never run", _REMEDY)
        elif kind == "mark" and position - begin >= delimiter and depth <= 0:
            return begin
    raise Damaged("the SQL ends inside a statement", _REMEDY)


def _whole(match: re.Match[bytes], text: bytes, stop: int, mode: Mode) -> tuple[str, int, int]:
    """Kind, begin and end of a token, its end looked for where that takes a search."""
    kind = match.lastgroup or ""
    begin, end = match.span(kind)
    if kind == "block" or (kind == "comment" and match["block"]):
        closing = text.find(b"*/", begin + 2, stop)
        kind, end = "comment", closing + 2 if closing >= 0 else -1
    elif kind == "opened":
        kind, end = _quotation(text, begin, stop, mode)
    if end < begin + (kind != "more"):
        raise Damaged("the SQL ends inside a quotation or comment", _REMEDY)
    return kind, begin, end


def _quotation(text: bytes, begin: int, stop: int, mode: Mode) -> tuple[str, int]:
    """Kind and end of a quotation that is too long for one match; -1 where it has no end."""
    quote = text[begin : begin + 1]
    is_name = quote == b"`" or (quote == b'"' and mode.ansi)
    for match in _ends(quote, mode.backslash and not is_name, _LEADS.get(mode.charset, b"")).finditer(
        text, begin + 1, stop
    ):
        if match[0] == quote:
            return "name" if is_name else "string", match.end()
    return "string", -1


@cache
def _ends(quote: bytes, backslash: bool, lead: bytes) -> re.Pattern[bytes]:
    """What matters within a quotation: its end, and what is passed over in pairs."""
    pairs = (rb"|\\." if backslash else b"") + (rb"|[" + lead + rb"][\x40-\x7e\x80-\xfe]" if lead else b"")
    return re.compile(quote + pairs, re.DOTALL)


@cache
def _pattern(template: bytes, mode: Mode) -> re.Pattern[bytes]:
    """The tokens of a mode; a doubled quote is two quotations side by side, which is as good here."""
    lead = _LEADS.get(mode.charset, b"")
    pair = rb"| [" + lead + rb"][\x40-\x7e\x80-\xfe] | [" + lead + rb"]" if lead else b""
    parts = {
        b"<STRING>": _quoted(b"'", mode.backslash, lead)
        + (b"" if mode.ansi else b" | " + _quoted(b'"', mode.backslash, lead)),
        b"<NAME>": _quoted(b"`", False, lead) + (b" | " + _quoted(b'"', False, lead) if mode.ansi else b""),
        b"<BEYOND>": rb"[\x80-\xff]" if not lead else rb"[^\x00-\x7f" + lead + rb"]",
        b"<PAIR>": pair,
        b"<LEAD>": lead,
    }
    for mark, part in parts.items():
        template = template.replace(mark, part)
    return re.compile(template, re.VERBOSE | re.DOTALL)


def _quoted(quote: bytes, backslash: bool, lead: bytes) -> bytes:
    """One quotation, if it is of moderate length."""
    if not backslash and not lead:
        return quote + b"[^" + quote + b"]*+" + quote
    plain = b"[^" + quote + (rb"\\" if backslash else b"") + lead + b"]++"
    pairs = (rb" | \\." if backslash else b"") + (
        rb" | [" + lead + rb"][\x40-\x7e\x80-\xfe] | [" + lead + rb"]" if lead else b""
    )
    return quote + b"(?> (?: " + plain + pairs + b" ){0,999} )" + quote
