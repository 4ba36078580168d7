"""Some tables replaced by a backup's: restored into a schema of their own, and moved into their place by one statement.

No transaction spans this. So all that can be refused is refused before, and whatever a crash leaves is put right by
another call, which restores and moves once more: keys and triggers that are dropped for the move are known from the
record of what was live, and from the archive.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pymysql
from pydantic import JsonValue
from pymysql.connections import Connection

from backproof.engines import Source
from backproof.engines.mysql import clearing, database, linking, moving
from backproof.engines.mysql.code import code
from backproof.engines.mysql.connect import connected, rows, translate
from backproof.engines.mysql.creating import Creating
from backproof.engines.mysql.definition import divided
from backproof.engines.mysql.full_disk import awaiting_room
from backproof.engines.mysql.guard import permitted
from backproof.engines.mysql.linking import Link
from backproof.engines.mysql.live_tables import schema_table
from backproof.engines.mysql.names import quote_ident, spell, unspell
from backproof.engines.mysql.restore import restore
from backproof.engines.mysql.select import FRAME, Script, choose, create_of
from backproof.engines.mysql.sessions import execute
from backproof.engines.mysql.unfinished import unfinished
from backproof.errors import NotFound, Obstructed, RestoreFailed
from backproof.findings import listed
from backproof.records import Orphans, ReplacedTables, Target

_SEQUENCES = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_TYPE = 'SEQUENCE'"
_TABLES = (
    "SELECT TABLE_NAME, AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_TYPE <> 'VIEW'"
)
_TRIGGERS = "SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s"


def links_of(target: Target, tables: Sequence[str]) -> dict[str, JsonValue]:
    """The contract is ``Engine.links_of``."""
    names = [unspell(table) for table in tables]
    with clearing.session(target) as connection:
        found = linking.live(connection, target.database, names)
    return {link.name: [link.table, link.definition] for link in found if link.table not in names}


def replace_tables(
    source: Source,
    target: Target,
    room: Target,
    tables: Sequence[str],
    links: Mapping[str, JsonValue],
    accept_orphans: bool,
    dry_run: bool,
    jobs: int,
    changing: Callable[[], None],
    kept: Target | None,
) -> ReplacedTables:
    """The contract is ``Engine.replace_tables``."""
    with awaiting_room(target), _rooms(room, kept) as old, clearing.session(target) as connection:
        try:
            replacing = _Replacing(connection, source, target, room, old, tables)
            left_out = replacing.restore(jobs)
            wanted = replacing.wanted(links)
            broken = replacing.orphans(wanted)
            if dry_run:
                replacing.require_movable()
            if dry_run or (broken and not accept_orphans):
                if not dry_run:
                    raise linking.obstructed(broken)
                return ReplacedTables(tables={}, made_anew=(), links=(), tested=(), orphans=broken, left_out=())
            clearing.run(connection, f"CREATE DATABASE {quote_ident(old.database)}")
            changing()
            made_anew = replacing.move()
            replacing.link(wanted, broken)
        except pymysql.Error as error:
            found = translate(error, RestoreFailed)
            raise type(found)(f"the tables could not be replaced: {found.fact}", found.remedy) from None
        all_links = [*wanted, *replacing.inner()]
        tested, doubts = linking.tested(connection, target.database, all_links)
        stays = kept is not None and _holds(kept)
    sizes = {table.name: table.rows for table in source.manifest.tables}
    return ReplacedTables(
        tables={table: sizes[table] for table in tables},
        made_anew=made_anew,
        links=tuple(link.name for link in all_links),
        tested=tuple(tested),
        orphans=broken,
        left_out=(*doubts, *(sentence for sentence in left_out if not sentence.startswith("foreign key "))),
        kept=kept.database if kept is not None and stays else None,
    )


@contextmanager
def _rooms(room: Target, kept: Target | None) -> Iterator[Target]:
    """Gives where that goes which is live. What an earlier attempt has left goes first.

    What was live before the first attempt is in a backup; or it is ``kept``, and whatever goes later is not.
    """
    old = room.to(f"{room.database}_old")
    free = [kept] if kept is not None and not _holds(kept) else []
    _drop(old, room, *free)
    try:
        yield free[0] if free else old
    finally:
        _drop(old, room, *(each for each in free if not _holds(each)))


def _drop(*each: Target) -> None:
    for target in each:
        database.drop(target)


def _holds(target: Target) -> bool:
    """Whether there are tables in such a schema."""
    with clearing.session(target) as connection:
        return bool(rows(connection, _TABLES, [target.database]))


class _Replacing:
    """One replacement on its way."""

    def __init__(
        self,
        connection: "Connection[pymysql.cursors.Cursor]",
        source: Source,
        target: Target,
        room: Target,
        old: Target,
        tables: Sequence[str],
    ) -> None:
        self._connection = connection
        self._source = source
        self._target = target
        self._room = room
        self._old = old
        self._spelled = tables
        self._tables = [unspell(table) for table in tables]
        self._script = Script.read(source)
        self._counts = dict(rows(connection, _TABLES, [target.database]))

    def restore(self, jobs: int) -> list[str]:
        """Into the room; without triggers, with which no table moves."""
        database.create(self._room, self._source.manifest)
        with unfinished(self._room, self._source.manifest):
            left_out = restore(self._source, self._room, jobs, self._spelled, accept_mentions=True)
        for _, trigger in rows(self._connection, _TRIGGERS, [self._room.database]):
            clearing.run(self._connection, f"DROP TRIGGER {self._of(self._room, trigger)}")
        return left_out

    def wanted(self, links: Mapping[str, JsonValue]) -> list[Link]:
        """The foreign keys to be made: from the backup's tables to others as in the backup, to them as they are."""
        known = {*self._counts, *self._tables}
        found = {
            link.name: link
            for link in self._archived()
            if (link.table in self._tables) != (link.parent in self._tables) and {link.table, link.parent} <= known
        }
        recorded = (linking.recorded(str(each[0]), str(each[1])) for each in links.values() if isinstance(each, list))
        now = linking.live(self._connection, self._target.database, self._tables)
        for link in (*recorded, *now):
            if link.table not in self._tables and link.table in known:
                found[link.name] = link
        return [link for link in found.values() if self._fits(link)]

    def _archived(self) -> Iterator[Link]:
        for entry in self._script.schema:
            if entry.kind == "TABLE" and entry.table is not None:
                yield from linking.of_definition(unspell(entry.table), divided(create_of(permitted(entry))))

    def inner(self) -> list[Link]:
        """Those among the replaced tables, which come along."""
        return [link for link in self._archived() if {link.table, link.parent} <= {*self._tables}]

    def _fits(self, link: Link) -> bool:
        """Whether both have the columns."""
        child, parent = self._place(link.table), self._place(link.parent)
        try:
            mine = schema_table(self._connection, child.database, link.table).columns
            theirs = schema_table(self._connection, parent.database, link.parent).columns
        except NotFound:
            return False
        return set(link.columns) <= mine.keys() and set(link.parent_columns) <= theirs.keys()

    def orphans(self, wanted: Sequence[Link]) -> tuple[Orphans, ...]:
        """What would point at nothing once the tables have moved."""
        found = (
            linking.lost(
                self._connection,
                link,
                self._of(self._place(link.table), link.table),
                self._of(self._place(link.parent), link.parent),
            )
            for link in wanted
        )
        return tuple(each for each in found if each is not None)

    def require_movable(self) -> None:
        """Refuse what would fail amidst the move.

        Raises:
            Obstructed: the server can't open a live table.
        """
        there = [name for name in self._tables if name in self._counts]
        if found := list(moving.unopenable(self._connection, self._target.database, there)):
            named = listed([f"{spell(name)} ({why})" for name, why in found])
            raise Obstructed(
                f"tables that can't be opened, and so not be moved aside: {named}",
                "Repair them. Where nobody can, keep a copy of the server's files, then DROP TABLE, which the server"
                " does even so: they are then made anew.",
            )

    def _place(self, table: str) -> Target:
        return self._room if table in self._tables else self._target

    def move(self) -> tuple[str, ...]:
        """Out of the way what keeps tables from moving; then all in one statement; then their code.

        Returns:
            Tables that were not there.
        """
        live, there = self._target.database, [name for name in self._tables if name in self._counts]
        for link in linking.live(self._connection, live, self._tables):
            if link.table not in self._tables:
                self._patiently(
                    f"ALTER TABLE {self._of(self._target, link.table)} DROP FOREIGN KEY {quote_ident(link.bare)}"
                )
        for table, trigger in rows(self._connection, _TRIGGERS, [live]):
            if table in self._tables:
                self._patiently(f"DROP TRIGGER {self._of(self._target, trigger)}")
        sequences = [name for (name,) in rows(self._connection, _SEQUENCES, [self._room.database])]
        coming = [*self._tables, *(name for name in sequences if name not in self._counts)]
        moves = [f"{self._of(self._target, name)} TO {self._of(self._old, name)}" for name in there]
        moves += [f"{self._of(self._room, name)} TO {self._of(self._target, name)}" for name in coming]
        self._patiently(f"RENAME TABLE {', '.join(moves)}")
        moving.mend_defaults(self._connection, self._target, live, [self._room.database])
        self._count_on()
        self._make_code()
        return tuple(spell(name) for name in self._tables if name not in self._counts)

    def _count_on(self) -> None:
        """What was given out is not given again."""
        now = dict(rows(self._connection, _TABLES, [self._target.database]))
        for name in self._tables:
            before, after = self._counts.get(name), now.get(name)
            if before is not None and after is not None and before > after:
                self._patiently(f"ALTER TABLE {self._of(self._target, name)} AUTO_INCREMENT = {int(before)}")

    def _make_code(self) -> None:
        """The backup's triggers, and routines that they call and that are not there."""
        manifest = self._source.manifest
        there = {f"{kind} {spell(name)}" for kind, name, *_ in code(self._connection, self._target.database)}
        selected = choose(manifest, self._script, self._spelled).finish
        missing = [entry for entry in selected if entry.kind not in FRAME and entry.key not in there]
        settings = [*self._script.settings, b"SET SESSION lock_wait_timeout = 60"]
        creating = Creating(self._target.database, settings, manifest.database.taken_at, events_run=True, over=False)
        with connected(self._target) as connection:
            for setting in settings:
                execute(connection, setting, "the session settings")
            creating.create(connection, missing)

    def link(self, wanted: Sequence[Link], broken: Sequence[Orphans]) -> None:
        """Make the foreign keys; rows are looked at, but where some are known to point at nothing."""
        lame = {(each.table, each.foreign_key) for each in broken}
        with connected(self._target) as connection:
            for link in wanted:
                checks = 0 if (spell(link.table), link.bare) in lame else 1
                rows(connection, f"SET SESSION foreign_key_checks = {checks}, lock_wait_timeout = 60")
                rows(connection, f"ALTER TABLE {quote_ident(link.table)} ADD {link.definition}")

    def _patiently(self, sql: str) -> None:
        clearing.patiently(self._connection, self._target, sql, (self._target.database,))

    @staticmethod
    def _of(target: Target, name: str) -> str:
        return f"{quote_ident(target.database)}.{quote_ident(name)}"
