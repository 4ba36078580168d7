"""Connections to a PostgreSQL server, what its errors mean to us, and how names and texts are quoted for it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.extensions
from psycopg2.extensions import connection as Connection

from backproof.errors import (
    AccessDenied,
    AlreadyExists,
    BackproofError,
    Busy,
    ConfigurationError,
    ConnectionLost,
    NoSpace,
    NotFound,
    Permanent,
)
from backproof.parallel.heard import heard
from backproof.records import Target

CONNECT_SECONDS = 15
"""How long a server may take to answer, unless a target's options say otherwise."""

_CANCEL_SECONDS = "5"

# A firewall that forgets an idle connection must not let us wait for ever: the holder of a snapshot is idle for hours.
_KEEPALIVE = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "6"}

_TIMEOUTS = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
)

_KEYWORDS = """
all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case cast
char character check coalesce collate collation column concurrently constraint create cross current_catalog
current_date current_role current_schema current_time current_timestamp current_user dec decimal default deferrable
desc distinct do else end except exists extract false fetch float for foreign freeze from full grant greatest group
grouping having ilike in initially inner inout int integer intersect interval into is isnull join json json_array
json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize json_table json_value
lateral leading least left like limit localtime localtimestamp merge_action national natural nchar none normalize
not notnull null nullif numeric offset on only or order out outer overlaps overlay placing position precision
primary real references returning right row select session_user setof similar smallint some substring symmetric
system_user table tablesample then time timestamp to trailing treat trim true union unique user using values varchar
variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces
xmlparse xmlpi xmlroot xmlserialize xmltable
"""
_RESERVED = frozenset(_KEYWORDS.split())
"""Every keyword of 15 to 18 that is not unreserved."""

_BY_STATE: tuple[tuple[str, type[BackproofError]], ...] = (
    ("08|57P0[1-5]|25P0[34]", ConnectionLost),
    ("55P03|55006|40|57014|53200|53300|53400", Busy),
    ("28|42501", AccessDenied),
    ("3D000", NotFound),
    ("42P04", AlreadyExists),
    ("53100", NoSpace),
)
"""SQLSTATE, or its beginning, to what it means."""

_BY_TEXT: tuple[tuple[str, type[BackproofError]], ...] = (
    ("authentication failed|no password supplied|no pg_hba.conf entry|role .* does not exist", AccessDenied),
    ("permission denied|not permitted to log in", AccessDenied),
    ("database .* does not exist", NotFound),
    ("too many (clients|connections)|remaining connection slots", Busy),
    ("does not support SSL|certificate|invalid sslmode|root.crt", ConfigurationError),
)
"""Where the driver has no SQLSTATE: while connecting."""

_REMEDIES: dict[type[BackproofError], str] = {
    AccessDenied: "Check user, password and privileges; `backproof doctor PLAN --print-grants` prints those it takes.",
    NotFound: "Check the name of the database.",
    ConfigurationError: "Correct sslmode, sslrootcert and the like among the database's options, or set up TLS there.",
    ConnectionLost: "Check that the server runs and can be reached; then try again.",
    Busy: "Try again when whoever is in the way has finished.",
    NoSpace: "Make room on the database server's disk.",
}


class _Cursor(psycopg2.extensions.cursor):
    """One that Ctrl-C interrupts while it waits for the server."""

    def execute(self, query: Any, vars: Any = None) -> None:
        run = super().execute
        heard(lambda: run(query, vars), lambda: cancel(self.connection))

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        run = super().copy_expert
        heard(lambda: run(sql, file, size), lambda: cancel(self.connection))


class _Connection(psycopg2.extensions.connection):
    """One that knows how it was made."""

    target: Target


def connect(target: Target, *, autocommit: bool = True, application_name: str = "backproof") -> Connection:
    """Open one connection; the client encoding is UTF-8, the driver never reconnects.

    Raises:
        ConnectionLost: the server can't be reached, or is starting up or shutting down.
        AccessDenied: wrong password, no such role, not let in.
        NotFound: no such database.
        ConfigurationError: the server does no TLS, or shows a certificate that is not trusted.
    """
    parameters: dict[str, Any] = {
        "host": target.host,
        "port": str(target.port),
        "user": target.user,
        "dbname": target.database,
        "client_encoding": "UTF8",
        "connect_timeout": str(CONNECT_SECONDS),
        "application_name": application_name,
        **_KEEPALIVE,
        **target.options,
        "connection_factory": _Connection,
        "cursor_factory": _Cursor,
    }
    if target.password is not None:
        parameters["password"] = target.password.get_secret_value()
    try:
        connection: _Connection = psycopg2.connect(**parameters)
    except psycopg2.Error as error:
        raise _while_connecting(target, error) from None  # the driver's text may quote the connection string
    connection.target = target
    connection.autocommit = autocommit
    return connection


@contextmanager
def connected(target: Target, *, autocommit: bool = True, application_name: str = "backproof") -> Iterator[Connection]:
    """A connection for the length of a context; the driver's errors inside become ours."""
    connection = connect(target, autocommit=autocommit, application_name=application_name)
    try:
        yield connection
    except psycopg2.Error as error:
        raise translate(error) from None
    finally:
        connection.close()


def cancel(connection: Connection) -> None:
    """Interrupt what the server does on a connection of ``connect``, from another thread; raises nothing.

    Not in the driver's own way: that keeps every thread of this process from going on until the server answers.
    """
    if not isinstance(connection, _Connection):
        raise TypeError("not made by connect")
    target = connection.target
    soon = {**target.options, "connect_timeout": _CANCEL_SECONDS}
    try:
        process = connection.get_backend_pid()
        with connected(target.model_copy(update={"options": soon})) as other, other.cursor() as cursor:
            cursor.execute("SELECT pg_catalog.pg_cancel_backend(%s)", [process])
    except (psycopg2.Error, BackproofError):
        return  # it is gone, or nobody gets through: who waits for it does not do so for ever


def without_timeouts(connection: Connection) -> None:
    """Switch off every timeout that this server knows, for this session: a dump takes as long as it takes."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")  # first: the next statement takes longer
        cursor.execute(
            "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = ANY(%s)",
            (list(_TIMEOUTS),),
        )


def translate(error: psycopg2.Error, otherwise: type[BackproofError] = Permanent) -> BackproofError:
    """One of our errors for one of the driver's, without DETAIL, CONTEXT, rows or secrets.

    Args:
        error: what the driver raised.
        otherwise: the class for what is neither about the connection, locks, rights nor room.
    """
    state = error.pgcode
    if state is None:
        kind = _by_text(str(error)) if isinstance(error, psycopg2.OperationalError) else None
        # A server's refusal has a state. Within a COPY the driver tells a lost connection by the class of all errors.
        of_all = type(error) in (psycopg2.Error, psycopg2.DatabaseError)
        lost = of_all or isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
        kind = kind or (ConnectionLost if lost else otherwise)
        return kind(_first_line(str(error)) or type(error).__name__, _REMEDIES.get(kind, ""))
    kind = next((kind for pattern, kind in _BY_STATE if re.match(pattern, state)), otherwise)
    return kind(message(error), _REMEDIES.get(kind, ""))


def message(error: psycopg2.Error) -> str:
    """The server's primary message with its SQLSTATE; values that it quotes from rows are blanked."""
    state = error.pgcode or ""
    text = " ".join((error.diag.message_primary or _first_line(str(error))).split())
    if state == "P0001" or re.search(r"\bfunction\b", error.diag.context or ""):
        # Written by the database's own code, or about a value in it: it may say anything, a customer's name too.
        text = "a function of the database raised an exception"
    elif state.startswith("22"):
        text = re.sub(r'"[^"]*"', '"…"', text)
    return f"{text[:300]} (SQLSTATE {state})" if state else text[:300]


def quote_ident(name: str) -> str:
    """An SQL identifier as pg_dump writes it: quoted only where it must be."""
    if "\0" in name or not name:
        raise ValueError("an identifier has at least one character and no NUL")
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in _RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def quote_name(schema: str, name: str) -> str:
    """A qualified name, as ``Table.name`` writes it."""
    return f"{quote_ident(schema)}.{quote_ident(name)}"


def quote_literal(text: str) -> str:
    """An SQL string, right whatever ``standard_conforming_strings`` says."""
    if "\0" in text:
        raise ValueError("a text has no NUL")
    quoted = "'" + text.replace("'", "''") + "'"
    return "E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted


def _while_connecting(target: Target, error: psycopg2.Error) -> BackproofError:
    text = _first_line(str(error))
    kind = _by_text(text) or ConnectionLost
    if target.password is not None and (secret := target.password.get_secret_value()):
        text = text.replace(secret, "********")
    return kind(f"cannot connect to {target}: {text}", _REMEDIES[kind])


def _by_text(text: str) -> type[BackproofError] | None:
    return next((kind for pattern, kind in _BY_TEXT if re.search(pattern, text)), None)


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:300] if lines else ""
