"""Is what came back what was backed up? The comparison behind every proof. Pure.

The manifest pins the digest of every entry, every table and the globals of the dump that was sealed. The restored
database, dumped again, must show the same ones: nothing missing, nothing more, nothing changed.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from backproof.records import Difference, Manifest, Table


@dataclass
class EntryTexts:
    """The canonical text of every entry, by key; entries that share a key are kept apart by their texts."""

    texts: dict[str, list[bytes]] = field(default_factory=dict)

    def add(self, key: str, canonical: bytes) -> None:
        """Take one entry; the order in which they come does not matter."""
        self.texts.setdefault(key, []).append(canonical)

    def digests(self) -> dict[str, str]:
        """SHA-256 of each key's texts, as the manifest holds them; sorted, so that two dumps compare."""
        return {key: hashlib.sha256(self.text(key)).hexdigest() for key in sorted(self.texts)}

    def text(self, key: str) -> bytes:
        """All texts of a key as one."""
        return b"\0".join(sorted(self.texts.get(key, ())))


@dataclass(frozen=True)
class Restored:
    """The restored database, dumped again."""

    entries: EntryTexts
    tables: Mapping[str, Table]
    settings: Mapping[str, JsonValue]
    globals: Mapping[str, JsonValue]


Redigest = Callable[[Table], Table]
"""Reads one table of the restored database over exactly the columns of the given one."""


def differences(
    manifest: Manifest, archived: EntryTexts, restored: Restored, redigest: Redigest, accept: Mapping[str, str]
) -> tuple[tuple[Difference, ...], tuple[str, ...]]:
    """Everything that is not the same after the round trip, objects in the order of their keys.

    Args:
        manifest: what the sealed dump was.
        archived: the entries the archive holds, read back from it.
        restored: what the restored database dumps.
        redigest: for a table whose columns come back in another order, or that is written in another way by now.
        accept: object to reason: the differences a plan knows and accepts.

    Returns:
        The differences, accepted ones bearing their reason, and the accepted objects that matched nothing.
    """
    found = [
        *_entry_differences(manifest.entries, archived, restored.entries),
        *_table_differences(manifest, restored.tables, redigest),
        *_value_differences("SETTING", manifest.database.settings, restored.settings),
        *_value_differences("GLOBAL", manifest.database.globals, restored.globals),
    ]
    marked = tuple(difference.model_copy(update={"accepted": accept.get(difference.object)}) for difference in found)
    hit = {difference.object for difference in found}
    return marked, tuple(sorted(set(accept) - hit))


def _entry_differences(pinned: Mapping[str, str], archived: EntryTexts, restored: EntryTexts) -> Iterable[Difference]:
    came_back = restored.digests()
    in_archive = archived.digests()
    for key in sorted(pinned.keys() | came_back.keys()):
        if key not in came_back:
            where = "" if key in in_archive else " and is missing in the archive itself"
            yield Difference(object=key, what=f"was in the database and did not come back{where}")
        elif key not in pinned:
            yield Difference(object=key, what="came back but was not in the database")
        elif pinned[key] != came_back[key]:
            where = "" if in_archive.get(key) == pinned[key] else "; the archive's own text differs as well"
            yield Difference(object=key, what=f"its definition came back changed{where}")


def _table_differences(manifest: Manifest, restored: Mapping[str, Table], redigest: Redigest) -> Iterable[Difference]:
    names = {table.name for table in manifest.tables}
    for table in sorted(manifest.tables, key=lambda table: table.name):
        data = f"TABLE DATA {table.name}"
        other = restored.get(table.name)
        if other is None:
            lost = f"{table.rows} rows were in the database and the table did not come back"
            yield Difference(object=data, what=lost)
            continue
        if _reads_otherwise(table, other):
            other = redigest(table)
        if (what := _content_difference(table, other)) is not None:
            yield Difference(object=data, what=f"{what} ({_members_of(manifest, table.name)})")
    for name in sorted(restored.keys() - names):
        yield Difference(object=f"TABLE DATA {name}", what="came back but was not in the database")


def _reads_otherwise(table: Table, other: Table) -> bool:
    """Whether the same content would have another digest."""
    reordered = other.columns != table.columns and sorted(other.columns) == sorted(table.columns)
    return reordered or other.charset != table.charset


def _members_of(manifest: Manifest, table: str) -> str:
    numbers = [number for number, member in enumerate(manifest.members, start=1) if member.table == table]
    if not numbers:
        return "no member of the archive holds it"
    span = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return f"archive member {span} of {len(manifest.members)}"


def _content_difference(table: Table, other: Table) -> str | None:
    if other.rows != table.rows:
        return f"{table.rows} rows were in the database, {other.rows} came back"
    if other.columns != table.columns:
        return "its columns came back changed"
    if other.sha256 != table.sha256:
        return f"{table.rows} rows came back, but their content differs"
    return None


def _value_differences(
    word: str, pinned: Mapping[str, JsonValue], restored: Mapping[str, JsonValue]
) -> Iterable[Difference]:
    for key in sorted(pinned.keys() | restored.keys()):
        if pinned.get(key) != restored.get(key):
            yield from _parts(f"{word} {key}", pinned.get(key), restored.get(key))


def _parts(name: str, pinned: JsonValue, restored: JsonValue) -> Iterable[Difference]:
    """Name the part of a nested value that differs, not just the whole."""
    if isinstance(pinned, dict) and isinstance(restored, dict):
        for key in sorted(pinned.keys() | restored.keys()):
            if pinned.get(key) != restored.get(key):
                yield from _parts(f"{name} {key}", pinned.get(key), restored.get(key))
    elif restored is None:
        yield Difference(object=name, what="was set and did not come back")
    elif pinned is None:
        yield Difference(object=name, what="came back but was not set")
    else:
        yield Difference(object=name, what="came back changed")
