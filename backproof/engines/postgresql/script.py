"""The schema and finish sections of an archive, divided into entries; what each defines and what it speaks of."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from backproof.engines import Entry, Source
from backproof.engines.postgresql.lexer import statement, tokens
from backproof.engines.postgresql.text import decode, entries, preamble_settings
from backproof.records import Section

_PART = rb'(?:"(?:[^"]|"")*"|[a-z_\x80-\xff][\w$\x80-\xff]*)'
NAME = _PART + rb"(?:\." + _PART + rb")?"
"""A name as pg_dump writes it, qualified but for what lives in no schema, quoted where needed."""
QUALIFIED = _PART + rb"\." + _PART

_CREATED = re.compile(
    rb"CREATE (?:OR REPLACE )?(?:UNLOGGED |FOREIGN )?(?P<kind>TABLE|SEQUENCE|(?:MATERIALIZED )?VIEW|TYPE|DOMAIN|"
    rb"FUNCTION|PROCEDURE|AGGREGATE|COLLATION|TEXT SEARCH [A-Z]+|SERVER|SUBSCRIPTION|STATISTICS) (?P<name>"
    + NAME
    + rb")"
)
_ATTACHED = re.compile(rb"ALTER (?:TABLE ONLY|INDEX) (" + QUALIFIED + rb")\s+ATTACH PARTITION (" + QUALIFIED + rb")")
_REFERENCED = re.compile(
    rb"ALTER (?:FOREIGN )?TABLE (?:ONLY )?"
    + QUALIFIED
    + rb"\s+ADD CONSTRAINT "
    + _PART
    + rb' FOREIGN KEY \((?:[^")]|"[^"]*")*\) REFERENCES ('
    + QUALIFIED
    + rb")"
)
_MENTIONED = re.compile(QUALIFIED)
_BY_REGCLASS = re.compile(rb"'((?:[^']|'')+)'::reg[a-z]+")
_SETTING = re.compile(rb"SET ([a-z_]+) = ")


@dataclass(frozen=True)
class Script:
    """Two sections of an archive."""

    settings: Mapping[str, bytes]
    """Name to statement: what every session runs first."""
    schema: tuple[Entry, ...]
    finish: tuple[Entry, ...]

    @classmethod
    def read(cls, source: Source) -> "Script":
        """Read and divide the members of both sections; no data."""
        schema, finish = _text(source, "schema"), _text(source, "finish")
        return cls(preamble_settings(schema), tuple(entries(schema)), tuple(entries(finish)))


def _text(source: Source, section: Section) -> bytes:
    return b"".join(source.read(member) for member in source.manifest.members if member.section == section)


def created(entry: Entry) -> tuple[str, str] | None:
    """Kind and name of what an entry creates, of the kinds that other definitions mention by name."""
    match = _first(_CREATED, entry)
    return (match["kind"].decode(), decode(match["name"])) if match else None


def partition_parents(schema: Iterable[Entry]) -> dict[str, str]:
    """Partition to the table it is attached to."""
    found = (attached(entry) for entry in schema if entry.kind == "TABLE ATTACH")
    return {pair[1]: pair[0] for pair in found if pair}


def attached(entry: Entry) -> tuple[str, str] | None:
    """Parent and partition, of tables or of indexes, that an entry joins."""
    match = _first(_ATTACHED, entry)
    return (decode(match[1]), decode(match[2])) if match else None


def partition_roots(schema: Iterable[Entry]) -> dict[str, str]:
    """Partition to the outermost table it is a partition of."""
    parents = partition_parents(schema)

    def root(name: str) -> str:
        return root(parents[name]) if name in parents else name

    return {child: root(child) for child in parents}


def referenced(entry: Entry) -> str | None:
    """The table that a foreign key points at."""
    match = _first(_REFERENCED, entry)
    return decode(match[1]) if match else None


def mentioned(entry: Entry) -> Iterator[str]:
    """Qualified names in an entry outside of its strings and function bodies, and in ``'…'::regclass``.

    pg_dump writes with an empty search_path: whatever is not of the server itself is qualified.
    """
    text, position = entry.text, 0
    for kind, begin, end in tokens(text):
        if kind in ("comment", "block", "dollar", "meta") or (kind == "quoted" and text[end - 1 : end] == b"'"):
            yield from _names(text[position:begin])
            if kind == "quoted" and (match := _BY_REGCLASS.match(text, begin)):
                yield decode(match[1].replace(b"''", b"'"))
            position = end
    yield from _names(text[position:])


def usable(known: frozenset[str]) -> Callable[[Iterable[bytes]], list[bytes]]:
    """A filter for statements: without the settings that a server does not know."""

    def keep(statements: Iterable[bytes]) -> list[bytes]:
        return [line for line in statements if not (match := _SETTING.match(line)) or match[1].decode() in known]

    return keep


def _first(pattern: re.Pattern[bytes], entry: Entry) -> re.Match[bytes] | None:
    found = statement(entry.text, 0)
    while found and entry.text.startswith(b"SET default_", found[0]):
        found = statement(entry.text, found[1])
    return pattern.match(entry.text, found[0], found[1]) if found else None


def _names(text: bytes) -> Iterator[str]:
    return (decode(match) for match in _MENTIONED.findall(text))
