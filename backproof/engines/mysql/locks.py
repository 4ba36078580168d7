"""Locks that hold commits for a moment, from the mildest on, and one that keeps tables from being written to.

``BACKUP STAGE BLOCK_COMMIT`` (MariaDB; RELOAD)
    Commits and definitions wait. No open transaction is waited for, only a running change of a table without them.
``FLUSH TABLES WITH READ LOCK`` (MySQL; RELOAD)
    Every write waits.
``LOCK TABLES … READ`` (LOCK TABLES)
    Waits for every open transaction that wrote to the schema, and meanwhile whoever writes there waits.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql import connect, inventory
from backproof.engines.mysql.binaries import Flavour
from backproof.engines.mysql.inventory import TableFacts
from backproof.engines.mysql.names import quote_ident, spell
from backproof.errors import AccessDenied, BackproofError, Busy, DumpFailed
from backproof.findings import listed

LOCKED_BYTES = 256 * 1024 * 1024
"""Tables without transactions are locked while all of them are read, if they are no larger than this together."""

_MAY_NOT = frozenset({1044, 1142, 1227})
_CAN_NOT = frozenset({1064, 1193, 1235})


@dataclass(frozen=True, slots=True)
class Method:
    """One way to hold commits."""

    name: str
    take: tuple[str, ...]
    """From the last of these on, writers wait."""
    release: str
    everywhere: bool
    """Whether nobody on the server can commit, and not just nobody in the schema."""


STAGES = Method(
    "BACKUP STAGE BLOCK_COMMIT",
    ("BACKUP STAGE START", "BACKUP STAGE FLUSH", "BACKUP STAGE BLOCK_DDL", "BACKUP STAGE BLOCK_COMMIT"),
    "BACKUP STAGE END",
    everywhere=True,
)
GLOBAL = Method("FLUSH TABLES WITH READ LOCK", ("FLUSH TABLES WITH READ LOCK",), "UNLOCK TABLES", everywhere=True)


def methods(flavour: Flavour, tables: Iterable[TableFacts]) -> list[Method]:
    """Ways to hold commits, the mildest first."""
    names = [facts.name for facts in tables if facts.carried]
    alone = Method("LOCK TABLES … READ", (lock_tables(names),), "UNLOCK TABLES", everywhere=False)
    return [*([STAGES] if flavour == "mariadb" else []), GLOBAL, *([alone] if names else [])]


def hold(connection: Connection, choice: Sequence[Method]) -> tuple[Method, float]:
    """Take the first lock that this account may take.

    Returns:
        Which, and the ``time.monotonic`` since when writers wait.

    Raises:
        Busy: it could not be had within the session's ``lock_wait_timeout``.
        AccessDenied: the account may take none of them.
    """
    for method in choice:
        since = time.monotonic()
        try:
            for statement in method.take:
                since = time.monotonic()
                connection.query(statement)
        except pymysql.Error as error:
            with suppress(pymysql.Error):
                connection.query(method.release)
            if connect.number(error) in _MAY_NOT | _CAN_NOT:
                continue
            raise _in_the_way(method.name, error) from None
        except BaseException:
            connect.close(connection)  # with the session its locks end
            raise
        return method, since
    raise AccessDenied(
        "this account may hold commits in no way, and without that several readers see several moments",
        "GRANT RELOAD ON *.*, or LOCK TABLES on the schema, to it.",
    )


def keep(connection: Connection, tables: Sequence[TableFacts]) -> bool:
    """Lock tables against writing for as long as the connection lasts; False where this account may not.

    Raises:
        Busy: somebody writes to one of them all the time.
    """
    try:
        connection.query(lock_tables([facts.name for facts in tables]))
    except pymysql.Error as error:
        if connect.number(error) in _MAY_NOT:
            return False
        refused = _in_the_way("a read lock on tables without transactions", error)
        if not isinstance(refused, Busy) and (broken := list(_broken(connection, tables))):
            raise DumpFailed(f"tables that can't be opened: {listed(broken)}", "Repair them, or drop them.") from None
        raise refused from None
    return True


def _broken(connection: Connection, tables: Sequence[TableFacts]) -> Iterator[str]:
    """Which of them the server itself can't open, with its words."""
    for facts in tables:
        try:
            connection.query(f"SELECT 1 FROM {quote_ident(facts.name)} LIMIT 0")  # noqa: S608 - a quoted name
        except pymysql.Error as error:
            yield f"{spell(facts.name)} ({connect.message(error)})"


def lock_tables(names: Iterable[str]) -> str:
    """The statement that locks tables against writing."""
    return "LOCK TABLES " + ", ".join(f"{quote_ident(name)} READ" for name in names)


def _in_the_way(lock: str, error: pymysql.Error) -> BackproofError:
    translated = connect.translate(error, DumpFailed)
    if isinstance(translated, Busy) or connect.number(error) in inventory.MOVED:
        return Busy(
            f"{lock} could not be had: {translated.fact}",
            "Let the long transaction, change of a table or other backup that is in the way end; then try again.",
        )
    return translated
