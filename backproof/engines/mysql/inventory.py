"""What the catalogue says is in a schema: what a dump must hold, and what must not change while it is read.

``information_schema`` shows the present, never a snapshot, and no dump tool locks what it has yet to read: a table that
is renamed into the place of another is dumped without an error, and so are columns added in an instant. So the
catalogue is read before the consistent point and again afterwards; where the two are the same, everything in between
was read of the same objects. An object without a time of its last change is told by a digest of its definition.

What an account may not see is not listed, and its absence shows nowhere: see ``privileges``.
"""
# ruff: noqa: S608 - names are quoted

import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymysql.connections import Connection

from backproof import findings
from backproof.engines.mysql import writing
from backproof.engines.mysql.connect import rows
from backproof.engines.mysql.names import quote_ident, spell

NOT_DUMPED = frozenset({"MRG_MYISAM", "MRG_ISAM", "CONNECT", "OQGRAPH", "SPIDER", "VP", "FEDERATED"})
"""Engines whose rows lie elsewhere; the dump tool leaves them out."""

_TIMELESS = frozenset({"ARCHIVE"})
"""Engines that tell as a table's time of creation when its file was last changed, by an INSERT or a mere reading."""

_ANYWHERE = frozenset({"ARIA"})
"""Engines that put a row wherever there is room: filled in the order in which it was read, a table has another."""

MOVED = frozenset({1054, 1146, 1412, 1615})
"""Error numbers of a server when an object is not any more what it was."""

_TABLES = """
    SELECT TABLE_NAME, TABLE_TYPE, coalesce(ENGINE, ''), CREATE_TIME, coalesce(DATA_LENGTH, 0),
           coalesce(INDEX_LENGTH, 0)
    FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME
"""
_TRANSACTIONAL = "SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES'"
_COLUMNS = """
    SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, EXTRA, COLUMN_DEFAULT FROM information_schema.COLUMNS
    WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME, ORDINAL_POSITION
"""
_KEYS = """
    SELECT TABLE_NAME, INDEX_NAME,
           max(NULLABLE = 'YES' OR SUB_PART IS NOT NULL OR INDEX_TYPE <> 'BTREE' OR COLUMN_NAME IS NULL)
    FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = %s AND NON_UNIQUE = 0 GROUP BY TABLE_NAME, INDEX_NAME
"""
_INDEXED = """
    SELECT DISTINCT TABLE_NAME, INDEX_NAME, coalesce(COLUMN_NAME, '') FROM information_schema.STATISTICS
    WHERE TABLE_SCHEMA = %s
"""
_OTHERS = (
    """SELECT 'VIEW', TABLE_NAME, concat_ws('|', md5(VIEW_DEFINITION), DEFINER, SECURITY_TYPE, CHECK_OPTION)
    FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s""",
    """SELECT 'TRIGGER', TRIGGER_NAME, concat_ws('|', CREATED, ACTION_ORDER, md5(ACTION_STATEMENT), EVENT_OBJECT_TABLE,
           EVENT_MANIPULATION, ACTION_TIMING, DEFINER, SQL_MODE)
    FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s""",
    """SELECT ROUTINE_TYPE, ROUTINE_NAME, concat_ws('|', LAST_ALTERED, md5(ROUTINE_DEFINITION), DEFINER, SQL_MODE)
    FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s""",
    """SELECT 'EVENT', EVENT_NAME, concat_ws('|', LAST_ALTERED, md5(EVENT_DEFINITION), DEFINER, STATUS)
    FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s""",
)

_SEQUENCE = re.compile(r"(?:nextval|lastval|setval)\(`((?:[^`]|``)+)`\.`((?:[^`]|``)+)`")

_COUNTED_AT_ONCE = 50
_COUNTED_BYTES = 64 * 1024 * 1024
_NAMED_AT_MOST = 10
_PATIENCE = 5

_SETTLED = timedelta(seconds=1, milliseconds=50)
"""Times of change are whole seconds, of a clock that may be a tick late."""


Columns = dict[str, list[tuple[Any, ...]]]
"""Of each table or view: name, type, extra, default."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table with rows of its own."""

    name: str
    engine: str
    transactional: bool
    versioned: bool
    as_bytes: bool
    """Whether its rows can be written as bytes; see ``writing``."""
    by_key: bool
    """Whether it must be told to come in the order of its first unique key; see ``dumptool.rows``."""
    columns: tuple[str, ...]
    data_bytes: int
    changed: datetime | None
    definition: tuple[tuple[Any, ...], ...]

    @property
    def state(self) -> tuple[Any, ...]:
        """What changes when the table does, its rows aside."""
        return self.engine, self.changed, self.definition

    @property
    def carried(self) -> bool:
        """Whether a dump holds its rows."""
        return self.engine.upper() not in NOT_DUMPED


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All objects of a schema at one moment."""

    tables: Mapping[str, TableFacts]
    """By name, as it is."""
    objects: Mapping[str, str]
    """Entry key to what changes when the object does."""
    needs: Mapping[str, tuple[str, ...]]
    """Spelled table name to the keys of the sequences its defaults draw from."""
    live_bytes: int

    def changes(self, later: "Catalogue") -> list[str]:
        """What is not the same in a later reading, a clause each."""
        return [
            f"{key} was {'dropped' if key not in later.objects else 'changed'}"
            for key, state in self.objects.items()
            if later.objects.get(key) != state
        ] + [f"{key} was created" for key in later.objects if key not in self.objects]

    def tables_changed(self, names: Iterable[str], now: Mapping[str, TableFacts]) -> list[str]:
        """Which of these tables are others by now, or gone, a clause each; what else came or went is no matter."""
        return [
            f"TABLE {spell(name)} was {'changed' if name in now else 'dropped or renamed'}"
            for name in names
            if name not in now or now[name].state != self.tables[name].state
        ]


def settled(connection: Connection, schema: str) -> Catalogue:
    """The catalogue, at a moment from which on every change of a table shows in its time of change."""
    for _ in range(_PATIENCE):
        catalogue = take(connection, schema)
        ((now,),) = rows(connection, "SELECT NOW(3)")
        newest = max((facts.changed for facts in catalogue.tables.values() if facts.changed), default=now - _SETTLED)
        if not now - _SETTLED < newest <= now:
            break
        time.sleep((newest + _SETTLED - now).total_seconds())
    return catalogue


def take(connection: Connection, schema: str) -> Catalogue:
    """All objects of a schema that this account may see. Raises the driver's errors."""
    columns = _columns(connection, schema)
    listed = rows(connection, _TABLES, [schema])
    found = _tables(connection, schema, listed, columns)
    others = [row for sql in _OTHERS for row in rows(connection, sql, [schema])]
    return Catalogue(
        tables=found,
        objects=dict(_objects(listed, found, columns, others)),
        needs=_needs(schema, found.values()),
        live_bytes=sum(int(data + index) for *_, data, index in listed),
    )


def tables(connection: Connection, schema: str) -> dict[str, TableFacts]:
    """Its tables alone. Raises the driver's errors."""
    return _tables(connection, schema, rows(connection, _TABLES, [schema]), _columns(connection, schema))


def batches(tables: Sequence[TableFacts]) -> Iterator[list[TableFacts]]:
    """Tables that may be counted by one query: few, and small."""
    batch: list[TableFacts] = []
    size = 0
    for facts in tables:
        if batch and (len(batch) == _COUNTED_AT_ONCE or size + facts.data_bytes > _COUNTED_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(facts)
        size += facts.data_bytes
    if batch:
        yield batch


def count(connection: Connection, tables: Sequence[TableFacts]) -> dict[str, int]:
    """Their rows, as this connection's snapshot sees them, by name. Raises the driver's errors."""
    counts = ", ".join(f"(SELECT COUNT(*) FROM {quote_ident(facts.name)})" for facts in tables)
    # A savepoint, as the dump tool has them: what is read once stays free to be altered.
    connection.query("SAVEPOINT counted")
    ((*numbers,),) = rows(connection, f"SELECT {counts}")
    connection.query("ROLLBACK TO SAVEPOINT counted")
    return {facts.name: int(number) for facts, number in zip(tables, numbers, strict=True)}


def not_carried(catalogue: Catalogue, locked: Collection[str]) -> Iterator[str]:
    """What a dump of this schema can't carry, or not as of its one moment, a sentence each.

    Args:
        catalogue: of the consistent point.
        locked: names of the tables that nobody can write to until the dump has ended.
    """
    yield "Passwords of accounts are not in a backup; accounts are listed with their rights here, and created locked."
    tables = catalogue.tables.values()
    if names := _listed(facts for facts in tables if not facts.carried):
        yield f"Rows of tables whose engine keeps them elsewhere are not in the backup: {names}."
    moving = (facts for facts in tables if facts.carried and not facts.transactional and facts.name not in locked)
    if names := _listed(moving):
        yield f"Rows of tables without transactions are of the time at which each was read: {names}."
    if names := _listed(facts for facts in tables if facts.versioned):
        yield f"System-versioned tables hold their current rows alone, as of the restore; no history: {names}."
    if any(key.startswith("SEQUENCE ") for key in catalogue.objects):
        yield "Sequences go on after the values that were cached: numbers may be skipped; rounds are counted anew."


def _columns(connection: Connection, schema: str) -> Columns:
    found: Columns = {}
    for table, *column in rows(connection, _COLUMNS, [schema]):
        found.setdefault(table, []).append(tuple(column))
    return found


def _tables(
    connection: Connection, schema: str, listed: Iterable[tuple[Any, ...]], columns: Columns
) -> dict[str, TableFacts]:
    transactional = {engine for (engine,) in rows(connection, _TRANSACTIONAL)}
    by_key = _by_key(rows(connection, _KEYS, [schema]))
    indexed = _indexed(rows(connection, _INDEXED, [schema]))
    return {
        name: TableFacts(
            name=name,
            engine=engine,
            transactional=engine in transactional,
            versioned=kind == "SYSTEM VERSIONED",
            as_bytes=writing.takes_bytes(column[1] for column in columns.get(name, ())),
            by_key=by_key.get(name, False)
            and (engine in transactional or engine.upper() in _ANYWHERE)
            and (engine.upper() != "INNODB" or _covered(columns.get(name, ()), indexed.get(name, {}))),
            columns=tuple(column[0] for column in columns.get(name, ())),
            data_bytes=int(size),
            changed=None if engine.upper() in _TIMELESS else changed,
            definition=tuple(columns.get(name, ())),
        )
        for name, kind, engine, changed, size, _ in listed
        if kind in ("BASE TABLE", "SYSTEM VERSIONED")
    }


def _by_key(keys: Iterable[tuple[Any, ...]]) -> dict[str, bool]:
    """Of tables with unique keys: whether the first is their order on disk. NULLs, prefixes and hashes give none."""
    primary: dict[str, bool] = {}
    others: dict[str, bool] = {}
    for table, key, unordered in keys:
        if key == "PRIMARY":
            primary[table] = not unordered
        else:
            others[table] = others.get(table, False) or not unordered
    return others | primary


def _indexed(parts: Iterable[tuple[Any, ...]]) -> dict[str, dict[str, set[str]]]:
    """Of tables, of their indexes: the columns."""
    found: dict[str, dict[str, set[str]]] = {}
    for table, index, column in parts:
        found.setdefault(table, {}).setdefault(index, set()).add(column)
    return found


def _covered(columns: Sequence[tuple[Any, ...]], indexes: Mapping[str, Set[str]]) -> bool:
    """Whether the server may read all of a table's rows from an index that is not the table itself.

    Each index of InnoDB also holds the columns of the primary key. Without one the table lies by another key, of which
    what it is now need not be what it was when it was made: it is read by key in any case.
    """
    stored = {name for name, _, extra, _ in columns if "GENERATED" not in extra.upper()}
    primary = indexes.get("PRIMARY")
    return primary is None or any(stored <= held | primary for name, held in indexes.items() if name != "PRIMARY")


def _objects(
    listed: Iterable[tuple[Any, ...]],
    found: Mapping[str, TableFacts],
    columns: Columns,
    others: Iterable[tuple[Any, ...]],
) -> Iterator[tuple[str, str]]:
    for name, kind, _, changed, *_ in listed:
        if kind == "SEQUENCE":
            yield f"SEQUENCE {spell(name)}", str(changed)
    for name, facts in found.items():
        yield f"TABLE {spell(name)}", str(facts.state)
    for kind, name, state in others:
        yield f"{kind} {spell(name)}", state
        if kind == "VIEW":
            yield f"VIEW COLUMNS {spell(name)}", str(columns.get(name))


def _needs(schema: str, tables: Iterable[TableFacts]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for facts in tables:
        for *_, default in facts.definition:
            for place, name in _SEQUENCE.findall(default or ""):
                if place.replace("``", "`") == schema:
                    found.setdefault(spell(facts.name), set()).add(f"SEQUENCE {spell(name.replace('``', '`'))}")
    return {table: tuple(sorted(keys)) for table, keys in found.items()}


def _listed(tables: Iterable[TableFacts]) -> str:
    return findings.listed([spell(facts.name) for facts in tables], _NAMED_AT_MOST)
