"""What a schema has beside its tables, and loses where they move: code, and rights on routines.

It is read as the dump tool writes it, kept as JSON, and made again where the tables went. Recorded is what is so while
applications use it: with events as they were.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pymysql
from pydantic import JsonValue
from pymysql.connections import Connection

from backproof.engines import Entry, Source
from backproof.engines.mysql import binaries
from backproof.engines.mysql.code import Code, broken_views, code
from backproof.engines.mysql.creating import Creating
from backproof.engines.mysql.dump import expect_end, expect_sight
from backproof.engines.mysql.globals import read_globals, read_settings
from backproof.engines.mysql.names import quote_ident, spell
from backproof.engines.mysql.point import present_point
from backproof.engines.mysql.runs import definitions_alone
from backproof.engines.mysql.select import FRAME
from backproof.engines.mysql.sessions import execute
from backproof.engines.mysql.text import entries, preamble_settings, split_definitions
from backproof.errors import AccessDenied, Busy, RestoreFailed
from backproof.records import Record, Target

_REMEDY = "Give the account what `backproof doctor PLAN --print-grants` prints."
_ROUTINES = ("PROCEDURE ", "FUNCTION ", "PACKAGE ")
_SETTINGS = (
    b"SET SESSION lock_wait_timeout = 60, innodb_lock_wait_timeout = 60",
    b"/*M!100101 SET SESSION max_statement_time = 0 */",
)


class Belongings(Record):
    """What is recorded of one schema. Text is bytes, a character each."""

    settings: dict[str, JsonValue]
    """Its character set, collation and comment, as in ``globals``."""
    rights: dict[str, dict[str, list[str]]]
    """Of each routine (``PROCEDURE pr``): account to rights. The server forgets them with it."""
    first: tuple[str, ...]
    """Statements that every session runs first."""
    texts: tuple[str, ...]
    """Finish sections that divide alone."""
    objects: dict[str, str]
    """Entry key to what changes when the object does; empty where it comes from an archive."""
    broken: tuple[str, ...] = ()
    """Entry keys of views that nobody can read: they are among the obstacles, and not made again."""
    taken_at: datetime

    @classmethod
    def of_schema(cls, target: Target) -> "Belongings":
        """What a schema has now.

        Raises:
            Busy: it changed meanwhile.
            AccessDenied, DumpFailed, MissingTool: as for a dump.
        """
        with present_point(target) as point:
            expect_sight(point)
            expect_end(point)
            tool = binaries.best("dump", point.flavour, point.version, ())
            with point.using() as connection:
                before = _says(code(connection, target.database))
                broken = broken_views(connection, target.database)
            text = definitions_alone(point, tool, broken)
            with point.using() as connection:
                after = _says(code(connection, target.database))
            if before != after:
                raise Busy("code of the schema changed while it was read", "Try again when that has ended.")
            ignore_case = point.rows("SELECT @@lower_case_table_names") != [(0,)]
            schema, finish = split_definitions(text, target.database, ignore_case)
            found, unread = read_globals(point)
            if unread:
                raise AccessDenied("rights on routines can't be read, and would be lost with them", _REMEDY)
            ((now,),) = point.rows("SELECT UTC_TIMESTAMP()")
            return cls(
                settings=read_settings(point),
                rights=_rights(found, before),
                first=tuple(map(_text, preamble_settings(schema))),
                texts=(_text(finish),),
                objects=before,
                broken=tuple(f"VIEW {spell(name)}" for name in broken),
                taken_at=now.replace(tzinfo=UTC),
            )

    @classmethod
    def of_source(cls, source: Source) -> "Belongings":
        """What an archive's schema had."""
        database = source.manifest.database
        first = next((source.read(member) for member in source.manifest.members if member.section == "schema"), b"")
        texts = [source.read(member) for member in source.manifest.members if member.section == "finish"]
        keys = [entry.key for text in texts for entry in entries(text) if entry.kind not in FRAME]
        return cls(
            settings=database.settings,
            rights=_rights(database.globals, keys),
            first=tuple(map(_text, preamble_settings(first))),
            texts=tuple(map(_text, texts)),
            objects=dict.fromkeys(keys, ""),
            taken_at=database.taken_at,
        )

    def with_rights_of(self, live: "Belongings") -> "Belongings":
        """Rights stay with the name: routines that are live keep theirs, others bring their own."""
        return self.model_copy(update={"rights": {**self.rights, **live.rights}})

    def unknown(self, there: Iterable[Code]) -> list[str]:
        """Keys of what is not recorded here."""
        return sorted({each.key for each in there} - self.objects.keys())

    def changes(self, there: Iterable[Code]) -> list[str]:
        """Keys of what is not as it is recorded here."""
        now = _says(there)
        return sorted(key for key in now.keys() | self.objects.keys() if now.get(key) != self.objects.get(key))

    def make(
        self, connection: "Connection[pymysql.cursors.Cursor]", schema: str, there: Iterable[Code], events_run: bool
    ) -> list[RestoreFailed]:
        """Create in a schema whatever of the code is not there; the session has other settings afterwards.

        Returns:
            What the server refused, and why.
        """
        known = {each.key for each in there}
        missing = [entry for entry in self._entries() if entry.key not in known]
        if not missing:
            return []
        settings = [*(each.encode("latin-1") for each in self.first), *_SETTINGS]
        creating = Creating(schema, settings, self.taken_at, events_run=events_run, over=False)
        for setting in [b"USE " + quote_ident(schema).encode(), *settings]:
            execute(connection, setting, "the session settings")
        return creating.create_what_goes(connection, missing)

    def routine_rights(self) -> dict[str, Any]:
        """Rights on routines, as ``globals`` spells them."""
        accounts: dict[str, Any] = {}
        for routine, held in self.rights.items():
            for account, rights in held.items():
                accounts.setdefault(account, {"routines": {}})["routines"][routine] = rights
        return {"accounts": accounts}

    def _entries(self) -> Iterator[Entry]:
        found = (entry for text in self.texts for entry in entries(text.encode("latin-1")))
        return (entry for entry in found if entry.kind not in FRAME)


def _says(there: Iterable[Code]) -> dict[str, str]:
    return {each.key: each.says for each in there}


def _rights(found: Mapping[str, Any], keys: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    rights: dict[str, dict[str, list[str]]] = {key: {} for key in keys if key.startswith(_ROUTINES)}
    for account, held in {**(found.get("accounts") or {}), **(found.get("roles") or {})}.items():
        for routine, named in (held.get("routines") or {}).items():
            rights.setdefault(routine, {})[account] = list(named)
    return rights


def _text(text: bytes) -> str:
    return text.decode("latin-1")
