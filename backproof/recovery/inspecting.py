"""Is the restored database what the backup says? Every definition by name, every table by its count of rows."""

from collections.abc import Iterable
from itertools import chain

from backproof.archive.reader import ArchiveReader
from backproof.comparison import EntryTexts
from backproof.engines import Engine
from backproof.errors import RestoreFailed
from backproof.fleet import Fleet
from backproof.records import Target
from backproof.recovery.entries import Facts

_NAMED_AT_MOST = 8


def inspect(fleet: Fleet, engine: Engine, target: Target, archive: ArchiveReader) -> Facts:
    """Hold a restored database against its archive.

    Digests of definitions are told, not judged: beside a live database some differ for good reasons (disabled events).

    Raises:
        RestoreFailed: an object is missing or too many, or a table has another number of rows; they are named.
    """
    manifest = archive.manifest
    archived = EntryTexts()
    for member in manifest.members:
        if member.table is None and member.section != "data":
            _take(engine, archived, archive.read(member))
    restored = EntryTexts()
    with engine.dump(target, 1, fleet.tool_folders, tool_version=manifest.database.tool_version) as dump:
        for piece in chain(dump.schema(), dump.finish()):
            if piece.table is None:
                _take(engine, restored, piece.head + piece.body + piece.tail)
        counted = dump.inventory().rows
    wanted = {table.name: table.rows for table in manifest.tables}
    before, after = archived.digests(), restored.digests()
    problems = [
        *(f"{key} is missing" for key in before if key not in after),
        *(f"{key} is there and was not in the backup" for key in after if key not in before),
        *(
            f"{table} has {counted.get(table, 0)} rows, the backup {rows}"
            for table, rows in wanted.items()
            if counted.get(table, 0) != rows
        ),
    ]
    if problems:
        raise RestoreFailed(
            f"the restored database is not what the backup holds: {_named(problems)}",
            "Recover another backup, or the same one from another store.",
        )
    changed = [key for key, digest in before.items() if after[key] != digest]
    return {
        "tables": len(wanted),
        "rows": sum(wanted.values()),
        "definitions": len(before),
        "worded otherwise": _named(changed) if changed else "none",
    }


def _take(engine: Engine, texts: EntryTexts, text: bytes) -> None:
    for entry in engine.entries(text):
        texts.add(entry.key, engine.canonical(entry))


def _named(things: Iterable[str]) -> str:
    listed = list(things)
    left = len(listed) - _NAMED_AT_MOST
    return "; ".join(listed[:_NAMED_AT_MOST]) + (f"; and {left} more" if left > 0 else "")
