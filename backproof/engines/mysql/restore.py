"""Filling an empty schema from an archive: definitions without keys, rows side by side, then keys, then the rest."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pymysql
from pymysql.connections import Connection

from backproof.engines import Entry, Progress, Source, no_progress
from backproof.engines.mysql.connect import connected, rows
from backproof.engines.mysql.definition import divided
from backproof.engines.mysql.guard import permitted
from backproof.engines.mysql.keys import Deferred, deferred, is_whole, parents
from backproof.engines.mysql.load import load
from backproof.engines.mysql.names import quote_ident, spell, unspell
from backproof.engines.mysql.rewrite import disabled, literal_uses, moved, schema_of
from backproof.engines.mysql.select import FRAME, Script, Selection, choose, create_of
from backproof.engines.mysql.sessions import Sessions, execute, sessions
from backproof.errors import CannotProve, ConfigurationError, RestoreFailed
from backproof.parallel.schedule import Schedule, Step
from backproof.records import Target

_ALWAYS = (b"SET SESSION lock_wait_timeout = 600", b"SET SESSION innodb_lock_wait_timeout = 600")
_AS_THE_DUMP_TOOL_WRITES = b"SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'"
"""Rows must not be sent to a session with NO_BACKSLASH_ESCAPES, whatever an archive says of itself."""


@dataclass(frozen=True)
class _Server:
    """What of a server decides how a restore goes."""

    scratch: bool
    """Ours alone: nobody is beside what is restored."""
    packet_bytes: int

    @classmethod
    def of(cls, target: Target) -> "_Server":
        with connected(target) as connection:
            ((alone, doublewrite, packet),) = rows(
                connection, "SELECT @@skip_networking, @@innodb_doublewrite, @@max_allowed_packet"
            )
        return cls(alone == 1 and doublewrite in (0, "OFF"), int(packet))


def restore(
    source: Source,
    target: Target,
    jobs: int = 1,
    tables: Sequence[str] | None = None,
    keep_order: bool = False,
    progress: Progress = no_progress,
    accept_mentions: bool = False,
) -> list[str]:
    """Fill the empty schema that ``target`` names. The contract is ``Engine.restore``.

    Raises:
        NotFound, ConfigurationError: ``tables`` names what the archive does not hold, or a body speaks of the live
            schema in a string; nothing was changed.
        CannotProve: events would run here.
        Damaged: the archive holds what the dump tool never writes, or a member other rows than the manifest says.
        RestoreFailed: the server refused an entry or rows; it is named.
        ConnectionLost, Busy: worth a retry with a new schema.
    """
    script = Script.read(source)
    selection = choose(source.manifest, script, tables)
    server = _Server.of(target)
    if not server.scratch:
        _require_harmless(selection, target, keep_order, accept_mentions)
    settings = [*script.settings, *_ALWAYS, _AS_THE_DUMP_TOOL_WRITES]
    with sessions(target, settings) as opened:
        restoring = _Restoring(opened, source, selection, target, server, max(1, jobs), progress, settings)
        restoring.define()
        restoring.fill(keep_order)
        restoring.add_keys()
        restoring.finish()
        if not keep_order:
            restoring.analyze()
    return [*selection.left_out, *restoring.left_out]


def _require_harmless(selection: Selection, target: Target, proof: bool, accept_mentions: bool) -> None:
    """Beside a live schema nothing that is restored may reach it."""
    if proof and any(entry.kind == "EVENT" for entry in selection.finish):
        raise CannotProve(
            "the backup holds events, which are restored disabled on a server that others use",
            "Set verify_on: scratch in the plan.",
        )
    speaking = [entry.key for entry in selection.finish if _speaks_of_another(entry, target.database)]
    if speaking and not accept_mentions:
        raise ConfigurationError(
            f"these build SQL that names the live schema, and would reach it from {target.database}: "
            + ", ".join(speaking),
            "Restore to another server, or say --accept-mentions if they are harmless.",
        )


def _speaks_of_another(entry: Entry, database: str) -> bool:
    own = schema_of(entry.settings)
    return own is not None and own[0] != database and literal_uses(entry, own[0])


class _Restoring:
    """One restore on its way."""

    def __init__(
        self,
        opened: Sessions,
        source: Source,
        selection: Selection,
        target: Target,
        server: _Server,
        jobs: int,
        progress: Progress,
        settings: Sequence[bytes],
    ) -> None:
        self._settings = settings
        self._sessions = opened
        self._source = source
        self._selection = selection
        self._target = target
        self._server = server
        self._jobs = jobs
        self._progress = progress
        self._sizes = {table.name: table.row_bytes for table in source.manifest.tables}
        self._later: dict[str, Deferred] = {}
        self.left_out: list[str] = []

    def define(self) -> None:
        """The schema section, in file order; tables without the keys that can wait."""
        prepared = [(entry, self._statements(entry)) for entry in self._selection.schema]
        definitions = {
            entry.table: divided(create_of(statements)) for entry, statements in prepared if entry.kind == "TABLE"
        }
        pointed_at = {spell(name) for each in definitions.values() if is_whole(each) for name in parents(each)}
        for table, definition in definitions.items():
            if table is not None:
                gone = {part.text for part in self._selection.links_left_out.get(table, ())}
                left_out = [part for part in definition.of("foreign key") if part.text in gone]
                self._later[table] = deferred(definition, left_out, table in pointed_at)

        def work(connection: "Connection[pymysql.cursors.Cursor]") -> None:
            for entry, statements in prepared:
                later = self._later.get(entry.table or "") if entry.kind == "TABLE" else None
                for sql in statements if entry.kind not in FRAME else ():
                    self._sessions.check()
                    execute(connection, later.create if later and sql == create_of(statements) else sql, entry.key)
                self._progress(len(entry.text))

        self._sessions.together([work])

    def fill(self, keep_order: bool) -> None:
        """The data section over several connections."""
        load(
            self._sessions,
            self._source,
            self._selection.members,
            self._jobs,
            keep_order,
            self._server.packet_bytes,
            self._progress,
        )

    def add_keys(self) -> None:
        """All keys of a table in one go, the biggest table first; then foreign keys, which need them."""
        self._side_by_side([(name, sql) for name, later in self._later.items() for sql in later.keys])

        def link(connection: "Connection[pymysql.cursors.Cursor]") -> None:
            for name, later in self._later.items():
                self._sessions.check()
                if later.links is not None:
                    execute(connection, later.links, f"foreign keys of {name}")

        self._sessions.together([link])

    def finish(self) -> None:
        """Triggers, routines, views and events, in the order that is right.

        The dump tool writes views by name: one WITH CHECK OPTION may come before the view that it checks with. So a
        view that is refused is tried again when the others are there.
        """

        def work(connection: "Connection[pymysql.cursors.Cursor]") -> None:
            refused: list[Entry] = []
            for entry in self._selection.finish:
                self._sessions.check()
                if entry.kind not in FRAME and not self._created(connection, entry, entry.kind != "VIEW"):
                    refused.append(entry)
                self._progress(len(entry.text))
            while refused:
                again = [entry for entry in refused if not self._created(connection, entry, must=False)]
                if len(again) == len(refused):
                    self._created(connection, again[0], must=True)
                refused = again

        self._sessions.together([work])

    def _created(self, connection: "Connection[pymysql.cursors.Cursor]", entry: Entry, must: bool) -> bool:
        """Whether the server took it; one that it refuses is an error where it ``must``."""
        try:
            for sql in self._statements(self._tamed(entry)):
                execute(connection, sql, entry.key)
        except RestoreFailed:
            if must:
                raise
            for setting in self._settings:  # what the entry has set, it did not set back
                execute(connection, setting, "the session settings")
            return False
        return True

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

    def _side_by_side(self, statements: Iterable[tuple[str, bytes]]) -> None:
        steps = [Step((each,), alone=frozenset({each[0]}), weight=self._sizes.get(each[0], 0)) for each in statements]
        schedule = Schedule(steps)

        def work(connection: "Connection[pymysql.cursors.Cursor]") -> None:
            try:
                while (step := schedule.take()) is not None:
                    self._sessions.check()
                    for name, sql in step.entries:
                        execute(connection, sql, f"keys of {name}")
                    schedule.done(step)
            except BaseException:
                schedule.stop()
                raise

        self._sessions.together([work] * self._jobs)

    def _statements(self, entry: Entry) -> list[bytes]:
        return [] if entry.kind in FRAME else permitted(moved(entry, self._target.database))

    def _tamed(self, entry: Entry) -> Entry:
        """An event beside a live schema does not run."""
        if entry.kind != "EVENT" or self._server.scratch:
            return entry
        self.left_out.append(f"{entry.key} was restored disabled, since it would run beside the live schema")
        return disabled(entry)
