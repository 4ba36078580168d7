"""What stands in the way of a recovery on PostgreSQL: refused before anything is changed, or got out of the way."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from backproof.errors import BackproofError
from backproof.recovery.context import Recovery
from backproof.recovery.run import Outcome
from tests.support.engine_harness import POSTGRESQL
from tests.support.fleets import built, key
from tests.support.postgres_fixtures import connection, execute
from tests.support.recovering import Live, World, world

NEAR = {"verify_on": "server", "stores": ["near"]}


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(POSTGRESQL, request.getfixturevalue("postgres15"), tmp_path_factory.mktemp("recovery")) as made:
        yield made


@pytest.fixture
def live(made: World) -> Iterator[Live]:
    found = made.live(**NEAR)
    found.run("UPDATE parent SET name = 'gone'")
    yield found
    made.clean()


def refused(live: Live, **asked: Any) -> tuple[Recovery, Outcome]:
    """A recovery that changes nothing."""
    before, databases = live.content(), live.world.databases()
    recovery, outcome = live.recover(**asked)
    assert outcome.result == "nothing changed"
    assert live.content() == before
    assert live.world.databases() == databases
    assert "on" not in live.application.told, "the application was not stopped"
    return recovery, outcome


def test_a_prepared_transaction_is_named_and_nothing_is_changed(live: Live) -> None:
    with closing(connection(live.target)) as other:
        other.autocommit = False
        other.tpc_begin("someone's")
        other.cursor().execute("INSERT INTO bare VALUES (1)")
        other.tpc_prepare()
    try:
        _, outcome = refused(live)
        assert "prepared transaction" in outcome.why
        assert "someone's" in outcome.why
    finally:
        execute(live.target, "ROLLBACK PREPARED 'someone''s'")
    assert live.recover()[1].result == "recovered"


def test_a_logical_slot_is_named_and_accepted_by_its_name(live: Live) -> None:
    slot = f"slot_{live.target.database}"
    execute(live.target, f"SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding')")
    try:
        _, outcome = refused(live)
        assert f"--accept '{slot}'" in outcome.why
        recovery, outcome = live.recover(accepted=(slot,))
        assert outcome.result == "recovered"
        owner = execute(live.target, f"SELECT database::text FROM pg_replication_slots WHERE slot_name = '{slot}'")
        assert owner == [(recovery.request.aside,)], "it stays with what was set aside"
    finally:
        execute(live.target, f"SELECT pg_drop_replication_slot('{slot}')")


def test_sessions_that_are_busy_idle_or_come_again_do_not_keep_the_databases_from_changing_places(live: Live) -> None:
    over = threading.Event()
    answers: set[str] = set()

    def come_again() -> None:
        while not over.is_set():
            try:
                with closing(connection(live.target)) as session, session.cursor() as cursor:
                    cursor.execute("SELECT name FROM parent WHERE id = 1")
                    answers.add(str(cursor.fetchall()[0][0]))
            except psycopg2.Error:
                time.sleep(0.01)

    visitors = [threading.Thread(target=come_again) for _ in range(4)]
    with closing(connection(live.target)) as idle, closing(connection(live.target)) as busy:
        idle.cursor().execute("BEGIN; SELECT 1")
        busy.autocommit = False
        busy.cursor().execute("UPDATE bare SET id = 2")
        for visitor in visitors:
            visitor.start()
        try:
            _, outcome = live.recover()
        finally:
            over.set()
            for visitor in visitors:
                visitor.join()
    assert outcome.result == "recovered"
    assert answers <= {"gone", "parent 1"}


def test_what_was_changed_beside_the_database_since_the_backup_stays(live: Live) -> None:
    role = f"reader_{live.target.database}"
    execute(live.target, f"CREATE ROLE {role} LOGIN")
    try:
        execute(live.target, f"REVOKE CONNECT ON DATABASE {live.target.database} FROM PUBLIC")
        execute(live.target, f"GRANT CONNECT ON DATABASE {live.target.database} TO {role}")
        execute(live.target, f"ALTER DATABASE {live.target.database} SET work_mem = '5MB'")
        execute(live.target, f"ALTER DATABASE {live.target.database} CONNECTION LIMIT 77")
        assert live.recover()[1].result == "recovered"
        name = live.target.database
        assert execute(live.target, f"SELECT has_database_privilege('{role}', '{name}', 'CONNECT')") == [(True,)]
        assert execute(live.target, "SHOW work_mem") == [("5MB",)]
        limit = execute(live.target, f"SELECT datconnlimit FROM pg_database WHERE datname = '{name}'")
        assert limit == [(77,)]
    finally:
        live.world.clean()
        execute(live.world.server, f"DROP OWNED BY {role}; DROP ROLE {role}")


def _described(live: Live) -> dict[str, Any]:
    description: dict[str, Any] = json.loads(live.file.read_text())
    return description


def test_the_wrong_key_and_a_cut_archive_are_told_before_anything_is_changed(live: Live) -> None:
    description = _described(live)
    description["keys"]["main"]["aes256"] = key()
    honest, live.fleet = live.fleet, built(description, live.file.parent)
    _, outcome = refused(live)
    assert "key" in outcome.why
    live.fleet = honest
    (archive,) = Path(description["stores"]["near"]["path"]).rglob("*.sql.gz.enc")
    archive.chmod(0o600)
    with archive.open("r+b") as file:
        file.truncate(archive.stat().st_size - 100)
    _, outcome = refused(live)
    assert "bytes long" in outcome.why


def test_too_little_room_is_told_before_anything_is_changed(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backproof.engines.postgresql.host.free_bytes", lambda host, folder: 1_000_000)
    _, outcome = refused(live)
    assert "1.0 MB are free on the server's disk" in outcome.why
    assert "--accept 'space'" in outcome.why
    assert live.recover(accepted=("space",))[1].result == "recovered"


def test_a_changed_byte_is_told_before_anything_is_changed(live: Live) -> None:
    (archive,) = Path(_described(live)["stores"]["near"]["path"]).rglob("*.sql.gz.enc")
    archive.chmod(0o600)
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    refused(live)


def test_a_missing_copy_is_passed_over_and_without_any_the_recovery_does_not_begin(made: World) -> None:
    live = made.live(verify_on="server")
    near, far = (Path(each["path"]) for each in _described(live)["stores"].values())
    whole = live.content()
    live.run("UPDATE parent SET name = 'gone'")
    for archive in near.rglob("*.sql.gz.enc"):
        archive.chmod(0o600)
        archive.unlink()
    recovery, outcome = live.recover()
    assert (outcome.result, recovery.journal.facts("check")["store"]) == ("recovered", "far")
    assert live.content() == whole
    for archive in far.rglob(f"{made.backup}.sql.gz.enc"):
        archive.chmod(0o600)
        archive.unlink()
    with pytest.raises(BackproofError, match="no store has a whole copy"):
        live.begin()
    made.clean()
