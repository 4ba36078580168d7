"""Connections to a MySQL or MariaDB server, and what its errors mean to us."""

import re
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pymysql
from pymysql.connections import Connection
from pymysql.constants import CLIENT

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
from backproof.records import Target

CONNECT_SECONDS = 15
"""How long a server may take to answer, unless a target's options say otherwise."""

SOCKET = "mysqld.sock"
"""The Unix socket in the folder that a target names as its host."""

TEXTS = ("ssl_ca", "ssl_cert", "ssl_key")
SWITCHES = ("ssl_disabled", "ssl_verify_cert", "ssl_verify_identity")
"""Options of a target that are on or off; with ``TEXTS`` and ``connect_timeout`` all there are."""

# A firewall that forgets an idle connection must not let us wait for ever: the holder of a snapshot is idle for hours.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}

_BY_NUMBER: tuple[tuple[type[BackproofError], frozenset[int]], ...] = (
    (AccessDenied, frozenset({1044, 1045, 1095, 1130, 1142, 1143, 1227, 1251, 1275, 1370, 1410, 1419, 1698, 1820,
                              1862, 3118, 3878, 4151})),
    (NotFound, frozenset({1049})),
    (AlreadyExists, frozenset({1007})),
    (ConnectionLost, frozenset({0, 1053, 1077, 1080, 1152, 1153, 1154, 1156, 1157, 1158, 1159, 1160, 1161, 1184, 1317,
                                1927, 2002, 2003, 2004, 2005, 2006, 2011, 2012, 2013, 2014, 2055, 3169, 4031})),
    (Busy, frozenset({1040, 1099, 1203, 1205, 1213, 1226, 1412, 1615, 1637, 1969, 3024, 3058, 3572, 4157})),
    (NoSpace, frozenset({1021, 1114})),
    (ConfigurationError, frozenset({1418, 2026, 3159})),
)  # fmt: skip
"""The server's and the client's error numbers to what they mean."""

_OF_CLIENTS = frozenset({-1, *range(2000, 3000)})
_OF_FILES = frozenset({-1, *range(1000), 1004, 1005, 1026, 1030, 1041, 1815})

_BY_TEXT: tuple[tuple[frozenset[int], str, type[BackproofError]], ...] = (
    (_OF_CLIENTS, r"certificate|\bSSL\b|\bTLS\b", ConfigurationError),
    (_OF_FILES, r"No space left|Disk full|disk is full|errno: 28\b|error 28\b", NoSpace),
)
"""Where a number says too little. Not in every message: some hold what is in rows."""

_HARMLESS = re.compile(
    r"Access denied|Unknown database|Unknown table|Unknown column|Table '|Can't connect|Lost connection|Host '"
    r"|[A-Za-z, ]+ command denied"
    r"|(PROCEDURE|FUNCTION|TRIGGER|EVENT|VIEW|Trigger|View|Column|Key) '|Can't create (database|table)|User '"
    r"|Unknown (storage engine|collation|character set|system variable)|Table definition|Can't find file|Account"
)
"""Beginnings of messages whose quoted parts are names. In all others they may be a customer's."""

_REMEDIES: dict[type[BackproofError], str] = {
    AccessDenied: "Check user, password and privileges; `backproof doctor PLAN --print-grants` prints those it takes.",
    NotFound: "Check the name of the database.",
    ConfigurationError: "Correct ssl_ca, ssl_verify_cert and the like among the database's options, or set up TLS.",
    ConnectionLost: "Check that the server runs and can be reached; then try again.",
    Busy: "Try again when whoever is in the way has finished.",
    NoSpace: "Make room on the database server's disk.",
}


_open: "WeakKeyDictionary[Connection, tuple[str, int]]" = WeakKeyDictionary()
_lock = threading.Lock()

_TRUST = "SET GLOBAL log_bin_trust_function_creators = 1 there: a server with a binary log refuses such code."
_REMEDIES_BY_NUMBER = {1418: _TRUST, 1419: f"{_TRUST} Or use an account with SUPER."}


def connect(target: Target, *, autocommit: bool = True, database: bool = True, local_rows: bool = False) -> Connection:
    """Open one connection: utf8mb4, no several statements in one, no local files; the driver never reconnects.

    Args:
        target: whom to reach; ``host`` may be a folder with a Unix socket ``mysqld.sock`` in it, or a socket itself.
        autocommit: off for what is to be one transaction.
        database: off for a connection to the server alone, such as before the database exists.
        local_rows: tell the server that it may ask for the rows of a LOAD DATA. The driver gives it no file even so.

    Raises:
        ConnectionLost: the server can't be reached, or is starting up or shutting down.
        AccessDenied: wrong password, no such account, not let in.
        NotFound: no such database.
        Busy: too many connections.
        ConfigurationError: an option that is not known, or TLS that can't be had as asked for.
    """
    parameters = {**_place(target), **_options(target)}
    if database:
        parameters["database"] = target.database
    if target.password is not None:
        # As bytes: the driver would take a text for latin1.
        parameters["password"] = target.password.get_secret_value().encode()
    try:
        connection = _Connection(
            user=target.user,
            charset="utf8mb4",
            autocommit=autocommit,
            client_flag=CLIENT.LOCAL_FILES if local_rows else 0,
            **parameters,
        )
    except pymysql.Error as error:
        raise _while_connecting(target, error) from None
    except OSError as error:  # a certificate file that is not there
        raise ConfigurationError(
            f"cannot connect to {target}: {error.strerror or error}", _REMEDIES[ConfigurationError]
        ) from None
    _keep_alive(connection)
    with _lock:
        _open[connection] = _place_of(target)
    return connection


class _Connection(Connection):
    """Reads no certificates where none is verified: the driver would read all of the machine's, for each connection."""

    def _create_ssl_ctx(self, sslp: dict[str, Any]) -> ssl.SSLContext:
        if sslp:
            given: ssl.SSLContext = super()._create_ssl_ctx(sslp)  # type: ignore[misc]
            return given
        return _unverified()


@cache
def _unverified() -> ssl.SSLContext:
    """Encrypts where the server can, and asks nobody who that is; as the driver does unless it is told more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def connected(target: Target, *, autocommit: bool = True, database: bool = True) -> Iterator[Connection]:
    """A connection for the length of a context; the driver's errors inside become ours."""
    connection = connect(target, autocommit=autocommit, database=database)
    try:
        yield connection
    except pymysql.Error as error:
        raise translate(error) from None
    except (Exception, GeneratorExit):
        raise
    except BaseException:
        end(target, connection)  # the driver has left it; what it waits for may be done long after we are gone
        raise
    finally:
        close(connection)


def own_sessions(target: Target) -> frozenset[int]:
    """The server's numbers of this process's connections to a target's server, whatever their schema."""
    here = _place_of(target)
    with _lock:
        return frozenset(number_of(each) for each, place in _open.items() if place == here and each.open)


def number_of(connection: Connection) -> int:
    """The number by which a server knows a session."""
    return int(connection.thread_id())  # type: ignore[no-untyped-call]


def close(connection: Connection) -> None:
    """End a connection, whatever its state; raises nothing."""
    with suppress(pymysql.Error, OSError):
        connection.close()


def cancel(target: Target, connection: Connection) -> None:
    """Interrupt what the server does on a connection, from another thread; the connection stays; raises nothing."""
    with suppress(BackproofError), connected(target, database=False) as other:
        other.query(f"KILL QUERY {number_of(connection)}")


def end(target: Target, connection: Connection) -> None:
    """End a session on the server, with what it does there, from another thread; raises nothing."""
    with suppress(BackproofError, pymysql.Error):
        other = connect(target, database=False)
        try:
            other.query(f"KILL {number_of(connection)}")
        finally:
            close(other)


def rows(connection: Connection, sql: str, args: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows of one statement; none where it has none. Raises the driver's errors."""
    with connection.cursor() as cursor:
        cursor.execute(sql, tuple(args) or None)
        return list(cursor.fetchall())


def socket_of(target: Target) -> Path | None:
    """The Unix socket that a target names, or None for one on the network."""
    if not target.host.startswith("/"):
        return None
    place = Path(target.host)
    return place / SOCKET if place.is_dir() or not place.is_socket() else place


def switched(value: str) -> bool:
    """Whether an option that is on or off is on.

    Raises:
        ConfigurationError: it is neither.
    """
    lowered = value.lower()
    if lowered in ("true", "yes", "on", "1"):
        return True
    if lowered in ("false", "no", "off", "0"):
        return False
    raise ConfigurationError(f"a connection option is {value!r}, which is neither true nor false", "Write true.")


def check_options(target: Target) -> None:
    """Refuse an option that the driver or the dump tool could not be given.

    Raises:
        ConfigurationError: names it.
    """
    known = (*TEXTS, *SWITCHES, "connect_timeout")
    for name in sorted(target.options.keys() - set(known)):
        raise ConfigurationError(f"the connection option {name!r} is not known", f"Known: {', '.join(known)}.")


def translate(error: pymysql.Error, otherwise: type[BackproofError] = Permanent) -> BackproofError:
    """One of our errors for one of the driver's, without rows, statements or secrets.

    Args:
        error: what the driver raised.
        otherwise: the class for what is neither about the connection, locks, rights nor room.
    """
    kind = meaning(number(error), _text(error), otherwise)
    return kind(message(error), _REMEDIES_BY_NUMBER.get(number(error)) or _REMEDIES.get(kind, ""))


def meaning(code: int, text: str, otherwise: type[BackproofError] = Permanent) -> type[BackproofError]:
    """The class of an error number (-1: not known); ``text`` where the number says too little."""
    by_text = (kind for numbers, pattern, kind in _BY_TEXT if code in numbers and re.search(pattern, text))
    by_number = (kind for kind, numbers in _BY_NUMBER if code in numbers)
    return next(by_text, None) or next(by_number, otherwise)


def number(error: pymysql.Error) -> int:
    """The server's (from 1000) or the client's (from 2000) error number; 0 where there is none."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def message(error: pymysql.Error) -> str:
    """The server's message with its number; what it quotes from rows or statements is blanked."""
    code = number(error)
    if code in (1643, 1644, 3819) or getattr(error, "sqlstate", None) == "45000":
        # Written by the database's own code: it may say anything, a customer's name too.
        return f"code of the database raised an error (error {code})"
    text = scrubbed(_text(error)) or ("the connection is closed" if not code else type(error).__name__)
    return f"{text} (error {code})" if code else text


def scrubbed(text: str) -> str:
    """A server's message on one line, without values of rows or parts of statements."""
    text = " ".join(text.split())
    if not _HARMLESS.match(text):
        key = re.search(r" for key '[^']*'$", text)
        kept = text[: key.start()] if key else text
        text = re.sub(r"'.*'", "'…'", re.sub(r"\".*\"", '"…"', kept)) + (key.group() if key else "")
        # A quote that is not closed: the message was cut.
        text = re.sub(r"(?<!\w)'(?!…').*(?<!…)$", "'…", text) if text.count("'") % 2 else text
    return text[:300]


def _place_of(target: Target) -> tuple[str, int]:
    return target.host, target.port


def _place(target: Target) -> dict[str, Any]:
    path = socket_of(target)
    if path is None:
        return {"host": target.host, "port": target.port}
    if not path.is_socket():
        raise ConnectionLost(f"cannot connect to {target}: there is no socket {path}", _REMEDIES[ConnectionLost])
    return {"unix_socket": str(path)}


def _options(target: Target) -> dict[str, Any]:
    check_options(target)
    given = target.options
    found: dict[str, Any] = {name: given[name] for name in TEXTS if name in given}
    found |= {name: switched(given[name]) for name in SWITCHES if name in given}
    seconds = given.get("connect_timeout", str(CONNECT_SECONDS))
    if not re.fullmatch(r"[1-9][0-9]{0,3}", seconds):
        raise ConfigurationError(f"connect_timeout is {seconds!r}", "Write whole seconds, such as 15.")
    return found | {"connect_timeout": int(seconds)}


def _keep_alive(connection: Connection) -> None:
    line = getattr(connection, "_sock", None)
    if line is not None and line.family != socket.AF_UNIX:
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _while_connecting(target: Target, error: pymysql.Error) -> BackproofError:
    text = message(error)
    kind = meaning(number(error), _text(error), ConnectionLost)
    if target.password is not None and (secret := target.password.get_secret_value()):
        text = text.replace(secret, "********")
    return kind(f"cannot connect to {target}: {text}", _REMEDIES[kind])


def _text(error: pymysql.Error) -> str:
    return str(error.args[1]) if len(error.args) > 1 else str(error)
