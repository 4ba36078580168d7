"""A CREATE TABLE as the server shows it, divided into its parts: columns, keys, constraints, options. Pure.

Each part is told by its first words, outside of names, strings and brackets; nothing is rewritten but what is left out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from backproof.engines.mysql.lexer import name_of, tokens
from backproof.errors import Damaged

Token = tuple[str, bytes]

_CONSTRAINTS = {
    b"PRIMARY": "primary",
    b"UNIQUE": "unique",
    b"KEY": "key",
    b"FULLTEXT": "fulltext",
    b"SPATIAL": "spatial",
    b"FOREIGN": "foreign key",
    b"CHECK": "check",
    b"PERIOD": "period",
}


_OLD_FORMAT = b"/* mariadb-5.3 */"


@dataclass(frozen=True)
class Part:
    """A column, key or constraint."""

    text: bytes
    """Without the comma behind it and the blanks around it."""
    tokens: tuple[Token, ...]
    """Kind and bytes; comments left out, as are the marks of conditional ones."""

    @cached_property
    def kind(self) -> str:
        """``column``, ``primary``, ``unique``, ``key``, ``fulltext``, ``spatial``, ``foreign key``, ``check`` …"""
        if self.tokens[0][0] == "name":
            return "column"
        first, second, *_ = (*self.words, b"", b"")
        return _CONSTRAINTS.get(second if first == b"CONSTRAINT" else first, "other")

    @cached_property
    def words(self) -> tuple[bytes, ...]:
        """Bare words in capitals, but for those in brackets."""
        depth, found = 0, []
        for kind, text in self.tokens:
            if kind == "mark":
                depth += {b"(": 1, b")": -1}.get(text, 0)
            elif kind == "word" and not depth:
                found.append(text.upper())
        return tuple(found)

    @cached_property
    def name(self) -> str:
        """Its own name; empty where it has none."""
        return next((name_of(text, kind) for kind, text in self.tokens if kind == "name"), "")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names in its first brackets: of a key its columns."""
        inside = _in_brackets(self.tokens)
        return tuple(name_of(text, kind) for depth, (kind, text) in inside if depth == 1 and kind == "name")

    @property
    def has_prefixes(self) -> bool:
        """Whether a key holds just the beginning of a column."""
        return any(depth == 2 for depth, _ in _in_brackets(self.tokens))

    @property
    def referenced(self) -> tuple[str, str]:
        """Schema and table that a foreign key points at; the schema is empty where it is the table's own."""
        at = next(number for number, token in enumerate(self.tokens) if token == ("word", b"REFERENCES")) + 1
        names = [name_of(text, kind) for kind, text in self.tokens[at : at + 3 : 2]]
        return (names[0], names[1]) if self.tokens[at + 1 : at + 2] == (("mark", b"."),) else ("", names[0])


@dataclass(frozen=True)
class Definition:
    """A whole CREATE TABLE."""

    head: bytes
    """Up to the opening bracket, and it."""
    parts: tuple[Part, ...]
    tail: bytes
    """From the closing bracket on: engine, options, partitions."""
    options: tuple[bytes, ...]
    """Words and marks of the tail, in capitals."""

    @property
    def quoted_name(self) -> bytes:
        """The table's name, in backticks."""
        return next(self.head[begin:end] for kind, begin, end in tokens(self.head) if kind == "name")

    @property
    def name(self) -> str:
        """The table's name."""
        return name_of(self.quoted_name, "name")

    @property
    def engine(self) -> str:
        """In small letters; empty where none is said."""
        at = self.options.index(b"ENGINE") if b"ENGINE" in self.options else len(self.options)
        return b"".join(self.options[at + 2 : at + 3]).decode("latin-1").lower()

    @property
    def partitioned(self) -> bool:
        return self.says(b"PARTITION", b"BY")

    @property
    def versioned(self) -> bool:
        return self.says(b"SYSTEM", b"VERSIONING")

    def says(self, *words: bytes) -> bool:
        """Whether its options hold these words, one after the other."""
        return any(self.options[at : at + len(words)] == words for at in range(len(self.options)))

    def of(self, *kinds: str) -> list[Part]:
        """Its parts of these kinds, in order."""
        return [part for part in self.parts if part.kind in kinds]

    def without(self, left_out: Iterable[Part]) -> bytes:
        """The statement without some of its parts."""
        gone = {id(part) for part in left_out}
        kept = [part.text for part in self.parts if id(part) not in gone]
        return self.head + b"\n  " + b",\n  ".join(kept) + b"\n" + self.tail


def divided(create: bytes) -> Definition:
    """The parts of a CREATE TABLE.

    Raises:
        Damaged: it is none.
    """
    depth, opened, begin = 0, -1, 0
    parts: list[Part] = []
    gathered: list[Token] = []
    for kind, at, end in tokens(create):
        mark = create[at:end] if kind == "mark" else b""
        depth += {b"(": 1, b")": -1}.get(mark, 0)
        if mark == b"(" and depth == 1:
            opened = begin = end
            continue
        if opened >= 0 and ((mark == b"," and depth == 1) or (mark == b")" and depth == 0)):
            parts.append(Part(create[begin:at].strip(), tuple(gathered)))
            gathered, begin = [], end
            if not depth:
                return Definition(create[:opened], tuple(parts), create[at:], _options(create, end))
        elif opened >= 0 and kind not in {"comment", "open", "close"}:
            gathered.append((kind, create[at:end]))
    raise Damaged("the definition of a table in the archive is cut", "Restore from another copy of this backup.")


def without_old_formats(create: bytes) -> bytes:
    """A CREATE TABLE without what it says of dates and times that lie as MariaDB 5.3 wrote them.

    A server shows it of tables that it has since then. What it makes anew is in today's format, with the same values.
    """
    if _OLD_FORMAT not in create:
        return create
    found = (begin for kind, begin, end in tokens(create) if kind == "comment" and create[begin:end] == _OLD_FORMAT)
    kept, position = [], 0
    for begin in found:
        kept.append(create[position:begin].removesuffix(b" "))
        position = begin + len(_OLD_FORMAT)
    return b"".join([*kept, create[position:]])


def _options(create: bytes, start: int) -> tuple[bytes, ...]:
    return tuple(create[at:end].upper() for kind, at, end in tokens(create, start) if kind in {"word", "mark"})


def _in_brackets(of: tuple[Token, ...]) -> Iterator[tuple[int, Token]]:
    """What is in the first brackets, and how deep."""
    depth = 0
    for token in of:
        depth -= token == _CLOSE
        if depth:
            yield depth, token
        elif token == _CLOSE:
            return
        depth += token == _OPEN


_OPEN, _CLOSE = ("mark", b"("), ("mark", b")")
