"""Filling an empty database from an archive: schema, rows side by side, then keys, indexes and the rest, statistics."""

import re
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress

import psycopg2
import psycopg2.errors

from backproof.engines import Entry, Progress, Source, no_progress
from backproof.engines.postgresql.closure import FRAME
from backproof.engines.postgresql.connect import connected, quote_literal
from backproof.engines.postgresql.finish import Stage, stages, work_of
from backproof.engines.postgresql.guard import permitted
from backproof.engines.postgresql.load import load
from backproof.engines.postgresql.powerless import powerless
from backproof.engines.postgresql.script import NAME, Script, partition_roots
from backproof.engines.postgresql.select import Selection, choose
from backproof.engines.postgresql.sessions import Connection, Sessions, execute, sessions
from backproof.engines.postgresql.text import decode
from backproof.errors import AccessDenied, RestoreFailed
from backproof.parallel.schedule import Schedule
from backproof.records import Manifest, Member, Target

_SETTING = re.compile(rb"SET ([a-z_]+) = ")
_SUBSCRIPTION = re.compile(rb"CREATE SUBSCRIPTION (" + NAME + rb") ")

# A crash of the server during a restore costs the restore anyway; the last commit waits for all before it.
_SETTLE = b"SET synchronous_commit = on; SELECT pg_catalog.pg_logical_emit_message(true, 'backproof', 'restored');"

# Foreign tables are left alone, and what would sample them: nothing outside the database is reached.
_TO_ANALYZE = b"""
    WITH RECURSIVE reaching (oid) AS (
        SELECT oid FROM pg_catalog.pg_class WHERE relkind = 'f'
        UNION SELECT inhparent FROM pg_catalog.pg_inherits JOIN reaching ON inhrelid = reaching.oid)
    SELECT pg_catalog.convert_to(oid::pg_catalog.regclass::text, pg_catalog.current_setting('client_encoding'))
    FROM pg_catalog.pg_class
    WHERE relkind IN ('r', 'm', 'p') AND relpersistence <> 't' AND oid NOT IN (SELECT oid FROM reaching)
      AND relnamespace NOT IN ('pg_catalog'::pg_catalog.regnamespace, 'information_schema'::pg_catalog.regnamespace)
      AND NOT (relispartition AND EXISTS (SELECT FROM pg_catalog.pg_inherits
               WHERE inhrelid = pg_class.oid AND inhparent NOT IN (SELECT oid FROM reaching)))
    ORDER BY pg_catalog.pg_table_size(oid) DESC
"""


def restore(
    source: Source,
    target: Target,
    jobs: int = 1,
    tables: Sequence[str] | None = None,
    keep_order: bool = False,
    progress: Progress = no_progress,
) -> list[str]:
    """Fill the empty database that ``target`` names. The contract is ``Engine.restore``.

    Raises:
        NotFound, ConfigurationError: ``tables`` names what the archive does not hold; nothing was changed.
        Damaged: the archive holds what pg_dump never writes, or a member other rows than the manifest says.
        RestoreFailed: the server refused an entry or rows; it is named.
        ConnectionLost, Busy: worth a retry with a new database.
    """
    script = Script.read(source)
    selection = choose(source.manifest, script, tables)
    wording = Wording(target, source.manifest)
    settings = [*wording.fit(script.settings.values()), *wording.monetary, b"SET synchronous_commit = off;"]
    with sessions(target, settings) as opened:
        restoring = _Restoring(opened, target, settings, source, selection, wording, max(1, jobs), progress)
        restoring.define()
        restoring.fill(keep_order)
        restoring.finish(partition_roots(script.schema))
        if not keep_order:  # else it is a proof, and whoever dumps it needs no planner
            restoring.settle()
    return [*selection.left_out, *wording.left_out, *restoring.left_out]


class Wording:
    """Fits statements to a server: what a newer dump tool sets and this server does not know is left out."""

    def __init__(self, target: Target, manifest: Manifest) -> None:
        self._unknown: dict[str, None] = {}
        self.monetary: list[bytes] = []
        """How amounts of money are read: pg_dump writes them in the server's way, and does not say which that is."""
        with connected(target, application_name="backproof restore") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT name FROM pg_catalog.pg_settings")
            self._known = frozenset(name for (name,) in cursor.fetchall())
            parameters = manifest.database.server.get("parameters")
            if isinstance(parameters, dict) and isinstance(way := parameters.get("lc_monetary"), str):
                with suppress(psycopg2.errors.InvalidParameterValue):
                    cursor.execute("SELECT pg_catalog.set_config('lc_monetary', %s, true)", [way])
                    self.monetary = [f"SET lc_monetary = {quote_literal(way)};".encode()]

    def fit(self, statements: Iterable[bytes]) -> list[bytes]:
        """The statements that this server understands."""
        return [statement for statement in statements if self._is_known(statement)]

    def _is_known(self, statement: bytes) -> bool:
        match = _SETTING.match(statement)
        if match is None or (name := match[1].decode()) in self._known:
            return True
        self._unknown[name] = None
        return False

    @property
    def left_out(self) -> list[str]:
        return [
            f"the session setting {name} was left out, since this server does not know it" for name in self._unknown
        ]


class _Restoring:
    """One restore on its way."""

    def __init__(
        self,
        opened: Sessions,
        target: Target,
        settings: Sequence[bytes],
        source: Source,
        selection: Selection,
        wording: Wording,
        jobs: int,
        progress: Progress,
    ) -> None:
        self._sessions = opened
        self._target = target
        self._settings = settings
        self._source = source
        self._selection = selection
        self._wording = wording
        self._jobs = jobs
        self._progress = progress
        self._work = {table.name: work_of(table) for table in source.manifest.tables}
        self.left_out: list[str] = []

    def define(self) -> None:
        """The schema section, in file order."""
        self._serially(self._selection.schema)

    def fill(self, keep_order: bool) -> None:
        """The data section over several connections; on scratch, what is no superuser's by a role without powers."""
        members = self._selection.members
        with powerless(self._target) as loader:
            if loader is not None:
                theirs = [member for member in members if member.table in loader.tables]
                members = tuple(member for member in members if member.table not in loader.tables)
                with sessions(loader.target, self._settings) as opened:
                    load(opened, self._source, theirs, self._jobs, keep_order, self._apart, self._progress)
            load(self._sessions, self._source, members, self._jobs, keep_order, self._apart, self._progress)

    def finish(self, roots: dict[str, str]) -> None:
        """Keys and indexes side by side, the rest in the order that is right."""
        self._progress(sum(len(entry.text) for entry in self._selection.finish if entry.kind in FRAME))
        for stage in stages(self._selection.finish, roots, self._work):
            if stage.side_by_side:
                self._side_by_side(stage)
            else:
                self._serially(entry for step in stage.steps for entry in step.entries)

    def settle(self) -> None:
        """Statistics for the planner, and everything safely on the server's disk."""
        names: deque[bytes] = deque()

        def find(connection: Connection) -> None:
            with connection.cursor() as cursor:
                cursor.execute(_TO_ANALYZE)
                names.extend(bytes(name) for (name,) in cursor.fetchall())

        def analyze(connection: Connection) -> None:
            while names:
                try:
                    name = names.popleft()
                except IndexError:
                    return
                self._tolerating(connection, b"ANALYZE " + name, f"statistics of {decode(name)}")

        self._sessions.together([find])
        self._sessions.together([analyze] * self._jobs)
        self._sessions.together([lambda connection: execute(connection, _SETTLE, "the last commit")])

    def _serially(self, entries: Iterable[Entry]) -> None:
        def work(connection: Connection) -> None:
            for entry in entries:
                self._sessions.check()
                self._run(connection, entry)

        self._sessions.together([work])

    def _side_by_side(self, stage: Stage) -> None:
        schedule = Schedule(stage.steps)

        def work(connection: Connection) -> None:
            try:
                while (step := schedule.take()) is not None:
                    self._sessions.check()
                    for entry in step.entries:
                        self._run(connection, entry)
                    schedule.done(step)
            except BaseException:
                schedule.stop()
                raise

        self._sessions.together([work] * self._jobs)

    def _run(self, connection: Connection, entry: Entry) -> None:
        statements = self._wording.fit(permitted(entry.settings + entry.text))
        if entry.kind == "SUBSCRIPTION":
            statements += [
                b"ALTER SUBSCRIPTION %b SET (slot_name = NONE);" % name for name in _subscriptions(statements)
            ]
            self.left_out.append(f"{entry.key} was restored disabled and without its slot, which the live one uses")
        if statements and entry.kind == "MATERIALIZED VIEW DATA":
            self._tolerating(connection, b"\n".join(statements), entry.key)
        elif statements:
            execute(connection, b"\n".join(statements), entry.key)
        self._progress(len(entry.text))

    def _tolerating(self, connection: Connection, sql: bytes, what: str) -> None:
        """For what can be derived again: a refusal is told, and costs nothing else."""
        try:
            execute(connection, sql, what)
        except (RestoreFailed, AccessDenied) as error:
            self.left_out.append(error.fact)

    def _apart(self, member: Member, text: bytes) -> list[bytes]:
        large_objects = member.table is not None
        return self._wording.fit(permitted(self._selection.apart(text) if not large_objects else text, large_objects))


def _subscriptions(statements: Iterable[bytes]) -> list[bytes]:
    return [match[1] for statement in statements if (match := _SUBSCRIPTION.match(statement))]
