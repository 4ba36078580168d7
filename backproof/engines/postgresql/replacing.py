"""Some tables replaced by a backup's, in one transaction: emptied and filled, or made anew where they are not the same.

Foreign keys that touch them go first and come back last, when the server looks at all of their rows. Whatever fails
leaves everything as it was.
"""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from pydantic import JsonValue

from backproof.engines import Entry, Source
from backproof.engines.postgresql import counting, linking
from backproof.engines.postgresql.closure import GRANTED
from backproof.engines.postgresql.connect import connected, quote_ident, translate, without_timeouts
from backproof.engines.postgresql.definitions import definitions
from backproof.engines.postgresql.guard import permitted
from backproof.engines.postgresql.linking import Link
from backproof.engines.postgresql.load import copy_statement, end_of_rows
from backproof.engines.postgresql.restore import Wording
from backproof.engines.postgresql.script import Script, created
from backproof.engines.postgresql.select import Selection, choose
from backproof.engines.postgresql.text import canonical, decode
from backproof.engines.postgresql.triggers import silent
from backproof.errors import Damaged, Obstructed, RestoreFailed
from backproof.records import ReplacedTables, Target

_OWNER = re.compile(rb"^ALTER [A-Z ]+ [^;\n]* OWNER TO [^\n]*;$", re.MULTILINE)
_FRAME = frozenset({"PREAMBLE", "CLOSING"})
_OWN = frozenset({"TABLE", "DEFAULT", "CONSTRAINT", "CHECK CONSTRAINT", "TABLE ATTACH", "SEQUENCE"})
"""Kinds by which a table of the schema section is the same or another."""
_LINK = "FK CONSTRAINT"


def links_of(target: Target, tables: Sequence[str]) -> dict[str, JsonValue]:
    """The contract is ``Engine.links_of``."""
    with connected(target) as connection, connection.cursor() as cursor:
        cursor.execute("SET search_path = ''")
        return {each.name: each.definition for each in linking.live(cursor, tables)}


def replace_tables(
    source: Source,
    target: Target,
    tables: Sequence[str],
    links: Mapping[str, JsonValue],
    accept_orphans: bool,
    dry_run: bool,
    tool_folders: Sequence[Path],
    changing: Callable[[], None],
) -> ReplacedTables:
    """The contract is ``Engine.replace_tables``."""
    script = Script.read(source)
    selection = choose(source.manifest, script, tables)
    wording = Wording(target, source.manifest)
    now = definitions(target, tool_folders)
    with connected(target, application_name="backproof tables") as connection:
        without_timeouts(connection)
        with connection.cursor() as cursor:
            for statement in [*wording.fit(script.settings.values()), *wording.monetary]:
                cursor.execute(statement)
            cursor.execute("SET lock_timeout = '60s'")
        if dry_run:
            found = linking.orphans(connection, source, tables)
            return ReplacedTables(tables={}, made_anew=(), links=(), tested=(), orphans=found, left_out=())
        replacing = _Replacing(connection, source, script, selection, wording, now, tables, accept_orphans)
        try:
            return replacing.run(links, changing)
        except psycopg2.Error as error:
            found_error = translate(error, RestoreFailed)
            raise type(found_error)(
                f"the tables could not be replaced, and nothing was changed: {found_error.fact}", found_error.remedy
            ) from None


class _Replacing:
    """One replacement on its way."""

    def __init__(
        self,
        connection: Connection,
        source: Source,
        script: Script,
        selection: Selection,
        wording: Wording,
        now: Script,
        tables: Sequence[str],
        accept_orphans: bool,
    ) -> None:
        self._connection = connection
        self._source = source
        self._script = script
        self._selection = selection
        self._wording = wording
        self._now = now
        self._tables = tables
        self._accept_orphans = accept_orphans
        self._there = {
            name for entry in now.schema if (made := created(entry)) and made[0] == "TABLE" for name in made[1:]
        }
        self._gone: set[str] = set()
        """Sequences that went with their tables."""
        self._anew = tuple(name for name in tables if not self._is_same(name))

    def run(self, recorded: Mapping[str, JsonValue], changing: Callable[[], None]) -> ReplacedTables:
        with self._connection.cursor() as cursor, _transaction(cursor):
            there = [name for name in self._tables if name in self._there]
            self._lock(cursor, there)
            live = linking.live(cursor, there)
            before = counting.places(cursor, self._selection)
            for link in live:
                cursor.execute(f"ALTER TABLE {link.table} DROP CONSTRAINT {quote_ident(link.bare)}")
            with silent(cursor, [name for name in there if name not in self._anew]):
                self._empty(cursor, [name for name in there if name not in self._anew])
                self._drop(cursor, [name for name in there if name in self._anew])
                self._define(cursor)
                rows = self._fill(cursor)
            self._finish(cursor)
            counting.set_on(cursor, self._source, self._selection, before)
            wanted = self._wanted(live, recorded)
            broken = linking.add(cursor, wanted, self._accept_orphans)
            if broken and not self._accept_orphans:
                raise linking.obstructed(broken)
            tested, doubts = linking.tested(cursor, wanted)
            changing()  # whether a COMMIT that got no answer was one, nobody can say
        return ReplacedTables(
            tables=rows,
            made_anew=self._anew,
            links=tuple(link.name for link in wanted),
            tested=tuple(tested),
            orphans=tuple(broken),
            left_out=(*doubts, *self._differing()),
        )

    def _is_same(self, name: str) -> bool:
        """Whether the live table is defined as the backup's, but for what comes after its rows."""
        if name not in self._there:
            return False
        return _own(self._script.schema, name) == _own(self._now.schema, name)

    def _lock(self, cursor: Cursor, there: Sequence[str]) -> None:
        if there:
            cursor.execute(f"LOCK TABLE {', '.join(f'ONLY {name}' for name in sorted(there))} IN ACCESS EXCLUSIVE MODE")

    def _empty(self, cursor: Cursor, names: Sequence[str]) -> None:
        filled = [name for name in names if not linking.is_partitioned(cursor, name)]
        if filled:
            cursor.execute(f"TRUNCATE {', '.join(f'ONLY {name}' for name in filled)}")

    def _drop(self, cursor: Cursor, names: Sequence[str]) -> None:
        # Whatever else is dropped with a table is its own; what stands on it makes the server refuse.
        for name in names:
            cursor.execute("SELECT pg_catalog.to_regclass(%s) IS NOT NULL", [name])  # a partition goes with its parent
            if cursor.fetchone() != (True,):
                continue
            try:
                cursor.execute(f"DROP TABLE {name}")
            except psycopg2.errors.DependentObjectsStillExist:
                raise Obstructed(
                    f"{name} is not defined as in the backup and has to be made anew, and views or functions stand on"
                    " it",
                    "Drop those and make them again afterwards, or recover the whole database. Nothing was changed.",
                ) from None

    def _define(self, cursor: Cursor) -> None:
        """What the tables stand on and is not there; those that are made anew."""
        there = {entry.key for entry in self._now.schema}
        for entry in self._selection.schema:
            if (made := created(entry)) is not None and made[0] == "SEQUENCE":
                cursor.execute("SELECT pg_catalog.to_regclass(%s) IS NULL", [made[1]])
                if cursor.fetchone() == (True,):
                    self._gone.add(made[1])
        for entry in self._selection.schema:
            if entry.kind in _FRAME or (entry.key in there and not self._is_gone(entry)):
                continue
            self._run(cursor, entry)

    def _is_gone(self, entry: Entry) -> bool:
        """Whether it was there, and went with a table."""
        if (made := created(entry)) is not None and made[0] == "SEQUENCE":
            return made[1] in self._gone
        if entry.table is None and (match := GRANTED.search(entry.text)) is not None:
            return decode(match[2]) in self._gone
        return entry.table in self._anew

    def _fill(self, cursor: Cursor) -> dict[str, int]:
        counts = dict.fromkeys(self._tables, 0)
        for member in self._selection.members:
            if member.table is None or member.table not in counts:
                continue
            plain = self._source.read(member)
            copy = copy_statement(member, plain)
            if copy is None:
                raise Damaged(f"a member that should hold rows of {member.table} holds others", "Use another copy.")
            begin = copy.end() + 1
            rows = io.BytesIO(memoryview(plain)[begin : end_of_rows(plain, begin, member)])
            cursor.copy_expert(copy[0], rows, 1024 * 1024)
            if cursor.rowcount != member.rows:
                raise Damaged(
                    f"a member of {member.table} brought {cursor.rowcount} rows where the manifest says {member.rows}",
                    "Use another copy of this backup.",
                )
            counts[member.table] += member.rows
        return counts

    def _finish(self, cursor: Cursor) -> None:
        there = {entry.key for entry in self._now.finish}
        for entry in self._selection.finish:
            if entry.kind in _FRAME or entry.kind == _LINK:
                continue
            if entry.table in self._anew or (entry.table is None and entry.key not in there):
                self._run(cursor, entry)
        for entry in self._now.finish:  # whoever subscribes goes on doing so
            if entry.kind == "PUBLICATION TABLE" and entry.table in self._anew:
                self._run(cursor, entry)

    def _wanted(self, live: Sequence[Link], recorded: Mapping[str, JsonValue]) -> list[Link]:
        """The foreign keys that are to hold: of tables made anew, the backup's; else those that are live."""
        found: dict[str, Link] = {}
        archived = [linking.archived(entry) for entry in self._script.finish if entry.kind == _LINK]
        known = {*self._there, *self._tables}
        for link in archived:
            touches = link.table in self._tables or link.parent in self._tables
            lost = link.table in self._anew or link.parent in self._anew
            if touches and lost and {link.table, link.parent} <= known:
                found[link.name] = link
        # What is live counts more than the backup, but for a table that becomes the backup's.
        for link in live:
            if link.table not in self._anew:
                found[link.name] = link
        for name, definition in recorded.items():
            link = linking.recorded(name, str(definition))
            if name not in found and link.table not in self._anew and link.table in known and link.parent in known:
                found[name] = link
        return list(found.values())

    def _run(self, cursor: Cursor, entry: Entry) -> None:
        statements = self._wording.fit(permitted(entry.settings + entry.text))
        if statements:
            cursor.execute(b"\n".join(statements))

    def _differing(self) -> Iterator[str]:
        """Of tables that were emptied: what comes after the rows stays as it is live."""
        kept = [name for name in self._tables if name not in self._anew]
        live = {entry.key: canonical(entry) for entry in self._now.finish if entry.kind != _LINK}
        for entry in self._script.finish:
            if entry.table in kept and entry.kind != _LINK and live.get(entry.key) != canonical(entry):
                yield f"{entry.key} stays as it is live, and is not as in the backup"
        yield from self._wording.left_out


def _own(schema: Iterable[Entry], name: str) -> dict[str, bytes]:
    return {
        entry.key: _OWNER.sub(b"", canonical(entry)) for entry in schema if entry.table == name and entry.kind in _OWN
    }


@contextmanager
def _transaction(cursor: Cursor) -> Iterator[None]:
    cursor.execute("BEGIN; SET CONSTRAINTS ALL IMMEDIATE")  # a table with checks that wait can't be altered
    try:
        yield
        cursor.execute("COMMIT")
    except BaseException:
        with suppress(psycopg2.Error):
            cursor.execute("ROLLBACK")
        raise
