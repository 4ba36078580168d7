"""A replica that is behind, or stands still, is told before a backup of old data is taken: real ones, streaming."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backproof import catalog
from backproof.engines.mysql import findings as mysql_findings
from backproof.engines.mysql.server import private_server as mariadb_server
from backproof.engines.postgresql import standby
from backproof.engines.postgresql.server import private_server as postgresql_server
from backproof.errors import Transient
from backproof.operations.prove import prove
from backproof.operations.seal import seal
from backproof.records import Finding, Target
from backproof.scratch import workspace
from tests.support import mariadb_fixtures, postgres_fixtures
from tests.support.doctor import examine, refusal
from tests.support.fault_fixtures import Once
from tests.support.fleets import PLAN, built, described
from tests.support.standbys import copied, following, until

SECRET = "canary of replication"
ROWS = "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1), (2);"

Pair = tuple[Target, Target]
"""A primary and its replica, at database ``shop``."""


def examined(target: Target, folder: Path, engine: str) -> dict[str, Finding]:
    """A replica is never a reason for no backup at all: what is old is better than nothing."""
    description = described(target, folder, engine=engine)
    assert refusal(description, folder) is None
    return examine(description, folder)


# --- PostgreSQL


@pytest.fixture(scope="module")
def postgresql_pair() -> Iterator[Pair]:
    settings = {"wal_level": "replica", "hot_standby": "on"}
    with workspace("test") as folder:
        where = folder / "primary"
        with postgresql_server(18, where, port=0, password=SECRET, settings=settings) as primary:
            postgres_fixtures.execute(primary, "CREATE DATABASE shop")
            postgres_fixtures.execute(primary.to("shop"), ROWS)
            copied(primary, folder / "standby", 18)
            follow = {**settings, "primary_conninfo": following(primary)}
            with postgresql_server(18, folder / "standby", port=0, password=SECRET, settings=follow) as replica:
                yield primary.to("shop"), replica.to("shop")


@pytest.fixture
def replayed(postgresql_pair: Pair) -> Iterator[Pair]:
    """Nothing is left to replay at the start, and nothing stands still at the end."""
    primary, replica = postgresql_pair
    [[written]] = postgres_fixtures.execute(primary, "SELECT pg_current_wal_flush_lsn()::text")
    until(lambda: postgres_fixtures.execute(replica, f"SELECT pg_last_wal_replay_lsn() >= '{written}'") == [(True,)])
    yield postgresql_pair
    postgres_fixtures.execute(replica, "SELECT pg_wal_replay_resume()")


def test_a_postgresql_standby_that_keeps_up_is_well_and_a_primary_says_nothing(replayed: Pair, tmp_path: Path) -> None:
    primary, replica = replayed
    assert "replica" not in examined(primary, tmp_path, "postgresql")
    found = examined(replica, tmp_path, "postgresql")
    assert found["replica"].status == "ok"
    assert found["replica conflicts"].status == "warning"
    assert "max_standby_streaming_delay" in found["replica conflicts"].remedy


def test_a_postgresql_standby_whose_replay_is_paused_is_told_to_a_mere_reader_too(
    replayed: Pair, tmp_path: Path
) -> None:
    primary, replica = replayed
    postgres_fixtures.execute(
        primary, f"CREATE ROLE reader LOGIN PASSWORD '{SECRET}'; GRANT pg_read_all_data TO reader"
    )
    until(lambda: postgres_fixtures.execute(replica, "SELECT 1 FROM pg_roles WHERE rolname = 'reader'") == [(1,)])
    postgres_fixtures.execute(replica, "SELECT pg_wal_replay_pause()")
    reader = replica.model_copy(update={"user": "reader"})
    found = examined(reader, tmp_path, "postgresql")["replica"]
    assert (found.status, "replay is paused" in found.found) == ("warning", True)
    assert "pg_wal_replay_resume" in found.remedy


def test_a_postgresql_standby_that_is_behind_is_told_by_how_much(
    replayed: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, replica = replayed
    monkeypatch.setattr(standby, "BEHIND_SECONDS", 0)
    postgres_fixtures.execute(primary, "CREATE TABLE early (id int)")
    until(lambda: postgres_fixtures.execute(replica, "SELECT to_regclass('early') IS NULL") == [(False,)])
    postgres_fixtures.execute(replica, "ALTER SYSTEM SET recovery_min_apply_delay = '1h'")
    postgres_fixtures.execute(replica, "SELECT pg_reload_conf()")
    try:
        postgres_fixtures.execute(primary, "CREATE TABLE late (id int)")
        not_replayed = "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()"
        until(lambda: postgres_fixtures.execute(replica, not_replayed) == [(True,)])
        time.sleep(1.1)
        found = examined(replica, tmp_path, "postgresql")["replica"]
        assert found.status == "warning"
        assert re.search(r"more to replay; what it replayed last was committed [1-9]\d* seconds ago", found.found)
        assert "back up the primary" in found.remedy
    finally:
        postgres_fixtures.execute(replica, "ALTER SYSTEM RESET recovery_min_apply_delay")
        postgres_fixtures.execute(replica, "SELECT pg_reload_conf()")


def test_a_postgresql_standby_that_is_sent_nothing_is_told(
    replayed: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless what it has is of just now: it may read an archive."""
    primary, replica = replayed
    postgres_fixtures.execute(primary, "CREATE TABLE newest (id int)")
    until(lambda: postgres_fixtures.execute(replica, "SELECT to_regclass('newest') IS NULL") == [(False,)])
    postgres_fixtures.execute(replica, "ALTER SYSTEM SET primary_conninfo = ''")
    postgres_fixtures.execute(replica, "SELECT pg_reload_conf()")
    try:
        until(lambda: postgres_fixtures.execute(replica, "SELECT count(*) FROM pg_stat_wal_receiver") == [(0,)])
        found = examined(replica, tmp_path, "postgresql")["replica"]
        assert (found.status, "no primary sends it anything; what" in found.found) == ("ok", True)
        monkeypatch.setattr(standby, "BEHIND_SECONDS", -1)
        found = examined(replica, tmp_path, "postgresql")["replica"]
        assert (found.status, "the backup would be of 20" in found.found) == ("warning", True)
    finally:
        postgres_fixtures.execute(replica, "ALTER SYSTEM RESET primary_conninfo")
        postgres_fixtures.execute(replica, "SELECT pg_reload_conf()")
        until(lambda: postgres_fixtures.execute(replica, "SELECT count(*) FROM pg_stat_wal_receiver") == [(1,)])


def test_a_postgresql_standby_is_backed_up_and_proven_as_its_primary_is(replayed: Pair, tmp_path: Path) -> None:
    _, replica = replayed
    fleet = built(described(replica, tmp_path), tmp_path)
    sealed = seal(fleet, PLAN, "manual")
    assert {table.name: table.rows for table in sealed.manifest.tables}["public.orders"] == 2
    proof = prove(fleet, PLAN, sealed.manifest.id, "near")
    assert proof.verdict == "passed", proof.reason


def test_a_dump_that_replay_ends_is_no_backup_and_worth_another_try(replayed: Pair, tmp_path: Path) -> None:
    """What ``replica conflicts`` warns of."""
    primary, replica = replayed
    gone = "SELECT to_regclass('big') IS NULL"
    postgres_fixtures.execute(
        primary, "CREATE TABLE big AS SELECT n, repeat('x', 1000) AS t FROM generate_series(1, 40000) n"
    )
    until(lambda: postgres_fixtures.execute(replica, gone) == [(False,)])
    postgres_fixtures.execute(replica, "ALTER SYSTEM SET max_standby_streaming_delay = 0")
    postgres_fixtures.execute(replica, "SELECT pg_reload_conf()")

    def conflict() -> None:
        """Not waiting for the end of it: a COPY whose reader waits here is ended once it can write again."""
        postgres_fixtures.execute(primary, "DROP TABLE big")
        [[dropped]] = postgres_fixtures.execute(primary, "SELECT pg_current_wal_lsn()::text")
        received = f"SELECT pg_last_wal_receive_lsn() >= '{dropped}'"
        until(lambda: postgres_fixtures.execute(replica, received) == [(True,)])
        time.sleep(1)

    fleet, fault = built(described(replica, tmp_path), tmp_path), Once(conflict)
    try:
        with pytest.raises(Transient):
            seal(fleet, PLAN, "manual", progress=fault)
        assert fault.fired
        assert catalog.backups(fleet, PLAN) == []
    finally:
        postgres_fixtures.execute(replica, "ALTER SYSTEM RESET max_standby_streaming_delay")
        postgres_fixtures.execute(replica, "SELECT pg_reload_conf()")
    seal(fleet, PLAN, "manual")


# --- MariaDB


@pytest.fixture(scope="module")
def mariadb_pair() -> Iterator[Pair]:
    logged = {"log_bin": "binlog", "binlog_format": "ROW"}
    with (
        workspace("test") as folder,
        mariadb_server(folder / "a", port=0, password=SECRET, settings={"server_id": "1", **logged}) as primary,
        mariadb_server(folder / "b", port=0, password=SECRET, settings={"server_id": "2", "read_only": "1"}) as replica,
    ):
        mariadb_fixtures.execute(primary, "CREATE DATABASE shop")
        mariadb_fixtures.execute(primary.to("shop"), ROWS)
        mariadb_fixtures.execute(
            replica,
            f"CHANGE MASTER TO master_host = '{primary.host}', master_port = {primary.port},"
            f" master_user = '{primary.user}', master_password = '{SECRET}', master_use_gtid = slave_pos;"
            " START SLAVE",
        )
        yield primary.to("shop"), replica.to("shop")


@pytest.fixture
def running(mariadb_pair: Pair) -> Iterator[Pair]:
    """The replica has what the primary has at the start, and goes on at the end."""
    primary, replica = mariadb_pair
    [[written]] = mariadb_fixtures.execute(primary, "SELECT @@gtid_binlog_pos")
    assert mariadb_fixtures.execute(replica.to(""), "SELECT MASTER_GTID_WAIT(%s, 30)", (written,)) == [(0,)]
    until(lambda: any("seconds behind" in each.found for each in mysql_findings.findings(replica)))
    yield mariadb_pair
    mariadb_fixtures.execute(replica.to(""), "STOP SLAVE; CHANGE MASTER TO master_delay = 0; START SLAVE")


def test_a_mariadb_replica_that_keeps_up_is_well_and_a_primary_says_nothing(running: Pair, tmp_path: Path) -> None:
    primary, replica = running
    assert "replica" not in examined(primary, tmp_path, "mysql")
    found = examined(replica, tmp_path, "mysql")["replica"]
    assert (found.status, "seconds behind" in found.found) == ("ok", True)


@pytest.mark.parametrize("thread", ["SQL_THREAD", "IO_THREAD"])
def test_a_mariadb_replica_that_stands_still_is_told(running: Pair, tmp_path: Path, thread: str) -> None:
    _, replica = running
    mariadb_fixtures.execute(replica, f"STOP SLAVE {thread}")
    found = examined(replica, tmp_path, "mysql")["replica"]
    assert (found.status, "replication does not run" in found.found) == ("warning", True)
    assert "Start replication" in found.remedy


def test_a_mariadb_replica_that_is_behind_is_told_by_how_much(
    running: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, replica = running
    monkeypatch.setattr(mysql_findings, "BEHIND_SECONDS", 0)
    mariadb_fixtures.execute(replica, "STOP SLAVE; CHANGE MASTER TO master_delay = 3600; START SLAVE")
    mariadb_fixtures.execute(primary, "INSERT INTO orders VALUES (3)")
    told = re.compile("[1-9][0-9]* seconds behind 127.0.0.1")
    until(lambda: any(told.match(each.found) for each in mysql_findings.findings(replica)))
    found = examined(replica, tmp_path, "mysql")["replica"]
    assert found.status == "warning"
    assert "back up the primary" in found.remedy


def test_who_may_not_ask_a_mariadb_replica_is_told_that_it_looks_like_one(running: Pair, tmp_path: Path) -> None:
    """Before, that was silence: a backup account has the right only where somebody thought of it."""
    _, replica = running
    user = "'reader'@'localhost'"
    mariadb_fixtures.execute(
        replica,
        [
            f"CREATE OR REPLACE USER {user} IDENTIFIED BY '{SECRET}'",
            f"GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, RELOAD, PROCESS, LOCK TABLES ON *.* TO {user}",
        ],
    )
    poor = replica.model_copy(update={"user": "reader"})
    found = examined(poor, tmp_path, "mysql")["replica"]
    assert (found.status, "looks like a replica" in found.found) == ("warning", True)
    assert "GRANT SLAVE MONITOR ON *.* TO `reader`@`localhost`" in found.remedy
    mariadb_fixtures.execute(replica, f"GRANT SLAVE MONITOR ON *.* TO {user}")
    assert examined(poor, tmp_path, "mysql")["replica"].status == "ok"


def test_a_mariadb_replica_is_backed_up_and_proven_as_its_primary_is(running: Pair, tmp_path: Path) -> None:
    _, replica = running
    fleet = built(described(replica, tmp_path, engine="mysql"), tmp_path)
    sealed = seal(fleet, PLAN, "manual")
    assert {table.name: table.rows for table in sealed.manifest.tables}["orders"] >= 2
    proof = prove(fleet, PLAN, sealed.manifest.id, "near")
    assert proof.verdict == "passed", proof.reason
