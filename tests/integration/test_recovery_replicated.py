"""A recovery of a PostgreSQL server that has a standby: the standby follows; one that names the standby is refused."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from backproof.engines.postgresql.server import private_server
from backproof.records import Target
from backproof.scratch import workspace
from tests.support.engine_harness import POSTGRESQL
from tests.support.fleets import PLAN
from tests.support.postgres_fixtures import PASSWORD, connection
from tests.support.recovering import Live, World, world
from tests.support.standbys import copied, following, until

SETTINGS = {"wal_level": "replica", "hot_standby": "on"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        workspace("test") as folder,
        private_server(16, folder / "primary", port=0, password=PASSWORD, settings=SETTINGS) as primary,
        world(POSTGRESQL, primary, tmp_path_factory.mktemp("replicated")) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def live(made: World) -> Live:
    return made.live(verify_on="server", stores=["near"])


@pytest.fixture(scope="module")
def standby(made: World, live: Live) -> Iterator[Target]:
    with workspace("test") as folder:
        copied(made.server, folder / "standby", 16)
        settings = {**SETTINGS, "primary_conninfo": following(made.server)}
        with private_server(16, folder / "standby", port=0, password=PASSWORD, settings=settings) as started:
            yield started.to(live.target.database)


def test_a_standby_follows_the_exchange(live: Live, standby: Target) -> None:
    whole = live.run("SELECT count(*), min(name) FROM parent")
    live.run("UPDATE parent SET name = 'gone'")
    with closing(connection(standby)) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM parent")
        recovery, outcome = live.recover()
        assert (outcome.result, outcome.problems) == ("recovered", ())
        _replayed(live, standby)
        assert POSTGRESQL.run(standby, "SELECT count(*), min(name) FROM parent") == whole
        aside = standby.to(recovery.request.aside)
        assert POSTGRESQL.run(aside, "SELECT DISTINCT name FROM parent") == [("gone",)]


def test_a_recovery_that_fails_leaves_the_standby_as_it_was(live: Live, standby: Target) -> None:
    live.run("UPDATE parent SET name = 'gone'")
    before = live.content()
    live.application.fails("tests")
    _, outcome = live.recover()
    live.application.works("tests")
    assert outcome.result == "rolled back"
    assert live.content() == before
    _replayed(live, standby)
    assert POSTGRESQL.run(standby, "SELECT DISTINCT name FROM parent") == [("gone",)]


def test_a_plan_that_names_the_standby_is_refused(live: Live, standby: Target) -> None:
    fleet = live.fleet
    spec = fleet.spec.model_copy(
        update={
            "databases": {
                name: each.model_copy(update={"port": standby.port}) for name, each in fleet.spec.databases.items()
            }
        }
    )
    live.fleet = type(fleet)(spec)
    try:
        before = live.run("SELECT count(*) FROM parent")
        _, outcome = live.recover()
        assert outcome.result == "nothing changed"
        assert "It follows another server and can't be written" in outcome.why
        assert live.run("SELECT count(*) FROM parent") == before
        assert fleet.engine(PLAN).exists(live.target)
    finally:
        live.fleet = fleet


def _replayed(live: Live, standby: Target) -> None:
    ((written,),) = POSTGRESQL.run(live.world.server, "SELECT pg_current_wal_flush_lsn()::text")
    asked = f"SELECT pg_last_wal_replay_lsn() >= '{written}'"
    until(lambda: POSTGRESQL.run(standby.to("postgres"), asked) == [(True,)])
