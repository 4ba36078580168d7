"""One restore on its way, step by step: tables, rows and keys side by side, foreign keys, then all that runs code."""

from collections import deque
from collections.abc import Sequence

import pymysql
from pymysql.connections import Connection

from backproof.engines import Entry, Progress, Source
from backproof.engines.mysql.creating import Creating
from backproof.engines.mysql.definition import Definition, divided
from backproof.engines.mysql.guard import permitted
from backproof.engines.mysql.keys import Deferred, deferred, is_whole, parents, uncounted
from backproof.engines.mysql.load import Filling, Taking, load
from backproof.engines.mysql.names import quote_ident, spell, unspell
from backproof.engines.mysql.rewrite import moved
from backproof.engines.mysql.select import FRAME, Selection, create_of
from backproof.engines.mysql.sequences import restarted
from backproof.engines.mysql.sessions import Sessions, execute, make
from backproof.parallel.schedule import Schedule, Step
from backproof.records import Target

_SMALL_BYTES = 64 * 1024
"""Of rows: below, keys are made with the table, which costs less than to alter it."""


class Restoring:
    """What has been done so far, and what comes later.

    Args:
        opened: sessions on the target.
        selection: what is taken of the archive.
        settings: what each session ran first.
    """

    def __init__(
        self,
        opened: Sessions,
        source: Source,
        selection: Selection,
        target: Target,
        jobs: int,
        progress: Progress,
        settings: Sequence[bytes],
    ) -> None:
        self._sessions = opened
        self._source = source
        self._selection = selection
        self._target = target
        self._jobs = jobs
        self._progress = progress
        self._settings = settings
        self._sizes = {table.name: table.row_bytes for table in source.manifest.tables}
        self._definitions: dict[str, Definition] = {}
        self._later: dict[str, Deferred] = {}
        self.left_out: list[str] = []

    def define(self) -> None:
        """The schema section, in file order; tables without the keys that can wait."""
        prepared = [(entry, self._statements(entry)) for entry in self._selection.schema]
        self._definitions = {
            entry.table: divided(create_of(statements))
            for entry, statements in prepared
            if entry.kind == "TABLE" and entry.table is not None
        }
        self._defer()

        def work(connection: "Connection[pymysql.cursors.Cursor]") -> None:
            for entry, statements in prepared:
                later = self._later.get(entry.table or "") if entry.kind == "TABLE" else None
                for sql in statements:
                    self._sessions.check()
                    if later and sql == create_of(statements):
                        self._make(connection, later.create, entry.key)
                    else:
                        execute(connection, sql, entry.key)
                self._progress(len(entry.text))

        self._sessions.together([work])

    def _make(self, connection: "Connection[pymysql.cursors.Cursor]", sql: bytes, key: str) -> None:
        if not make(connection, sql, key):
            self.left_out.append(
                f"{key} was made with innodb_strict_mode = OFF: the server refuses its definition else"
            )

    def _defer(self) -> None:
        whole = (each for each in self._definitions.values() if is_whole(each))
        pointed_at = {spell(name) for each in whole for name in parents(each)}
        for table, definition in self._definitions.items():
            gone = {part.text for part in self._selection.links_left_out.get(table, ())}
            left_out = [part for part in definition.of("foreign key") if part.text in gone]
            size = self._sizes.get(table, 0)
            keep_keys = table in pointed_at or size < _SMALL_BYTES
            self._later[table] = deferred(uncounted(definition) if size else definition, left_out, keep_keys)

    def fill(self, keep_order: bool, taking: Taking) -> None:
        """The data section over several connections; a table's keys follow at once, while others are being filled."""
        fillings = {name: Filling.of(definition) for name, definition in self._definitions.items()}

        def filled(connection: "Connection[pymysql.cursors.Cursor]", table: str) -> None:
            for sql in self._later[table].keys:
                self._sessions.check()
                make(connection, sql, f"keys of {table}")

        members = self._selection.members
        load(self._sessions, self._source, members, self._jobs, keep_order, fillings, taking, filled, self._progress)

    def link(self) -> None:
        """Foreign keys, which need the keys of both tables. Rows are of one moment, and not looked at again."""
        schedule = Schedule(
            Step(((table, later.links),), alone=frozenset({table, *map(spell, parents(self._definitions[table]))}))
            for table, later in self._later.items()
            if later.links is not None
        )

        def work(connection: "Connection[pymysql.cursors.Cursor]") -> None:
            try:
                while (step := schedule.take()) is not None:
                    self._sessions.check()
                    for table, sql in step.entries:
                        make(connection, sql, f"foreign keys of {table}")
                    schedule.done(step)
            except BaseException:
                schedule.stop()
                raise

        self._sessions.together([work] * self._jobs)

    def finish(self, events_run: bool) -> None:
        """Triggers, routines, views and events; beside a live schema no event runs."""
        entries = self._selection.finish
        taken_at = self._source.manifest.database.taken_at
        creating = Creating(self._target.database, self._settings, taken_at, events_run=events_run)
        self._sessions.together(
            [lambda connection: creating.create(connection, entries, self._sessions.check, self._progress)]
        )
        self.left_out += [
            f"{entry.key} was restored disabled, since it would run beside the live schema"
            for entry in entries
            if entry.kind == "EVENT" and not events_run
        ]

    def analyze(self) -> None:
        """Statistics for the planner."""
        names = deque(sorted(self._later, key=lambda name: -self._sizes.get(name, 0)))

        def work(connection: "Connection[pymysql.cursors.Cursor]") -> None:
            while names:
                self._sessions.check()
                try:
                    name = names.popleft()
                except IndexError:
                    return
                table = quote_ident(unspell(name)).encode()
                execute(connection, b"ANALYZE NO_WRITE_TO_BINLOG TABLE " + table, f"statistics of {name}")

        self._sessions.together([work] * self._jobs)

    def _statements(self, entry: Entry) -> list[bytes]:
        if entry.kind in FRAME:
            return []
        statements = permitted(moved(entry, self._target.database))
        return restarted(statements) if entry.kind == "SEQUENCE" else statements
