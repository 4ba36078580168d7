"""Triggers, routines, views and events are created, from the dump tool's text, in the order that it wrote them in."""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pymysql
from pymysql.connections import Connection

from backproof.engines import Entry
from backproof.engines.mysql.guard import permitted
from backproof.engines.mysql.rewrite import disabled, moved
from backproof.engines.mysql.select import FRAME
from backproof.engines.mysql.sessions import execute
from backproof.errors import AccessDenied, RestoreFailed

_LAST_DAYS = re.compile(rb"(?:\bAT|\bENDS) '((?:19[7-9]|20[0-3])\d-\d\d-\d\d) ")

_DROP = b"/*!50001 DROP VIEW "


class Creating:
    """How entries become a schema's own.

    Args:
        schema: where they are to be; qualifiers of their own schema are rewritten to it.
        settings: what a session ran first.
        taken_at: the moment the text is of.
        events_run: whether events are created as they were; else disabled.
        over: whether stand-ins of views are there, to be replaced; else nothing is dropped.
    """

    def __init__(
        self, schema: str, settings: Sequence[bytes], taken_at: datetime, *, events_run: bool, over: bool = True
    ) -> None:
        self._schema = schema
        self._settings = settings
        self._taken_at = taken_at
        self._events_run = events_run
        self._over = over

    def create(
        self,
        connection: "Connection[pymysql.cursors.Cursor]",
        entries: Iterable[Entry],
        check: Callable[[], None] = lambda: None,
        done: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Create them all, in this order.

        The dump tool writes views by name: one WITH CHECK OPTION may come before the view that it checks with. So a
        view that is refused is tried again when the others are there.

        Args:
            connection: to the schema, with the settings.
            entries: of a finish section.
            check: called before each; raises where there is no going on.
            done: told the bytes of each.
        """
        refused: list[Entry] = []
        for entry in entries:
            check()
            if not self._created(connection, entry, must=entry.kind != "VIEW"):
                refused.append(entry)
            done(len(entry.text))
        while refused:
            again = [entry for entry in refused if not self._created(connection, entry, must=False)]
            if len(again) == len(refused):
                self._created(connection, again[0], must=True)
            refused = again

    def create_what_goes(
        self, connection: "Connection[pymysql.cursors.Cursor]", entries: Iterable[Entry]
    ) -> list[RestoreFailed]:
        """Create those that the server takes: code may be broken where it comes from, too, such as a trigger that
        names a column which has been dropped.

        Returns:
            One for each that it refused.
        """
        left = list(entries)
        while True:
            failures: list[RestoreFailed] = []
            again: list[Entry] = []
            for entry in left:
                try:
                    self.create(connection, [entry])
                except RestoreFailed as error:
                    failures.append(error)
                    again.append(entry)
                    self._set_back(connection)
            if len(again) in (0, len(left)):
                return failures
            left = again

    def statements(self, entry: Entry) -> list[bytes]:
        """What is sent for an entry, every statement such as the tool writes; nothing for what frames a text."""
        found = [] if entry.kind in FRAME else permitted(moved(entry, self._schema))
        return found if self._over else [sql for sql in found if not sql.startswith(_DROP)]

    def _created(self, connection: "Connection[pymysql.cursors.Cursor]", entry: Entry, must: bool) -> bool:
        """Whether the server took it; one that it refuses is an error where it ``must``."""
        is_event = entry.kind == "EVENT"
        tamed = disabled(entry) if is_event and not self._events_run else entry
        try:
            if is_event:
                self._set_clock(connection, b"%d" % self._before(entry).timestamp())
            for sql in self.statements(tamed):
                execute(connection, sql, entry.key)
            if is_event:
                self._set_clock(connection, b"DEFAULT")
        except RestoreFailed:
            if must:
                raise
            self._set_back(connection)
            return False
        return True

    def _set_back(self, connection: "Connection[pymysql.cursors.Cursor]") -> None:
        """What an entry that was refused has set."""
        for setting in self._settings:
            execute(connection, setting, "the session settings")

    def _before(self, entry: Entry) -> datetime:
        """A moment at which an event has not ended yet: one that is disabled may be there long after its time."""
        times = [self._taken_at]
        for day in _LAST_DAYS.findall(entry.text):
            with suppress(ValueError):  # it need not be a date: bodies say what they like
                times.append(datetime.strptime(day.decode(), "%Y-%m-%d").replace(tzinfo=UTC) - timedelta(days=1))
        return min(times)

    def _set_clock(self, connection: "Connection[pymysql.cursors.Cursor]", moment: bytes) -> None:
        """An event whose time has passed by now would be dropped as it is created, and without a word."""
        with suppress(RestoreFailed, AccessDenied):  # some servers let nobody
            execute(connection, b"SET SESSION timestamp = " + moment, "the session's clock")
