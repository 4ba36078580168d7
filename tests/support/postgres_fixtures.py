"""Real PostgreSQL servers for the tests: Debian's 15, the wheel's 16 and 18; one each a session, when needed."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest
from psycopg2 import sql

from backproof.engines.postgresql.server import private_server
from backproof.records import Target
from backproof.scratch import workspace

MAJORS = (15, 16, 18)

PASSWORD = "canary: pa:ss\\w'o\"rd %20 ü="
"""All that has a meaning to a .pgpass file, a connection string, a URL or a shell; no test may find it in clear."""

SETTINGS = {
    "wal_level": "logical",
    "max_prepared_transactions": "10",
    "allow_in_place_tablespaces": "on",
    "log_min_messages": "warning",
}

FreshDatabase = Callable[..., Target]


@contextmanager
def server(major: int, **options: Any) -> Iterator[Target]:
    """A server of the test's own, for what the shared one must not suffer: being killed, filled, set otherwise."""
    with workspace("test") as folder, private_server(major, folder, port=0, password=PASSWORD, **options) as target:
        yield target


@pytest.fixture(scope="session")
def postgres15() -> Iterator[Target]:
    with server(15, settings=SETTINGS) as target:
        yield target


@pytest.fixture(scope="session")
def postgres16() -> Iterator[Target]:
    with server(16, settings=SETTINGS) as target:
        yield target


@pytest.fixture(scope="session")
def postgres18() -> Iterator[Target]:
    with server(18, settings=SETTINGS) as target:
        yield target


@pytest.fixture(scope="session", params=MAJORS)
def postgres(request: pytest.FixtureRequest) -> Target:
    """The superuser of each major version in turn, on 127.0.0.1 with a password, on database ``postgres``."""
    target: Target = request.getfixturevalue(f"postgres{request.param}")
    return target


@pytest.fixture
def fresh_database() -> Iterator[FreshDatabase]:
    """A factory of empty databases: ``fresh_database(server, "CREATE TABLE …")``; dropped after the test.

    ``name`` names it, ``options`` goes to CREATE DATABASE as it stands, such as ``ENCODING 'LATIN1' LOCALE 'C'``.
    """
    with databases() as fresh:
        yield fresh


@contextmanager
def databases() -> Iterator[FreshDatabase]:
    """What ``fresh_database`` does, for fixtures that last longer than a test."""
    made: list[tuple[Target, str]] = []

    def fresh(server: Target, script: str = "", *, name: str | None = None, options: str = "") -> Target:
        name = name or f"test_{os.getpid()}_{next(_numbers)}"
        command = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ").format(sql.Identifier(name)) + sql.SQL(options)
        execute(server, command)
        made.append((server, name))
        target = server.to(name)
        if script:
            execute(target, script)
        return target

    try:
        yield fresh
    finally:
        for server_, name in reversed(made):
            execute(server_, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def connection(target: Target) -> Any:
    """A plain psycopg2 connection in autocommit, past our own code."""
    password = target.password.get_secret_value() if target.password else None
    connected = psycopg2.connect(
        host=target.host,
        port=target.port,
        dbname=target.database,
        user=target.user,
        password=password,
        **target.options,
    )
    connected.autocommit = True
    return connected


def execute(target: Target, command: str | sql.Composable, parameters: tuple[Any, ...] | None = None) -> list[Any]:
    """Run a statement, or a script; returns the rows of the last one that has any."""
    with closing(connection(target)) as connected, connected.cursor() as cursor:
        cursor.execute(command, parameters)
        return list(cursor.fetchall()) if cursor.description else []


def prefect_url(target: Target) -> str:
    """What a Prefect server is given that is to keep its history there."""
    secret = target.password.get_secret_value() if target.password else ""
    login, place = f"{target.user}:{quote(secret)}", f"host={quote(target.host, safe='')}&port={target.port}"
    return f"postgresql+asyncpg://{login}@/{target.database}?{place}"


def log_of(target: Target) -> Path:
    """Where that server logs."""
    [[data]] = execute(target, "SHOW data_directory")
    return Path(data).parent / "server.log"


_numbers = itertools.count(1)
