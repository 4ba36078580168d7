"""Where PostgreSQL itself writes one definition in two ways: first as it was made, later as it reads its own writing.

Both texts mean the same to its parser, but the second is what a restored database dumps. Two such habits are known:

- The cast of an array goes into its elements. ``CHECK (state IN ('new', 'paid'))`` over a ``varchar`` is written
  ``(ARRAY['new'::character varying, …])::text[]``, and once read ``ARRAY[('new'::character varying)::text, …]``.
- A constant in a later arm of a UNION has no name, ``NULL::integer``; once read, it is called after its type:
  ``NULL::integer AS int4``.
"""

import re
from collections.abc import Iterator

from backproof.engines.postgresql.lexer import tokens

_OPENED = b"(ARRAY["
_TYPE = rb"[\w$.\x80-\xff]+(?: [a-z]+)*(?:\([\d,]+\))?(?: with(?:out)? time zone)?"
_CAST = re.compile(rb"\)::(" + _TYPE + rb")\[\]")
_NAMED = re.compile(
    rb"(?<![\w$.\x80-\xff)\]])(?:NULL|Q+|\(?-?[\d.]+\)?)::(" + _TYPE + rb")"
    rb"( AS [\w$\x80-\xff]+)(?=,?\n|;| FROM )"
)
_CALLED = {
    b"bigint": b"int8",
    b"boolean": b"bool",
    b"character": b"bpchar",
    b"character varying": b"varchar",
    b"double precision": b"float8",
    b"integer": b"int4",
    b"real": b"float4",
    b"smallint": b"int2",
    b"time with time zone": b"timetz",
    b"time without time zone": b"time",
    b"timestamp with time zone": b"timestamptz",
    b"timestamp without time zone": b"timestamp",
}
"""What a column is called that is a constant of a type, where that is not the type's own name."""


def settled(statement: bytes) -> bytes:
    """A statement as PostgreSQL writes it once it has read it; equal texts for what its parser reads alike."""
    while b"])::" in statement and (pushed := _pushed(statement)) is not None:
        statement = pushed
    return _unnamed(statement) if b" AS " in statement and b"::" in statement else statement


def _hidden(statement: bytes) -> bytes:
    """The same length, with names in quotes made of qs, other quotations and comments of Qs."""
    parts, position = [], 0
    for kind, begin, end in tokens(statement):
        if kind in ("quoted", "dollar", "comment", "block"):
            parts += [statement[position:begin], (b"q" if statement[begin] == 0x22 else b"Q") * (end - begin)]
            position = end
    return b"".join([*parts, statement[position:]])


def _pushed(statement: bytes) -> bytes | None:
    """With the first cast of an array brought into its elements; None where there is none."""
    hidden, begin = _hidden(statement), -1
    while (begin := hidden.find(_OPENED, begin + 1)) >= 0:
        end = _closing(hidden, begin + len(_OPENED))
        if cast := _CAST.match(hidden, end + 1):
            kind = statement[cast.start(1) : cast.end(1)]
            array = _elements(statement, hidden, begin + len(_OPENED), end, kind)
            return statement[:begin] + array + statement[cast.end() :]
    return None


def _elements(statement: bytes, hidden: bytes, begin: int, end: int, kind: bytes) -> bytes:
    found = []
    for first, last in _divided(hidden, begin, end):
        if hidden.startswith(b"ARRAY[", first) and _closing(hidden, first + len(b"ARRAY[")) == last - 1:
            found.append(_elements(statement, hidden, first + len(b"ARRAY["), last - 1, kind))
        else:
            found.append(b"(" + statement[first:last] + b")::" + kind)
    return b"ARRAY[" + b", ".join(found) + b"]"


def _divided(hidden: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    depth, first = 0, begin
    for at in range(begin, end):
        byte = hidden[at : at + 1]
        depth += (byte in b"([") - (byte in b")]")
        if byte == b"," and not depth:
            yield first, at
            first = at + len(b", ")
    if first < end:
        yield first, end


def _closing(hidden: bytes, begin: int) -> int:
    """Where the bracket closes that was opened just before; the text's end where it does not."""
    depth = 0
    for at in range(begin, len(hidden)):
        byte = hidden[at : at + 1]
        if byte in b")]":
            if not depth:
                return at
            depth -= 1
        depth += byte in b"(["
    return len(hidden)


def _unnamed(statement: bytes) -> bytes:
    hidden, parts, position = _hidden(statement), [], 0
    for found in _NAMED.finditer(hidden):
        kind = re.sub(rb"\([\d,]+\)", b"", statement[found.start(1) : found.end(1)])
        name = statement[found.start(2) + len(b" AS ") : found.end(2)].strip(b'"')
        if name == _CALLED.get(kind, kind.rpartition(b".")[2]):
            parts.append(statement[position : found.start(2)])
            position = found.end(2)
    return b"".join([*parts, statement[position:]])
