"""A recovery of a MariaDB server that others replicate from: refused by the replica's name, accepted it is followed."""

from collections.abc import Iterator
from typing import Any

import pytest

from backproof.engines.mysql.names import quote_literal
from backproof.records import Target
from tests.support.engine_harness import MYSQL
from tests.support.fleets import PLAN
from tests.support.mariadb_fixtures import SETTINGS, execute, server
from tests.support.recovering import Live, World, world
from tests.support.round_trip import taken

NEAR: dict[str, Any] = {"verify_on": "server", "stores": ["near"]}
CODE = """
    CREATE SEQUENCE numbers; CREATE TABLE log (id bigint DEFAULT NEXTVAL(numbers), what varchar(9));
    CREATE FUNCTION twice(x int) RETURNS int DETERMINISTIC RETURN 2 * x;
"""
"""Beside tables, a view and a trigger: all that an exchange makes anew."""
SCHEMAS = "SELECT schema_name FROM information_schema.schemata ORDER BY 1"


@pytest.fixture(scope="module")
def source() -> Iterator[Target]:
    with server(settings={**SETTINGS, "skip_name_resolve": "1"}) as target:
        yield target


@pytest.fixture(scope="module")
def replica(source: Target) -> Iterator[Target]:
    """From the first statement on, which the source's binary log has."""
    password = source.password.get_secret_value() if source.password else ""
    with server(settings={**SETTINGS, "server_id": "8", "log_slave_updates": "ON", "read_only": "ON"}) as target:
        execute(
            target,
            [
                f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {source.port},"
                f" MASTER_USER = '{source.user}', MASTER_PASSWORD = {quote_literal(password)},"
                " MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos",
                "START SLAVE",
            ],
        )
        yield target
        execute(target, "STOP SLAVE")


@pytest.fixture(scope="module")
def made(source: Target, replica: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(MYSQL, source, tmp_path_factory.mktemp("replica"), CODE) as made:
        yield made


@pytest.fixture
def live(made: World) -> Iterator[Live]:
    found = made.live(**NEAR)
    found.run("UPDATE parent SET name = 'gone'")
    yield found
    made.clean()


def test_a_replica_is_named_and_nothing_is_changed(live: Live, replica: Target) -> None:
    before = live.content()
    _, outcome = live.recover()
    assert outcome.result == "nothing changed"
    assert "replica 127.0.0.1: It replicates from this server as root and carries out the same exchange" in outcome.why
    assert "--accept '127.0.0.1'" in outcome.why
    assert live.content() == before
    expect_equal(live, replica)


def test_a_replica_that_is_accepted_ends_as_its_source(live: Live, replica: Target) -> None:
    recovery, outcome = live.recover(accepted=("127.0.0.1",))
    assert (outcome.result, outcome.problems) == ("recovered", ())
    assert live.run("SELECT count(*) FROM parent WHERE name = 'gone'") == [(0,)]
    expect_equal(live, replica, recovery.request.aside)
    aside = replica.to(recovery.request.aside)
    assert MYSQL.run(aside, "SELECT DISTINCT name FROM parent") == [("gone",)]


def test_a_recovery_that_is_taken_back_is_on_the_replica_too(live: Live, replica: Target) -> None:
    before = live.content()
    live.application.fails("tests")
    _, outcome = live.recover(accepted=("127.0.0.1",))
    assert outcome.result == "rolled back"
    assert live.content() == before
    expect_equal(live, replica)


def expect_equal(live: Live, replica: Target, *more: str) -> None:
    """Once it has caught up: every schema, and in ours every definition and row, of the set-aside one too."""
    ((position,),) = execute(live.world.server, "SELECT @@global.gtid_binlog_pos")
    assert execute(replica, f"SELECT MASTER_GTID_WAIT('{position}', 120)") == [(0,)], _status(replica)
    assert MYSQL.run(replica, SCHEMAS) == MYSQL.run(live.world.server, SCHEMAS)
    for name in (live.target.database, *more):
        assert content(live, replica.to(name)) == live.content(name)


def content(live: Live, target: Target) -> dict[str, Any]:
    """What ``Live.content`` gives of its own server."""
    found = taken(live.fleet.engine(PLAN), target)
    return {**found.manifest.entries, **{table.name: table.sha256 for table in found.manifest.tables}}


def _status(replica: Target) -> str:
    return str(execute(replica, "SHOW SLAVE STATUS"))
