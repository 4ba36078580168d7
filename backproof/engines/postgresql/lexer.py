"""What is a statement, a quotation, a comment in the SQL that pg_dump writes: enough to divide it, and no more.

Text in quotes, dollar quotes and comments is somebody's data and never looked into. A command that only psql would obey
is refused, but for ``\\restrict`` and ``\\unrestrict``, which merely close that door.
"""

import re
from collections.abc import Iterator

from backproof.errors import Damaged

_REMEDY = "pg_dump writes no such thing. Use another backup, and find out how this one came about."

# What is passed over comes first, in one go: trying every kind of token at every byte would take ten times as long.
# Atomic groups, since possessive ones, (?: … )*+, match wrongly before Python 3.11.5 (gh-106052; Debian 12 has 3.11.2);
# bounded, since they remember every round until they are done. Where the bound stops them, in a word too, is "more".
_TOKEN = re.compile(
    rb"""
    (?> (?: [^-'"$/\\();eEBC]++
      | (?<=[\w$\x80-\xff]) [$eEBC]
      | - (?!-)
      | / (?!\*)
      | \$ (?! (?: [A-Za-z_\x80-\xff] [A-Za-z0-9_\x80-\xff]*+ )? \$ )
      | e (?! ' )
      | E (?! ' | ND (?![\w$\x80-\xff]) )
      | B (?! EGIN\ ATOMIC (?![\w$\x80-\xff]) )
      | C (?! ASE (?![\w$\x80-\xff]) )
    ){0,9999} )
    (?: (?P<comment> (?> (?: --[^\n]*+ (?:\n|\Z) )+ ) )
      | (?P<quoted>  '[^']*+' | "[^"]*+" | (?<![\w$\x80-\xff]) [eE] ' (?> (?: [^'\\]++ | \\. | '' )* ) ' )
      | (?P<block>   /\* )
      | (?P<meta>    \\ [^\n]*+ (?:\n|\Z) )
      | (?P<mark>    [();] )
      | (?P<opened>  ['"] | (?<![\w$\x80-\xff]) [eE] ' )
      | (?<![\w$\x80-\xff])
        (?: (?P<dollar>  \$ (?: [A-Za-z_\x80-\xff] [A-Za-z0-9_\x80-\xff]*+ )? \$ )
          | (?P<begin>   BEGIN\ ATOMIC (?![\w$\x80-\xff]) )
          | (?P<case>    CASE (?![\w$\x80-\xff]) )
          | (?P<end>     END (?![\w$\x80-\xff]) )
        )
      | (?P<more>    (?=.) )
    )""",
    re.VERBOSE | re.DOTALL,
)
_BLOCK = re.compile(rb"/\*|\*/")
_META = re.compile(rb"\\(?:un)?restrict [A-Za-z0-9]+\n")


class Unfinished(Exception):
    """The text ends inside a token: more of it is needed."""


def tokens(text: bytes, start: int = 0, partial: bool = False) -> Iterator[tuple[str, int, int]]:
    """What matters in SQL: (kind, start, end) of comments, quoted parts, psql commands, brackets, semicolons.

    Args:
        text: SQL as pg_dump writes it (``standard_conforming_strings`` on).
        start: where to begin; outside of any token.
        partial: whether more text may follow; then a token that touches the end is ``Unfinished``.

    Raises:
        Damaged: something that was opened is never closed, or a psql command that is not ours to run.
        Unfinished: with ``partial``, the text ends inside a token.
    """
    position = start
    while match := _TOKEN.match(text, position):
        kind = match.lastgroup or ""
        begin, end = match.span(kind)
        if kind == "more":
            position = end
            continue
        if kind == "dollar":
            closing = text.find(match[kind], end)
            end = closing + end - begin if closing >= 0 else -1
        elif kind == "block":
            end = _block_end(text, begin)
        if kind == "opened" or end < 0 or (partial and end == len(text) and kind != "mark"):
            raise Unfinished if partial else Damaged("the SQL ends inside a quotation or comment", _REMEDY)
        if kind == "meta" and not (_META.fullmatch(match[kind]) and at_line_start(text, begin)):
            raise Damaged("the SQL holds a psql command, which is never run", _REMEDY)
        yield text[begin:end].decode() if kind == "mark" else kind, begin, end
        position = end


def statements(text: bytes) -> Iterator[bytes]:
    """The statements of a text, one by one, with their semicolon; comments between them and ``\\restrict`` left out.

    Semicolons inside brackets (rules) and between ``BEGIN ATOMIC`` and its ``END`` do not end a statement.

    Raises:
        Damaged: as ``tokens``, or a statement that has no end.
    """
    position = 0
    while (found := statement(text, position)) is not None:
        begin, position = found
        yield text[begin:position]


def statement(text: bytes, start: int, partial: bool = False) -> tuple[int, int] | None:
    """Begin and end of the first statement after ``start``; None when there is none.

    Raises:
        Unfinished: with ``partial``, the text ends before the statement does.
    """
    begin, brackets, blocks = start, 0, 0
    for kind, at, end in tokens(text, start, partial):
        if kind in {"comment", "block", "meta"} and not text[begin:at].strip():
            begin = end
        elif kind == "(":
            brackets += 1
        elif kind == ")":
            brackets -= 1
        elif kind == "begin" or (blocks and kind == "case"):
            blocks += 1
        elif kind == "end" and blocks:
            blocks -= 1
        elif kind == ";" and brackets <= 0 and not blocks:
            return skip_blank(text, begin), end
    if partial:
        raise Unfinished
    if text[begin:].strip():
        raise Damaged("the SQL ends inside a statement", _REMEDY)
    return None


def _block_end(text: bytes, start: int) -> int:
    """Block comments nest."""
    depth, position = 0, start
    while match := _BLOCK.search(text, position):
        depth += 1 if match.group() == b"/*" else -1
        position = match.end()
        if not depth:
            return position
    return -1


def skip_blank(text: bytes, position: int) -> int:
    """Where the next text that is not blank begins."""
    while position < len(text) and text[position] in b" \n\t\r":
        position += 1
    return position


def at_line_start(text: bytes, position: int) -> bool:
    """Whether a line begins there."""
    return position == 0 or text[position - 1] == 0x0A
