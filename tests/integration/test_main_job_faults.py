"""Things break while a backup is sealed: a clear error, nothing half there, earlier backups as they were, a second run.

Tools and servers that are killed, two runs at once, wrong settings, DDL of other sessions.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from backproof.engines.mysql import binaries as mysql_binaries
from backproof.engines.postgresql import ENGINE, binaries
from backproof.errors import (
    AccessDenied,
    BackproofError,
    Busy,
    ConfigurationError,
    ConnectionLost,
    DumpFailed,
    MissingTool,
    NotFound,
    Permanent,
    Transient,
)
from backproof.operations.preflight import preflight, require
from backproof.operations.prove import prove
from backproof.operations.restore import restore
from backproof.scratch import workspace
from tests.support.aftermath import expect_no_sessions, programs
from tests.support.fault_fixtures import Once, Past, Shop, both_kinds, shop_of
from tests.support.fleets import PLAN
from tests.support.kinds import MARIADB, POSTGRESQL, Kind
from tests.support.postgres_fixtures import execute
from tests.support.relay import Relay

FIRST_ROWS = 1024
"""More than the schema: what happens then happens while the first rows are on their way."""


def kill_tool(shop: Shop) -> None:
    newest = programs(shop.kind.tool)[-1]  # several share the rows: losing any of them is enough
    os.kill(newest, signal.SIGKILL)


def terminate(application: str) -> Callable[[Shop], None]:
    query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s AND datname = %s"

    def ended(shop: Shop) -> None:
        assert (True,) in execute(shop.target.to("postgres"), query, (application, shop.target.database))

    return ended


def kill_sessions(text: str) -> Callable[[Shop], None]:
    query = "SELECT id FROM information_schema.processlist WHERE db = %s AND coalesce(info, '') LIKE %s"

    def killed(shop: Shop) -> None:
        sessions = shop.kind.ask(shop.target, query, shop.target.database, text)
        assert sessions
        for (number,) in sessions:
            shop.kind.ask(shop.target, f"KILL {number}")

    return killed


INJURIES = {
    "pg_dump killed": (POSTGRESQL, kill_tool, DumpFailed),
    "pg_dump's session ended": (POSTGRESQL, terminate("backproof pg_dump"), ConnectionLost),
    "the snapshot's session ended": (POSTGRESQL, terminate("backproof snapshot"), ConnectionLost),
    "mariadb-dump killed": (MARIADB, kill_tool, DumpFailed),
    "mariadb-dump's session ended": (MARIADB, kill_sessions("SELECT%big%"), ConnectionLost),
    "all sessions on the schema ended": (MARIADB, kill_sessions("%"), ConnectionLost),
}


@pytest.mark.parametrize("after", [0, FIRST_ROWS], ids=["with the schema", "among the rows"])
@pytest.mark.parametrize(
    ("kind", "injure", "error"), INJURIES.values(), ids=INJURIES, indirect=["kind"], scope="session"
)
def test_a_dump_that_dies_is_an_error_and_no_backup(
    shop: Shop, injure: Callable[[Shop], None], error: type[BackproofError], after: int
) -> None:
    fault = Once(lambda: injure(shop), after)
    with pytest.raises(error) as raised:
        shop.seal(fault)
    assert fault.fired
    assert raised.value.remedy
    shop.expect_nothing_happened()
    shop.expect_a_second_run_succeeds()


@both_kinds
def test_a_connection_that_is_cut_while_it_seals_is_lost_and_no_backup(shop: Shop) -> None:
    with Relay(shop.target.port) as relay:
        fault = Once(relay.cut, FIRST_ROWS)
        with pytest.raises(ConnectionLost) as raised:
            shop.changed(port=relay.port).seal(fault)
    assert relay.cuts
    assert raised.value.remedy
    shop.expect_nothing_happened()
    shop.expect_a_second_run_succeeds()


@both_kinds
def test_a_restore_whose_connection_is_cut_leaves_what_says_that_it_is_not_whole(shop: Shop) -> None:
    shop.seal()
    with Relay(shop.target.port) as relay:
        fault = Once(relay.cut, FIRST_ROWS)
        with pytest.raises(ConnectionLost) as raised:
            restore(shop.changed(port=relay.port).fleet, PLAN, "latest", shop.beside.database, progress=fault)
    assert relay.cuts
    assert raised.value.remedy
    shop.expect_nothing_left()
    shop.expect_an_unfinished_restore_is_told_and_can_be_begun_anew()


SERVERS = {
    "PostgreSQL, SIGQUIT": (POSTGRESQL, signal.SIGQUIT),
    "PostgreSQL, SIGKILL": (POSTGRESQL, signal.SIGKILL),
    "MariaDB, SIGKILL": (MARIADB, signal.SIGKILL),
}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "number"), SERVERS.values(), ids=SERVERS, indirect=["kind"], scope="session")
def test_a_database_server_that_dies_is_a_lost_connection(past: Past, tmp_path: Path, number: signal.Signals) -> None:
    kind = past.kind
    with workspace("test") as folder:
        with kind.start(folder) as server:
            target = server.to("shop")
            kind.execute(server, "CREATE DATABASE shop")
            kind.execute(target, kind.shop)
            shop = shop_of(past, target, tmp_path / "shop")
            fault = Once(lambda: kill_server(kind, folder, number), FIRST_ROWS)
            with pytest.raises(ConnectionLost) as raised:
                shop.seal(fault)
            assert fault.fired
            assert raised.value.remedy
            shop.before.expect_nothing_new(shop.fleet, PLAN)
            assert programs(kind.tool) == []
        with kind.start(folder) as server:
            again = shop.changed(port=server.port)
            again.seal()
            assert again.is_proven()
            fault = Once(lambda: kill_server(kind, folder, number), FIRST_ROWS)
            with pytest.raises(ConnectionLost):
                restore(again.fleet, PLAN, "latest", again.beside.database, progress=fault)
            assert fault.fired
        with kind.start(folder) as server:
            last = again.changed(port=server.port)
            last.target = server.to("shop")
            # What a restore wrote last may be lost with the server, as it may with synchronous_commit off.
            last.expect_an_unfinished_restore_is_told_and_can_be_begun_anew(may_be_gone=True)


def kill_server(kind: Kind, folder: Path, number: signal.Signals) -> None:
    os.kill(int((folder / "data" / kind.pid_file).read_text().split()[0]), number)


@both_kinds
def test_of_two_backups_of_one_plan_at_once_exactly_one_goes_on(shop: Shop) -> None:
    under_way, done = threading.Event(), threading.Event()

    def wait() -> None:
        under_way.set()
        assert done.wait(60)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(shop.seal, Once(wait))
        assert under_way.wait(60)
        try:
            with pytest.raises(Busy, match="plan shop"):
                shop.seal()
        finally:
            done.set()
        first.result()
    shop.expect_nothing_left()


HOLDER = """
import sys, time
from pathlib import Path
from backproof.fleet import Fleet
from backproof.fleet.loading import parse
fleet = Fleet(parse(Path(sys.argv[1]).read_text(), {}, Path(sys.argv[1])))
with fleet.engine("shop").lock(fleet.target("shop"), "shop"):
    print("held", flush=True)
    time.sleep(600)
"""


@both_kinds
def test_a_dead_holder_frees_the_lock(shop: Shop) -> None:
    file = shop.folder / "fleet.yaml"
    file.write_text(json.dumps(shop.description))
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(file)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        try:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(Busy, match="another run holds the lock of plan shop"):
                shop.seal()
            shop.before.expect_nothing_new(shop.fleet, PLAN)
        finally:
            holder.kill()
    expect_no_sessions(shop.kind, shop.target)  # the server hears of it at once
    shop.expect_a_second_run_succeeds()


WRONG = {
    "wrong password": (POSTGRESQL, {"password": "wrong canary"}, AccessDenied, "password authentication failed"),
    "no such database": (POSTGRESQL, {"name": "no_such_database"}, NotFound, "no_such_database"),
    "no such role": (POSTGRESQL, {"user": "no_such_role"}, AccessDenied, "no_such_role"),
    "no server": (POSTGRESQL, {"port": 1}, ConnectionLost, "refused"),
    "no TLS": (POSTGRESQL, {"options": {"sslmode": "require"}}, ConfigurationError, "SSL"),
    "MariaDB, wrong password": (MARIADB, {"password": "wrong canary"}, AccessDenied, "Access denied"),
    "MariaDB, no such schema": (MARIADB, {"name": "no_such_schema"}, NotFound, "no_such_schema"),
    "MariaDB, no such user": (MARIADB, {"user": "no_such_user"}, AccessDenied, "no_such_user"),
    "MariaDB, no server": (MARIADB, {"port": 1}, ConnectionLost, "refused"),
    "MariaDB, no TLS": (MARIADB, {"options": {"ssl_verify_cert": "true"}}, ConfigurationError, "SSL|TLS"),
}


@pytest.mark.parametrize(
    ("kind", "change", "error", "said"), WRONG.values(), ids=WRONG, indirect=["kind"], scope="session"
)
def test_wrong_settings_are_told_before_anything_is_touched(
    shop: Shop, change: dict[str, Any], error: type[BackproofError], said: str
) -> None:
    wrong = shop.changed(**change)
    findings = preflight(wrong.fleet, PLAN)
    with pytest.raises(Transient if issubclass(error, Transient) else Permanent, match=said) as refused:
        require(findings)
    with pytest.raises(error, match=said) as raised:
        wrong.seal()
    for each in (refused.value, raised.value):
        assert "canary" not in str(each)
        assert each.remedy
    shop.expect_nothing_happened()


@pytest.fixture
def no_tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without any database's program, but for what a fleet's tool folders name."""
    monkeypatch.setattr(binaries, "DEBIAN", tmp_path / "no-debian")
    monkeypatch.setattr(binaries, "_WHEEL", "no_such_wheel")
    monkeypatch.setattr(mysql_binaries, "DIRECTORIES", ())
    monkeypatch.setenv("PATH", str(tmp_path))


MISSING = {
    "PostgreSQL": (POSTGRESQL, "no pg_dump of PostgreSQL 18", "apt-get install postgresql-client-18"),
    "MariaDB": (MARIADB, "no mariadb-dump", "mariadb-client"),
}


@pytest.mark.parametrize(("kind", "said", "remedy"), MISSING.values(), ids=MISSING, indirect=["kind"], scope="session")
def test_a_missing_tool_is_told_before_anything_is_touched(
    shop: Shop, said: str, remedy: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    request.getfixturevalue("no_tools")  # after the database is there
    shop.description["tool_folders"] = [str(tmp_path / "nothing-here")]
    lacking = shop.changed()
    with pytest.raises(Permanent, match=said):
        require(preflight(lacking.fleet, PLAN))
    with pytest.raises(MissingTool, match=said) as raised:
        lacking.seal()
    assert remedy in raised.value.remedy
    shop.expect_nothing_happened()


SECRETS = """
CREATE SCHEMA hidden; CREATE TABLE hidden.secret AS SELECT 1 AS a;
CREATE TABLE own (who text); INSERT INTO own VALUES ('somebody');
ALTER TABLE own ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON own USING (who = current_user);
SELECT lo_from_bytea(0, 'large');
REVOKE CONNECT ON DATABASE {database} FROM PUBLIC;
"""


@pytest.mark.parametrize("left_out", ["GRANT CONNECT", "GRANT pg_read_all_data", "ALTER ROLE", "DO $$"])
def test_a_missing_privilege_is_told_before_anything_is_touched(shop: Shop, left_out: str) -> None:
    role, admin = f"reader_{os.getpid()}", shop.target
    execute(admin, SECRETS.replace("{database}", admin.database))
    execute(admin, f"CREATE ROLE {role} LOGIN PASSWORD 'pw'")
    try:
        printed = ENGINE.grants(admin).backup.replace(admin.user, role)
        lines = [line for line in printed.splitlines() if not line.startswith("--")]
        statements = "\n".join(lines).replace("\n  ", " ").replace("\nEND", " END").splitlines()
        (missing,) = (each for each in statements if each.startswith(left_out))
        for statement in statements:
            if statement != missing:
                execute(admin, statement)
        poor = shop.changed(user=role, password="pw")
        with pytest.raises(Permanent):
            require(preflight(poor.fleet, PLAN))
        with pytest.raises((AccessDenied, DumpFailed)) as raised:
            poor.seal()
        assert raised.value.remedy
        shop.expect_nothing_happened()
        execute(admin, missing)
        require(preflight(poor.fleet, PLAN))
        poor.expect_a_second_run_succeeds()
    finally:
        execute(admin, f"DROP OWNED BY {role}; DROP ROLE {role}")


DDL = {
    "truncate": "TRUNCATE big",
    "rewrite": "ALTER TABLE big ALTER COLUMN i TYPE bigint",
    "rename": "ALTER TABLE big RENAME TO large",
    "drop": "DROP TABLE orders, big; DROP FUNCTION touch()",
    "delete": "DELETE FROM big; INSERT INTO orders (note) VALUES ('late')",
    "create": "CREATE TABLE late AS SELECT 1 AS a; CREATE INDEX ON orders (note); DROP TRIGGER touch_orders ON orders",
    "schema": "CREATE SCHEMA other; ALTER TABLE big SET SCHEMA other; CREATE TABLE big AS SELECT 1 AS i",
}


@pytest.mark.parametrize("after", [0, FIRST_ROWS, 9_000_000], ids=["schema", "first rows", "later rows"])
@pytest.mark.parametrize("ddl", DDL)
def test_what_others_change_during_a_seal_is_not_in_it_and_loses_nothing(shop: Shop, ddl: str, after: int) -> None:
    failures: list[psycopg2.Error] = []

    def change() -> None:
        try:
            execute(shop.target, DDL[ddl])
        except psycopg2.Error as error:
            failures.append(error)

    changing = threading.Thread(target=change)  # much of it waits for the dump's locks

    def begin() -> None:
        changing.start()
        changing.join(0.3)

    fault = Once(begin, after)
    sealed = shop.seal(fault)
    assert fault.fired
    changing.join(60)
    assert not changing.is_alive()
    assert not failures
    assert {table.name: table.rows for table in sealed.manifest.tables} == {"public.big": 20000, "public.orders": 500}
    assert "TRIGGER public.orders touch_orders" in sealed.manifest.entries
    assert "TABLE public.late" not in sealed.manifest.entries
    if after == 0:
        proof = prove(shop.fleet, PLAN, sealed.manifest.id, "near")
        assert proof.verdict == "passed", proof.reason
    expect_no_sessions(shop.kind, shop.target)


@pytest.mark.parametrize("ddl", ["truncate", "rename", "drop", "create"])
def test_what_others_change_while_a_seal_begins_is_in_it_whole_or_not_at_all(
    shop: Shop, ddl: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backproof.engines.postgresql import point

    seen, changed = point._relations, []

    def relations(connection: Any) -> dict[int, str]:
        found = seen(connection)
        if not changed:  # between the list of tables and their locks
            changed.append(execute(shop.target, DDL[ddl]))
        return found

    monkeypatch.setattr(point, "_relations", relations)
    sealed = shop.seal()
    assert changed
    rows = {table.name: table.rows for table in sealed.manifest.tables}
    expected = {
        "truncate": {"public.big": 0, "public.orders": 500},
        "rename": {"public.large": 20000, "public.orders": 500},
        "drop": {},
        "create": {"public.big": 20000, "public.late": 1, "public.orders": 500},
    }
    assert rows == expected[ddl]
    proof = prove(shop.fleet, PLAN, sealed.manifest.id, "near")
    assert proof.verdict == "passed", proof.reason
