"""Dump, restore elsewhere, dump again, compare: the round trip of one engine, without archive, store or flow."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backproof.archive.tables import TableDigests
from backproof.comparison import EntryTexts, Restored, differences
from backproof.engines import Dump, Engine, Piece
from backproof.errors import Busy
from backproof.records import Database, Difference, Inventory, Manifest, Member, Target


@dataclass
class MemorySource:
    """A dump kept in memory, member by member, as an archive would give it back. Records what is read."""

    manifest: Manifest
    texts: dict[int, bytes]
    entries: EntryTexts
    inventory: Inventory

    def __post_init__(self) -> None:
        self.read_members: list[Member] = []

    def read(self, member: Member) -> bytes:
        self.read_members.append(member)
        return self.texts[member.offset]

    def read_run(self, members: Sequence[Member]) -> Iterator[bytes]:
        return map(self.read, members)

    def replaced(self, change: Callable[[Member, bytes], bytes]) -> "MemorySource":
        """The same, with the text of members changed: what a forger, or a fault, would have made of it."""
        texts = {member.offset: change(member, self.texts[member.offset]) for member in self.manifest.members}
        return MemorySource(self.manifest, texts, self.entries, self.inventory)

    @property
    def text(self) -> bytes:
        return b"".join(self.texts[member.offset] for member in self.manifest.members)


def taken(engine: Engine, target: Target) -> MemorySource:
    """Dump a database into memory; once more where the machine was too busy to begin in time, as a flow would."""
    try:
        return _taken(engine, target)
    except Busy:
        return _taken(engine, target)


def _taken(engine: Engine, target: Target) -> MemorySource:
    with engine.dump(target) as dump:
        return _read(engine, dump)


def _read(engine: Engine, dump: Dump) -> MemorySource:
    members: list[Member] = []
    texts: dict[int, bytes] = {}
    tables = TableDigests()
    entries = EntryTexts()
    offset = 0
    for piece in _pieces(dump):
        text = piece.head + piece.body + piece.tail
        if piece.table is None:
            for entry in engine.entries(text):
                entries.add(entry.key, engine.canonical(entry))
        else:
            tables.add(piece)
        members.append(_member(piece, offset))
        texts[offset] = text
        offset += len(text)
    inventory = dump.inventory()
    return MemorySource(_manifest(dump.database, members, tables, inventory, entries), texts, entries, inventory)


def _pieces(dump: Dump) -> Iterator[Piece]:
    yield from dump.schema()
    for stream in dump.data():
        yield from stream
    yield from dump.finish()


def _member(piece: Piece, offset: int) -> Member:
    return Member(
        section=piece.section,
        table=piece.table,
        rows=piece.rows,
        offset=offset,
        length=len(piece),
        plain_bytes=len(piece),
        sha256=hashlib.sha256(piece.head + piece.body + piece.tail).hexdigest(),
    )


def _manifest(
    database: Database, members: Sequence[Member], digests: TableDigests, inventory: Inventory, entries: EntryTexts
) -> Manifest:
    total = sum(member.plain_bytes for member in members)
    tables = (table.model_copy(update={"needs": inventory.needs.get(table.name, ())}) for table in digests.tables())
    return Manifest(
        plan="test",
        id="backup_2025-11-07_020000",
        kind="manual",
        taken_at=datetime(2025, 11, 7, 2, tzinfo=UTC),
        backproof_version="0",
        database=database,
        stored_bytes=total,
        stored_sha256="0" * 64,
        gzip_bytes=total,
        plain_bytes=total,
        encryption=None,
        members=tuple(members),
        tables=tuple(tables),
        entries=entries.digests(),
        timings=(),
    )


@dataclass(frozen=True)
class Returned:
    """What came back."""

    source: MemorySource
    target: Target
    again: MemorySource
    left_out: tuple[str, ...]
    differences: tuple[Difference, ...]


@contextmanager
def round_trip(
    engine: Engine, live: Target, beside: Target, *, keep_order: bool = True, jobs: int = 2
) -> Iterator[Returned]:
    """Bring a database into a new one called ``beside.database``, compare the two; drop the new one at the end."""
    source = taken(engine, live)
    with ExitStack() as stack:
        engine.provide(beside, source.manifest, engine.lacks(beside, source.manifest))
        engine.create(beside, source.manifest)
        stack.callback(engine.drop, beside)
        left_out = engine.restore(source, beside, jobs=jobs, keep_order=keep_order)
        left_out += engine.apply_globals(beside, source.manifest)
        again = taken(engine, beside)
        yield Returned(source, beside, again, tuple(left_out), compared(engine, source, again, beside))


def compared(engine: Engine, source: MemorySource, again: MemorySource, beside: Target) -> tuple[Difference, ...]:
    """All that differs between two dumps, by the comparison that every proof uses."""
    restored = Restored(
        entries=again.entries,
        tables={table.name: table for table in again.manifest.tables},
        settings=again.manifest.database.settings,
        globals=again.manifest.database.globals,
    )
    found, _ = differences(source.manifest, source.entries, restored, lambda table: engine.digest(beside, table), {})
    return found


def expect_complete(source: MemorySource) -> None:
    """The dump holds what the catalogue says is there."""
    missing = [key for key in source.inventory.objects if key not in source.manifest.entries]
    assert missing == []
    rows: dict[str, Any] = {table.name: table.rows for table in source.manifest.tables}
    assert rows == source.inventory.rows
