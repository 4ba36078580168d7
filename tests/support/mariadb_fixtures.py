"""Real MariaDB servers for the tests, of Debian's own version; one each a session, when needed."""

import itertools
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pydantic import SecretStr
from pymysql.constants import CLIENT

from backproof.engines.mysql.connect import SOCKET
from backproof.engines.mysql.names import quote_ident, quote_literal
from backproof.engines.mysql.server import private_server
from backproof.records import Target
from backproof.scratch import workspace

PASSWORD = "canary: pa:ss\\w'o\"rd %20 ü="
"""All that has a meaning to an option file, a statement, a URL or a shell; no test may find it in clear."""

SETTINGS = {
    "server_id": "7",
    "log_bin": "binlog",
    "binlog_format": "ROW",
    "gtid_strict_mode": "ON",
    "event_scheduler": "ON",
}
"""As a server has them from which others replicate."""

FreshSchema = Callable[..., Target]
FreshAccount = Callable[..., Target]


@contextmanager
def server(**options: Any) -> Iterator[Target]:
    """A server of the test's own, for what the shared one must not suffer: being killed, filled, set otherwise."""
    with workspace("test") as folder, private_server(folder, port=0, password=PASSWORD, **options) as target:
        yield target


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Target]:
    """Root, on 127.0.0.1 with a password; binary log and GTIDs, events run, time zones have names."""
    with server(settings=SETTINGS, time_zones=True) as target:
        yield target


@pytest.fixture(scope="session")
def mariadb_plain() -> Iterator[Target]:
    """Without a binary log and whatever else is off by default."""
    with server() as target:
        yield target


@pytest.fixture
def fresh_schema() -> Iterator[FreshSchema]:
    """A factory of empty schemas: ``fresh_schema(mariadb, "CREATE TABLE …")``; dropped after the test.

    ``name`` names it, ``options`` goes to CREATE DATABASE as it stands, such as ``CHARACTER SET latin1``.
    """
    with schemas() as fresh:
        yield fresh


@pytest.fixture
def fresh_account() -> Iterator[FreshAccount]:
    """A factory of accounts: ``fresh_account(target, "SELECT ON *.*", …)`` is ``target`` as a new user with these
    grants and no others; dropped after the test."""
    made: list[tuple[Target, str]] = []

    def fresh(target: Target, *grants: str, name: str | None = None, password: str = PASSWORD) -> Target:
        name = name or f"test_{os.getpid()}_{next(_numbers)}"
        account = f"{quote_literal(name)}@'localhost'"
        execute(target.to(""), f"CREATE USER {account} IDENTIFIED BY {quote_literal(password)}")
        made.append((target.to(""), account))
        execute(target.to(""), [f"GRANT {grant} TO {account}" for grant in grants])
        return target.model_copy(update={"user": name, "password": SecretStr(password)})

    yield fresh
    for where, account in reversed(made):
        execute(where, f"DROP USER IF EXISTS {account}")


@contextmanager
def schemas() -> Iterator[FreshSchema]:
    """What ``fresh_schema`` does, for fixtures that last longer than a test."""
    made: list[tuple[Target, str]] = []

    def fresh(server: Target, script: str = "", *, name: str | None = None, options: str = "") -> Target:
        name = name or f"test_{os.getpid()}_{next(_numbers)}"
        execute(server, f"CREATE DATABASE {quote_ident(name)} {options}")
        made.append((server, name))
        target = server.to(name)
        if script:
            execute(target, script)
        return target

    try:
        yield fresh
    finally:
        for server_, name in reversed(made):
            drop(server_, name)


def drop(server: Target, name: str) -> None:
    """Remove a schema, and first whoever is in it: a transaction left open would lock it for a day."""
    for (number,) in execute(server, "SELECT id FROM information_schema.processlist WHERE db = %s", (name,)):
        execute(server, f"KILL {number}")
    execute(server, ["SET lock_wait_timeout = 20", f"DROP DATABASE IF EXISTS {quote_ident(name)}"])


def connection(target: Target, **options: Any) -> Any:
    """A plain PyMySQL connection in autocommit, past our own code; without TLS, unless told: reading all of a machine's
    authorities costs more than most of what is asked.
    """
    asked = {**target.options, **options}
    asked.setdefault("ssl_disabled", not any(name.startswith("ssl_") for name in asked))
    made = pymysql.connect(
        host=target.host,
        port=target.port,
        database=target.database or None,
        user=target.user,
        # PyMySQL would write a text in latin1, which holds for neither the server nor its other clients.
        password=target.password.get_secret_value().encode() if target.password else b"",
        autocommit=True,
        defer_connect=True,
        **{"charset": "utf8mb4", "client_flag": CLIENT.MULTI_STATEMENTS, **asked},
    )
    made.connect(_on_socket(f"{target.host}/{SOCKET}") if target.host.startswith("/") else None)
    return made


def _on_socket(path: str) -> socket.socket:
    """By hand: PyMySQL leaves a socket open where nobody listens."""
    made = socket.socket(socket.AF_UNIX)
    try:
        made.connect(path)
    except OSError as error:
        made.close()
        raise pymysql.OperationalError(2002, f"{path}: {error}") from None
    return made


def execute(target: Target, script: str | Sequence[str], parameters: tuple[Any, ...] | None = None) -> list[Any]:
    """Run a script, or statements on one connection; returns the rows of the last that has any.

    The server itself divides a script, at each ``;`` outside of bodies, so triggers and routines need no DELIMITER.
    """
    rows: list[Any] = []
    with closing(connection(target)) as connected, connected.cursor() as cursor:
        for command in [script] if isinstance(script, str) else script:
            cursor.execute(command, parameters)
            while True:
                rows = list(cursor.fetchall()) if cursor.description else rows
                if not cursor.nextset():
                    break
    return rows


def log_of(target: Target) -> Path:
    """Where that server logs."""
    [[data]] = execute(target.to(""), "SELECT @@datadir")
    return Path(data).parent / "server.log"


_numbers = itertools.count(1)
