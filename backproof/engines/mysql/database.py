"""One schema as a whole: made empty, given what lies beside its SQL stream, removed."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql import privileges
from backproof.engines.mysql.connect import connected, message, number, rows, translate
from backproof.engines.mysql.full_disk import awaiting_room
from backproof.engines.mysql.names import escaped, pattern, quote_account, quote_ident, quote_literal, unspell
from backproof.engines.mysql.unfinished import marks
from backproof.errors import AccessDenied, AlreadyExists, ConfigurationError, Hidden
from backproof.records import Manifest, Target

SERVERS_OWN = frozenset({"mysql", "information_schema", "performance_schema", "sys"})

_NAME_CHARACTERS = 64
_REMEDY = "Restore into another name; nothing that exists is overwritten."
_WAIT_SECONDS = 30
_UNKNOWN = 1049
GRANTING = "SET @before_granting = @@SESSION.sql_mode, SESSION sql_mode = 'ORACLE'"
"""For rights on packages too, which MariaDB grants and revokes in this mode alone. In it a GRANT to who is not there
makes no account without a password."""
_GRANTEE = re.compile(r"`(?:[^`]|``)*`(?:@`(?:[^`]|``)*`)?|PUBLIC")
_RIGHT = re.compile(r"[A-Z]+(?: [A-Z]+)*")
_ROUTINE = re.compile(r"(PROCEDURE|FUNCTION|PACKAGE BODY|PACKAGE) (.+)", re.DOTALL)

_CONTENT = """
    SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s
    UNION ALL SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s
    UNION ALL SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s
"""


def exists(target: Target) -> bool:
    """Whether there is such a schema.

    Raises:
        ConnectionLost, AccessDenied: the server can't be asked.
        Hidden: the account has no right on such a schema, and is told the same of one that is there.
    """
    with connected(target, database=False) as connection:
        if is_there(connection, target.database):
            return True
        if not _sees(connection, target.database):
            raise Hidden(
                f"{target.user} may not see whether there is a schema {target.database}",
                "Give it what `backproof doctor PLAN --print-grants` prints.",
            )
        return False


def _sees(connection: "Connection[pymysql.cursors.Cursor]", name: str) -> bool:
    """Whether this account would see a schema of that name, which it does not."""
    try:
        connection.select_db(name)
    except pymysql.Error as error:
        if number(error) == _UNKNOWN:  # said to none but those who have a right on it
            return True
        if not isinstance(translate(error), AccessDenied):
            raise
    return "SHOW DATABASES" in privileges.held(connection, name)


def is_there(connection: "Connection[pymysql.cursors.Cursor]", name: str) -> bool:
    """The same, asked on a connection."""
    return bool(rows(connection, "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", [name]))


def content(connection: "Connection[pymysql.cursors.Cursor]", name: str) -> set[str]:
    """The names of all that is in a schema."""
    return {each for (each,) in rows(connection, _CONTENT, [name] * 3)}


def create(target: Target, manifest: Manifest) -> bool:
    """Make ``target.database`` with the character set and collation of the archive's; an empty one is used as it is.

    Returns:
        True when it was made here.

    Raises:
        AlreadyExists: it exists and is not empty, or is the server's own.
        ConfigurationError: its name is none.
        NoSpace: the server waits for room on its disk for too long.
    """
    name = target.database
    _check_name(name)
    with awaiting_room(target), connected(target, database=False) as connection:
        if is_there(connection, name):
            begun = marks(connection, name)
            found = content(connection, name)
            if begun and found - {*begun}:
                raise AlreadyExists(
                    f"schema {name} holds a restore that has not finished",
                    f"Where none is under way, DROP DATABASE {quote_ident(name)}; and restore again.",
                )
            if found - {*begun}:
                raise AlreadyExists(f"schema {name} exists and is not empty", _REMEDY)
            return False
        rows(connection, create_statement(name, manifest))
    return True


def create_statement(name: str, manifest: Manifest) -> str:
    """CREATE DATABASE with all that the archive's schema has of its own."""
    return " ".join(["CREATE DATABASE", quote_ident(name), *own(manifest.database.settings)])


def own(settings: Mapping[str, Any], again: bool = False) -> list[str]:
    """What CREATE and ALTER DATABASE say of a schema's settings.

    Args:
        again: whether it may have others by now, which these replace.
    """
    words = {"CHARACTER SET": settings.get("charset"), "COLLATE": settings.get("collation")}
    chosen = [f"{word} {quote_ident(str(value))}" for word, value in words.items() if value]
    comment = settings.get("comment")
    return [*chosen, f"COMMENT {quote_literal(str(comment))}"] if comment or (again and comment is not None) else chosen


def apply_globals(target: Target, manifest: Manifest) -> list[str]:
    """Rights on the schema, its tables, columns and routines, for accounts and roles that exist.

    Returns:
        What could not be applied and why, a sentence each; the rest is.
    """
    with connected(target) as connection:
        return give(connection, target.database, manifest.database.globals)


def give(connection: "Connection[pymysql.cursors.Cursor]", schema: str, found: Mapping[str, Any]) -> list[str]:
    """Grant what ``globals`` says, as far as it goes; what could not be is told, a sentence each."""
    failed = []
    with _of_all_kinds(connection):
        for what, statement in grant_statements(schema, found):
            try:
                rows(connection, statement)
            except pymysql.Error as error:
                if not connection.open:
                    raise
                said = f"{what} could not be applied: {message(error)}"
                failed.append(said.replace(escaped(schema), schema))
    return failed


@contextmanager
def _of_all_kinds(connection: "Connection[pymysql.cursors.Cursor]") -> Iterator[None]:
    """With ``GRANTING``; MySQL knows no such mode, has no packages, and never makes an account so."""
    try:
        rows(connection, GRANTING)
    except pymysql.Error:
        yield
        return
    try:
        yield
    finally:
        with suppress(pymysql.Error):
            rows(connection, "SET SESSION sql_mode = @before_granting")


def drop(target: Target) -> None:
    """Remove a schema that ``create`` made, and end the sessions on it; no error where there is none.

    Raises:
        Busy: somebody whom this account may not end holds it.
        NoSpace: the server waits for room on its disk for too long.
    """
    if target.database.lower() in SERVERS_OWN:
        raise ConfigurationError(f"schema {target.database} is the server's own", "It is never dropped.")
    with awaiting_room(target), connected(target, database=False) as connection:
        with suppress(pymysql.Error):  # without the right to see others there is nobody to be ended
            for (number,) in rows(
                connection,
                "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = %s AND ID <> CONNECTION_ID()",
                [target.database],
            ):
                with suppress(pymysql.Error):
                    rows(connection, f"KILL {int(number)}")
        if is_there(connection, target.database):
            rows(connection, f"SET SESSION lock_wait_timeout = {_WAIT_SECONDS}")
            rows(connection, f"DROP DATABASE IF EXISTS {quote_ident(target.database)}")
        forget_rights(connection, target.database)


def forget_rights(connection: "Connection[pymysql.cursors.Cursor]", schema: str) -> None:
    """Revoke all rights on a schema that is gone, as far as this account may."""
    with suppress(pymysql.Error), _of_all_kinds(connection):  # who may not look gave no rights either
        for place, grantee in [*_rights_on(connection, schema)]:
            rows(connection, f"REVOKE GRANT OPTION ON {place} FROM {grantee}")
            rows(connection, f"REVOKE ALL PRIVILEGES ON {place} FROM {grantee}")


def _rights_on(connection: "Connection[pymysql.cursors.Cursor]", schema: str) -> Iterator[tuple[str, str]]:
    """Place and grantee. Rights on a schema outlive it: the next one of that name would be open to whoever had them."""
    own = quote_ident(schema)
    for user, host in rows(connection, "SELECT User, Host FROM mysql.db WHERE Db = %s", [escaped(schema)]):
        yield f"{pattern(schema)}.*", _grantee(user, host)
    for user, host, table in rows(
        connection,
        "SELECT User, Host, Table_name FROM mysql.tables_priv WHERE Db = %s"
        " UNION SELECT User, Host, Table_name FROM mysql.columns_priv WHERE Db = %s",
        [schema, schema],
    ):
        yield f"{own}.{quote_ident(table)}", _grantee(user, host)
    for user, host, kind, name in rows(
        connection, "SELECT User, Host, Routine_type, Routine_name FROM mysql.procs_priv WHERE Db = %s", [schema]
    ):
        yield f"{kind} {own}.{quote_ident(name)}", _grantee(user, host)


def _grantee(user: str, host: str) -> str:
    return "PUBLIC" if (user, host) == ("PUBLIC", "") else quote_account(user, host)


def _check_name(name: str) -> None:
    if name.lower() in SERVERS_OWN:
        raise AlreadyExists(f"schema {name} is the server's own", _REMEDY)
    if not name or len(name) > _NAME_CHARACTERS or name.endswith(" ") or "\0" in name or max(name) > "\uffff":
        raise ConfigurationError(
            f"{name[:20]!r} can't be the name of a schema", f"Choose one of 1 to {_NAME_CHARACTERS} characters."
        )


def grant_statements(schema: str, found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What and how. Who has which role is of the whole server: between those that are there nothing is changed."""
    everywhere = {**(found.get("accounts") or {}), **(found.get("roles") or {})}
    for grantee, rights in everywhere.items():
        if not _GRANTEE.fullmatch(grantee):
            raise ConfigurationError(f"{grantee!r} is no account", "The manifest was not written by Backproof.")
        for place, named in _places(schema, rights):
            yield (
                f"rights of {grantee} on {place.replace(quote_ident(schema) + '.', '')}",
                _grant(grantee, place, named),
            )


def _places(schema: str, rights: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Each place rights are held on, with the rights as GRANT takes them."""
    own = quote_ident(schema)
    if rights.get("schema"):
        # On whole schemas the server takes _ and % for wildcards.
        yield pattern(schema) + ".*", rights["schema"]
    columns = rights.get("columns") or {}
    tables = rights.get("tables") or {}
    for table in sorted(tables.keys() | columns.keys()):
        named = list(tables.get(table) or ())
        by_right: dict[str, list[str]] = {}
        for column, held in (columns.get(table) or {}).items():
            for right in held:
                by_right.setdefault(right, []).append(quote_ident(unspell(column)))
        named += [f"{right} ({', '.join(listed)})" for right, listed in by_right.items()]
        if named:
            yield f"{own}.{quote_ident(unspell(table))}", named
    for routine, held in (rights.get("routines") or {}).items():
        if match := _ROUTINE.fullmatch(routine):
            yield f"{match[1]} {own}.{quote_ident(unspell(match[2]))}", list(held)


def _grant(grantee: str, place: str, rights: list[str]) -> str:
    for right in rights:
        if not _RIGHT.match(right):
            raise ConfigurationError(f"{right!r} is no right", "The manifest was not written by Backproof.")
    option = " WITH GRANT OPTION" if "GRANT OPTION" in rights else ""
    named = [right for right in rights if right != "GRANT OPTION"] or ["USAGE"]
    return f"GRANT {', '.join(named)} ON {place} TO {grantee}{option}"
