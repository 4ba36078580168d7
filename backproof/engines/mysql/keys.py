"""Keys and foreign keys are added when the rows are in: what a CREATE TABLE can do without till then. Pure.

A key that is built of all rows at once is sorted once; one that is kept up row by row is searched for each. Foreign
keys are always left out: a table may point at one that is not there yet, or whose key is not. Afterwards the server
shows the table byte for byte as before: it orders keys by sort (primary, unique, plain, fulltext) and, within a sort,
as they were added, so what is left out is always a tail of the list.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from backproof.engines.mysql.definition import Definition, Part, divided

_COUNTER = re.compile(rb"\A(\) ENGINE=ARCHIVE\b[^\n]*?) AUTO_INCREMENT=[0-9]+")
_SECONDARY = ("unique", "key", "spatial", "fulltext")


@dataclass(frozen=True)
class Deferred:
    """A table's definition, in the order in which it is carried out."""

    create: bytes
    """CREATE TABLE without what comes later."""
    keys: tuple[bytes, ...]
    """ALTER TABLE statements: all keys but FULLTEXT in one, which reads the rows once; then each FULLTEXT key."""
    links: bytes | None
    """The ALTER TABLE that adds the foreign keys, once every table has its keys."""


def uncounted(definition: Definition) -> Definition:
    """A table that is to be filled, without the next value of its AUTO_INCREMENT where that would keep its rows out.

    ARCHIVE takes no row below the value that CREATE TABLE names. No row of it is ever deleted, so its rows tell the
    value again.
    """
    return replace(definition, tail=_COUNTER.sub(rb"\1", definition.tail))


def is_whole(definition: Definition) -> bool:
    """Whether a table is created as it is, foreign keys and all, since an ALTER TABLE would make another of it.

    What ``USING HASH`` is said of loses it; unique keys that CREATE TABLE left in another order are sorted; and where a
    stored column is computed of others, a foreign key with an action on those is taken by CREATE TABLE alone.
    """
    unique = definition.of("unique")
    order = [_sort(key, definition) for key in unique]
    stored = any(b"STORED" in column.words for column in definition.of("column"))
    return (
        order != sorted(order)
        or any(_is_hash(key) for key in unique)
        or (stored and any(b"ON" in link.words for link in definition.of("foreign key")))
    )


def with_unique_keys_sorted(create: bytes) -> bytes:
    """A CREATE TABLE with its unique keys in the order in which a server that carries it out shows them.

    They have another one where a column became NOT NULL when a primary key was added, after the other keys. Where one
    is a hash, the server keeps the order that is written.
    """
    definition = divided(create)
    unique = definition.of("unique")
    if any(_is_hash(key) for key in unique):
        return create
    order = sorted(unique, key=lambda key: _sort(key, definition))
    if order == unique:
        return create
    coming = iter(order)
    parts = tuple(next(coming) if part.kind == "unique" else part for part in definition.parts)
    return replace(definition, parts=parts).without(())


def _is_hash(key: Part) -> bool:
    return key.words[-2:] == (b"USING", b"HASH")


def _sort(key: Part, definition: Definition) -> tuple[bool, bool]:
    """By what ALTER TABLE sorts unique keys: whether a column may be NULL, and whether part of one is in the key."""
    columns = {column.name: column.words for column in definition.of("column")}
    may_be_null = any((b"NOT", b"NULL") not in _pairs(columns.get(name, ())) for name in key.columns)
    return may_be_null, key.has_prefixes


def _pairs(words: tuple[bytes, ...]) -> set[tuple[bytes, bytes]]:
    return set(pairwise(words))


def parents(definition: Definition) -> frozenset[str]:
    """Names of the tables of its own schema that a table's foreign keys point at."""
    found = (link.referenced for link in definition.of("foreign key"))
    return frozenset(name for schema, name in found if not schema)


def deferred(definition: Definition, left_out: Sequence[Part] = (), keep_keys: bool = False) -> Deferred:
    """What is created first and what is added later.

    Args:
        definition: of the table, as the dump has it.
        left_out: foreign keys that are not to come at all.
        keep_keys: for a table that a whole one points at.
    """
    if is_whole(definition):
        return Deferred(definition.without(left_out), (), None)
    links = [part for part in definition.of("foreign key") if part not in left_out]
    later = [] if keep_keys else _later(definition)
    return Deferred(
        create=definition.without([*later, *links, *left_out]),
        keys=tuple(_alter(definition, parts) for parts in _together(later)),
        links=_alter(definition, links) if links else None,
    )


def _later(definition: Definition) -> list[Part]:
    """The keys behind the last one that the table can't be without while it is filled."""
    keys = definition.of(*_SECONDARY)
    if definition.engine != "innodb" or definition.versioned or definition.of("period"):
        return []
    needed = [at for at, key in enumerate(keys) if key.kind == "unique" and _stores_by_unique(definition)]
    if (at := _of_auto_increment(definition, keys)) is not None:
        needed.append(at)
    return keys[max(needed, default=-1) + 1 :]


def _stores_by_unique(definition: Definition) -> bool:
    """Whether a unique key decides where a row lies: without a primary one in the table, else among partitions."""
    return not definition.of("primary") or definition.partitioned


def _of_auto_increment(definition: Definition, keys: list[Part]) -> int | None:
    """The key without which the server refuses an AUTO_INCREMENT column, if the primary one is none."""
    column = next((part.name for part in definition.of("column") if b"AUTO_INCREMENT" in part.words), None)
    if column is None or any(key.columns[:1] == (column,) for key in definition.of("primary")):
        return None
    return next((at for at, key in enumerate(keys) if key.columns[:1] == (column,)), None)


def _together(keys: list[Part]) -> list[list[Part]]:
    """Keys to be added by one statement each; the server builds one FULLTEXT key at a time."""
    plain = [key for key in keys if key.kind != "fulltext"]
    return [*([plain] if plain else []), *([key] for key in keys if key.kind == "fulltext")]


def _alter(definition: Definition, parts: list[Part]) -> bytes:
    added = b", ".join(b"ADD " + part.text for part in parts)
    return b"ALTER TABLE %b %b" % (definition.quoted_name, added)
