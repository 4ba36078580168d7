"""Things break while a MariaDB server is dumped: a clear error, nothing half there or left behind, no secret told."""

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from backproof import subprocesses
from backproof.engines import Piece, find
from backproof.engines.mysql import binaries, dumptool, patience
from backproof.engines.mysql.connect import connect, connected
from backproof.engines.mysql.dump import open_dump
from backproof.engines.mysql.lock import lock
from backproof.errors import (
    AccessDenied,
    BackproofError,
    Busy,
    ConfigurationError,
    ConnectionLost,
    DumpFailed,
    NotFound,
)
from backproof.records import Target
from backproof.scratch import workspace
from tests.support.aftermath import programs
from tests.support.certificates import certificates
from tests.support.mariadb_fixtures import PASSWORD, FreshSchema, execute, server
from tests.support.mysql_dumps import (
    BIG,
    LATER,
    Injury,
    drained,
    dump_and_injure,
    expect_nothing_left,
    rows,
    sessions,
)
from tests.support.round_trip import round_trip


def _killed_program(_: Target) -> None:
    (pid,) = programs("mariadb-dump")
    os.kill(pid, signal.SIGKILL)


def _cut_connection(target: Target) -> None:
    query = "SELECT id FROM information_schema.processlist WHERE db = %s AND info LIKE 'SELECT%%big%%'"
    for (number,) in execute(target.to(""), query, (target.database,)):
        execute(target.to(""), f"KILL {number}")


def _cut_every_connection(target: Target) -> None:
    for number in sessions(target):
        execute(target.to(""), f"KILL {number}")


@pytest.mark.parametrize(
    ("injure", "errors"),
    [
        (_killed_program, (DumpFailed,)),
        (_cut_connection, (ConnectionLost,)),
        (_cut_every_connection, (ConnectionLost,)),
    ],
    ids=["the tool killed", "its connection cut", "all connections cut"],
)
def test_a_dump_that_was_injured_never_hands_over_its_last_piece(
    mariadb: Target, fresh_schema: FreshSchema, injure: Injury, errors: tuple[type[BackproofError], ...]
) -> None:
    target = fresh_schema(mariadb, BIG)
    found: list[Piece] = []
    with pytest.raises(errors):
        dump_and_injure(target, injure, found)
    assert rows(found)["big"] < 40000
    expect_nothing_left(target)
    with open_dump(target) as dump:
        assert rows(drained(dump)) == {"big": 40000}


def test_a_count_that_lost_its_snapshot_is_an_error(mariadb: Target, fresh_schema: FreshSchema) -> None:
    target = fresh_schema(mariadb, LATER)
    with open_dump(target) as dump:
        drained(dump)
        _cut_every_connection(target)
        with pytest.raises(ConnectionLost):
            dump.inventory()


@pytest.mark.parametrize("seconds", [0.3, 3600])
def test_a_server_does_not_give_up_a_dump_whose_reader_is_slow(
    mariadb: Target, fresh_schema: FreshSchema, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(patience, "NUDGE_SECONDS", seconds)
    target = fresh_schema(mariadb, BIG)
    [[before]] = execute(mariadb, "SELECT @@GLOBAL.net_write_timeout")
    execute(mariadb, "SET GLOBAL net_write_timeout = 2")
    try:
        with open_dump(target) as dump:
            time.sleep(5)
            if seconds > 5:
                # So much for what is shown.
                with pytest.raises(ConnectionLost):
                    drained(dump)
            else:
                assert rows(drained(dump)) == {"big": 40000}
    finally:
        execute(mariadb, f"SET GLOBAL net_write_timeout = {before}")


def test_a_server_killed_during_the_dump_is_a_lost_connection() -> None:
    with server() as root:
        execute(root, "CREATE DATABASE shop")
        target = root.to("shop")
        execute(target, BIG)
        [[file]] = execute(root, "SELECT @@pid_file")
        [[folder]] = execute(root, "SELECT @@datadir")
        pid = int((Path(folder) / file).read_text())
        with pytest.raises(ConnectionLost):
            dump_and_injure(target, lambda _: os.kill(pid, signal.SIGKILL), [])
        assert programs("mariadb-dump") == []


def test_leaving_a_dump_early_leaves_nothing_behind(mariadb: Target, fresh_schema: FreshSchema) -> None:
    target = fresh_schema(mariadb, BIG + "CREATE TABLE my (a int) ENGINE=MyISAM;")
    with open_dump(target) as dump:
        next(dump.data()[0])
    expect_nothing_left(target)
    execute(target, "INSERT INTO my VALUES (1)")


def test_two_runs_of_one_plan_exclude_each_other_and_a_dead_one_does_not(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    target, other = fresh_schema(mariadb), fresh_schema(mariadb)
    with lock(target, "shop"):
        with lock(target, "Shop"), lock(other, "shop"), pytest.raises(Busy, match="plan shop"), lock(target, "shop"):
            pass
        for number in sessions(target):
            execute(mariadb, f"KILL {number}")
        deadline = time.monotonic() + 10
        while True:
            try:
                with lock(target, "shop"):
                    break
            except Busy:
                assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"password": SecretStr("wrong canary")}, AccessDenied),
        ({"user": "nobody_here"}, AccessDenied),
        ({"database": "no such thing"}, NotFound),
        ({"port": 1}, ConnectionLost),
        ({"host": "/nowhere"}, ConnectionLost),
        ({"host": "host.invalid"}, ConnectionLost),
    ],
)
def test_who_can_not_connect_is_told_why_without_the_password(
    mariadb: Target, change: dict[str, Any], kind: type[BackproofError]
) -> None:
    with pytest.raises(kind) as caught:
        connect(mariadb.model_copy(update=change))
    assert "canary" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t VALUES ('a customer'), ('a customer')",
        "SELECT 'a customer' FROM",
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a customer'",
        "INSERT INTO n VALUES ('a customer''s \\n name')",
        "INSERT INTO n VALUES (CAST('a customer' AS time) + INTERVAL 1 DAY)",
    ],
)
def test_an_error_of_the_server_is_told_without_rows(
    mariadb: Target, fresh_schema: FreshSchema, statement: str
) -> None:
    target = fresh_schema(mariadb, "CREATE TABLE t (a varchar(99) UNIQUE); CREATE TABLE n (a int)")
    with pytest.raises(BackproofError) as caught, connected(target) as session, session.cursor() as cursor:
        cursor.execute(statement)
    assert "customer" not in str(caught.value)


def test_no_secret_is_on_a_command_line_or_left_in_a_file(mariadb: Target, fresh_schema: FreshSchema) -> None:
    target = fresh_schema(mariadb, BIG)
    with open_dump(target) as dump:
        (pid,) = programs("mariadb-dump")
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        (option,) = [word for word in argv if word.startswith(b"--defaults-file=")]
        file = Path(option.partition(b"=")[2].decode())
        assert file.stat().st_mode & 0o777 == 0o600
        assert not any(b"canary" in word for word in argv)
        assert b"canary" not in Path(f"/proc/{pid}/environ").read_bytes()
        drained(dump)
    assert not file.exists()


def test_a_missing_tool_is_told(mariadb: Target, fresh_schema: FreshSchema, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shutil.which("mariadb-dump")
    monkeypatch.setattr(binaries, "programs", lambda *_: [])
    with pytest.raises(BackproofError, match="mariadb-dump"), open_dump(fresh_schema(mariadb, LATER)):
        pass


def test_driver_and_tool_speak_tls_and_trust_whom_they_are_told_to() -> None:
    with workspace("test") as folder:
        certificates(folder)
        settings = {"ssl_cert": f"{folder}/server.pem", "ssl_key": f"{folder}/server.key"}
        with server(settings=settings) as root:
            execute(root, "CREATE DATABASE shop; CREATE TABLE shop.t (a int); INSERT INTO shop.t VALUES (1)")
            execute(root, "SET GLOBAL require_secure_transport = ON")
            for trusted, verified in (("ca", True), ("other", False)):
                options = {"ssl_ca": f"{folder}/{trusted}.pem", "ssl_verify_cert": "true"}
                target = root.to("shop").model_copy(update={"options": options})
                if verified:
                    with open_dump(target) as dump:
                        assert rows(drained(dump)) == {"t": 1}
                    with round_trip(find("mysql"), target, target.to("shop_beside"), jobs=2) as returned:
                        assert returned.differences == ()
                else:
                    with pytest.raises(ConfigurationError, match="certificate"), open_dump(target):
                        pass
                    with dumptool.option_file(target, "mariadb") as file:
                        argv = dumptool.definitions(binaries.find("dump", "mariadb"), "mariadb", file, "shop")
                        finished = subprocesses.run(argv, deadline_seconds=20)
                    error = dumptool.failure("definitions", finished.returncode, finished.stderr)
                    assert isinstance(error, ConfigurationError)
            plain = root.to("shop").model_copy(update={"options": {"ssl_disabled": "true"}})
            with pytest.raises((AccessDenied, ConfigurationError)), open_dump(plain):
                pass
