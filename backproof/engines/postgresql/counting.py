"""Sequences of tables that are replaced: as in the backup, but never behind where they were."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from psycopg2.extensions import cursor as Cursor

from backproof.engines import Source
from backproof.engines.postgresql.guard import permitted
from backproof.engines.postgresql.select import Selection
from backproof.engines.postgresql.text import decode, entries

_SETVAL = re.compile(rb"SELECT pg_catalog\.setval\('((?:[^']|'')*)', (-?\d+), (true|false)\);")


@dataclass(frozen=True)
class Place:
    """Where a sequence is."""

    last: int
    called: bool

    def is_beyond(self, other: "Place", rises: bool) -> bool:
        """Whether it has given out what the other has not."""
        if self.last != other.last:
            return (self.last > other.last) == rises
        return self.called and not other.called


def places(cursor: Cursor, selection: Selection) -> dict[str, Place]:
    """Where the sequences that will be set are now."""
    found = {}
    for name in selection.sequences or ():
        cursor.execute("SELECT relkind = 'S' FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass(%s)", [name])
        if cursor.fetchone() == (True,):
            cursor.execute(f"SELECT last_value, is_called FROM {name}")  # noqa: S608 - a quoted name
            found[name] = Place(*cursor.fetchall()[0])
    return found


def set_on(cursor: Cursor, source: Source, selection: Selection, before: Mapping[str, Place]) -> None:
    """Set them: what was given out is not given again."""
    for name, place in _archived(source, selection):
        cursor.execute(
            "SELECT seqincrement > 0 FROM pg_catalog.pg_sequence WHERE seqrelid = %s::pg_catalog.regclass", [name]
        )
        rises = cursor.fetchone() == (True,)
        was = before.get(name)
        value = was if was is not None and was.is_beyond(place, rises) else place
        cursor.execute("SELECT pg_catalog.setval(%s, %s, %s)", [name, value.last, value.called])


def _archived(source: Source, selection: Selection) -> Iterator[tuple[str, Place]]:
    for member in selection.members:
        if member.table is not None:
            continue
        for entry in entries(selection.apart(source.read(member))):
            for statement in permitted(entry.text) if entry.kind == "SEQUENCE SET" else ():
                if match := _SETVAL.fullmatch(statement):
                    yield decode(match[1].replace(b"''", b"'")), Place(int(match[2]), match[3] == b"true")
