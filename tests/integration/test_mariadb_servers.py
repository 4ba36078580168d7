"""Private MariaDB servers: nobody else's, soon there, surely gone; and those that proofs run on."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pydantic import SecretStr

from backproof import scratch, subprocesses
from backproof.engines.mysql import binaries, system_tables
from backproof.engines.mysql import server as server_module
from backproof.engines.mysql.connect import connected, rows, translate
from backproof.engines.mysql.scratch import scratch as scratch_server
from backproof.engines.mysql.server import private_server
from backproof.errors import CannotProve, ConfigurationError, MissingTool, NoSpace, Permanent, RestoreFailed
from backproof.records import Database, Target
from backproof.scratch import unprivileged, workspace
from tests.support.manifests import TAKEN_AT, manifest_of
from tests.support.mariadb_fixtures import PASSWORD, connection, execute, log_of, server
from tests.support.ordinary_user import as_ordinary_user
from tests.support.small_disks import small_disk

OWNER = """
import sys, threading, time
from pathlib import Path
from backproof.engines.mysql.server import private_server
from backproof.scratch import workspace
from tests.support.mariadb_fixtures import execute
with workspace("scratch", Path(sys.argv[1])) as folder, private_server(folder) as target:
    busy = "SELECT count(*) FROM seq_1_to_1000000000 a JOIN seq_1_to_1000000000 b"
    threading.Thread(target=execute, args=(target, busy), daemon=True).start()
    while not execute(target, "SELECT 1 FROM information_schema.processlist WHERE info = %s", (busy,)):
        time.sleep(0.05)
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def place():
    """A folder that the server's user can enter; pytest's own is closed to it."""
    with workspace("test") as folder:
        yield folder


def working_in(folder: Path) -> list[int]:
    return scratch._working_in(folder.resolve())


def on_the_socket(target, folder: Path):
    return target.model_copy(update={"host": str(folder / "socket")})


def test_a_script_may_hold_triggers_and_routines(mariadb, fresh_schema):
    target = fresh_schema(
        mariadb,
        """
        CREATE TABLE t (a int PRIMARY KEY AUTO_INCREMENT, b varchar(20));
        CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW
            BEGIN IF NEW.b = 'x;' THEN SET NEW.b = 'y'; END IF; END;
        CREATE PROCEDURE p() BEGIN INSERT INTO t (b) VALUES ('x;'); SELECT 1; END;
        INSERT INTO t (b) VALUES ('ü€😀'), ('x;');
        CALL p();
        """,
    )
    assert execute(target, "SELECT b FROM t; DO 1") == [("ü€😀",), ("y",), ("y",)]


def test_the_fixtures_are_as_they_say(mariadb, mariadb_plain, fresh_schema, fresh_account):
    assert mariadb.password == SecretStr(PASSWORD)
    facts = "SELECT @@log_bin, @@event_scheduler, convert_tz('2025-07-01', 'UTC', 'Europe/Berlin')"
    assert execute(mariadb, facts) == [(1, "ON", datetime(2025, 7, 1, 2))]
    assert execute(mariadb_plain, facts) == [(0, "OFF", None)]
    schema = fresh_schema(mariadb, name="odd `name`; -- x", options="CHARACTER SET latin1")
    account = fresh_account(schema, "SELECT ON *.*")
    assert execute(account, "SELECT @@character_set_database, @@lower_case_table_names") == [("latin1", 0)]
    assert log_of(mariadb).is_file()


def test_a_private_server_is_on_a_socket_alone_and_leaves_nothing():
    with workspace("test") as folder:
        with private_server(folder) as target:
            assert execute(target, "SELECT @@skip_networking, @@log_bin, @@event_scheduler") == [(1, 0, "OFF")]
            assert target.host == str(folder / "socket")
            assert (folder / "socket" / "mysqld.sock").is_socket()
            assert working_in(folder / "data")
        assert not working_in(folder / "data")
    assert not folder.exists()


def test_nobody_gets_in_without_the_password(place):
    with private_server(place, port=0) as target:
        assert target.password is not None
        assert len(target.password.get_secret_value()) >= 24
        for way in (target, on_the_socket(target, place)):
            assert execute(way, "SELECT 1") == [(1,)]
            for change in ({"password": SecretStr("wrong")}, {"password": None}, {"user": "x"}):
                with pytest.raises(pymysql.OperationalError, match="Access denied"):
                    execute(way.model_copy(update=change), "SELECT 1")


def test_there_is_one_account_for_each_way_in_and_no_test_database(place):
    accounts = (
        "SELECT concat(user, '@', host) FROM mysql.user WHERE NOT password_expired = 'Y' AND user <> 'mariadb.sys'"
    )
    with private_server(place / "a") as target:
        assert execute(target, accounts) == [("root@localhost",)]
        known = {name for (name,) in execute(target, "SHOW DATABASES")}
        assert known == {"information_schema", "mysql", "performance_schema", "sys"}
        assert execute(target, "SELECT count(*) FROM mysql.db") == [(0,)]
        assert execute(target, "SELECT concat(user, '@', host) FROM mysql.proxies_priv") == [("root@localhost",)]
    with private_server(place / "b", port=0) as target:
        assert sorted(execute(target, accounts)) == [("root@127.0.0.1",), ("root@localhost",)]
        assert "WITH GRANT OPTION" in execute(target, "SHOW GRANTS FOR root@'127.0.0.1'")[0][0]


def test_other_users_can_reach_neither_data_nor_socket(place):
    with private_server(place):
        for name in ("data", "socket", "tmp", "server.log"):
            assert (place / name).stat().st_mode & 0o077 == 0, name


def test_the_password_is_on_no_disk_and_no_command_line(place):
    with private_server(place, password="canary-word", port=0, settings={"log_bin": "binlog"}) as target:
        (pid,) = working_in(place / "data")
        assert b"canary-word" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"canary-word" not in Path(f"/proc/{pid}/environ").read_bytes()
        execute(target, "FLUSH LOGS")
        for path in place.rglob("*"):
            assert not path.is_file() or b"canary-word" not in path.read_bytes(), path


def test_a_password_of_any_characters_is_the_superusers(place):
    password = "'\"\\%_;--\n\t€\x1a"
    with private_server(place, password=password, settings={"sql_mode": "NO_BACKSLASH_ESCAPES"}) as target:
        assert execute(target, "SELECT 1") == [(1,)]


def test_two_servers_at_once_are_strangers(place):
    with private_server(place / "a", port=0) as first, private_server(place / "b", port=0) as second:
        execute(first, "CREATE DATABASE mine")
        assert first.port != second.port
        assert execute(second, "SHOW DATABASES LIKE 'mine'") == []
        with pytest.raises(pymysql.OperationalError, match="Access denied"):
            execute(second.model_copy(update={"password": first.password}), "SELECT 1")


def test_servers_that_start_at_the_same_moment_all_start(place):
    answers: list[object] = []

    def start(number: int) -> None:
        with private_server(place / str(number), port=0) as target:
            answers.append(execute(target, "SELECT 1"))

    threads = [threading.Thread(target=start, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert answers == [[(1,)]] * 4


@pytest.mark.parametrize("name", ["x" * 120, "with \"quotes\", spaces, 'more', # : and = \\ commas"])
def test_a_folder_of_any_name_will_do(place, name):
    with private_server(place / name) as target:
        with connection(target) as connected, connected.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE mysql.t (a int) ENGINE=MyISAM")
            assert len(list((place / name / "tmp").iterdir())) == 2
        sockets = Path(target.host)
        assert sockets.is_relative_to(place) or sockets.parent.parent == Path("/tmp")
    assert sockets.is_relative_to(place) or not sockets.parent.exists()


def test_settings_are_ours_unless_said(place):
    with private_server(place, settings={"innodb_doublewrite": "1", "innodb_page_size": "8K"}) as target:
        names = "@@innodb_doublewrite, @@innodb_page_size, @@innodb_flush_log_at_trx_commit"
        assert execute(target, f"SELECT {names}") == [(1, 8192, 0)]


def test_a_throwaway_server_logs_no_statement_and_no_row(place):
    with private_server(place) as target:
        with pytest.raises(pymysql.Error, match="canary"):
            execute(target, "SELECT 1 FROM canary")
        (pid,) = working_in(place / "data")
        busy = threading.Thread(target=_quietly, args=(target, "SELECT 'canary', sleep(60)"))
        busy.start()
        while not execute(target, "SELECT 1 FROM information_schema.processlist WHERE state = 'User sleep'"):
            time.sleep(0.02)
        os.kill(pid, signal.SIGSEGV)
        busy.join(20)
        assert "canary" not in (place / "server.log").read_text()


def test_a_durable_server_keeps_its_data_for_the_next_start_whatever_its_password(place):
    for number, (stop, password) in enumerate(((signal.SIGKILL, "a"), (None, "b"), (None, "c"))):
        with private_server(place, password=password, durable=True, port=0) as target:
            assert execute(target, "SELECT @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite") == [(1, 1)]
            execute(target, ["CREATE TABLE IF NOT EXISTS mysql.kept (a int) ENGINE=InnoDB"])
            assert execute(target, "SELECT count(*) FROM mysql.kept") == [(number,)]
            execute(target, "INSERT INTO mysql.kept VALUES (1)")
            if stop:
                os.kill(working_in(place / "data")[0], stop)


def test_what_was_not_made_to_the_end_is_made_anew(place):
    (place / "data").mkdir()
    (place / "data" / "ibdata1").write_text("half")
    with private_server(place) as target:
        assert execute(target, "SELECT 1") == [(1,)]


def test_a_server_whose_owner_was_killed_is_swept_though_it_is_busy(place):
    ours = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([ours, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", OWNER, str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as owner:
        assert owner.stdout is not None
        try:
            folder = Path(owner.stdout.readline().strip())
        finally:
            owner.send_signal(signal.SIGKILL)
    assert working_in(folder), "a killed owner leaves its server"
    swept = scratch.sweep(place)
    assert str(folder) in swept
    assert not folder.exists()
    assert not working_in(folder)


def test_kill_all_ends_a_private_server_and_its_context_still_cleans_up():
    shared = subprocesses.live()
    with workspace("test") as folder, private_server(folder) as target:
        begun = time.monotonic()
        subprocesses.kill_all(spare=shared)
        assert time.monotonic() - begun < 10
        with pytest.raises(pymysql.OperationalError):
            execute(target, "SELECT 1")
    assert not folder.exists()


def test_a_missing_version_says_how_to_get_it(place):
    told = r"no mariadbd of MariaDB 99\.1 or newer here; found: .*apt-get install .*mariadb-server-core"
    with pytest.raises(MissingTool, match=told):
        private_server(place, version="99.1").__enter__()
    with pytest.raises(MissingTool, match=r"no mysqld of MySQL here; found: none\. Install it with"):
        private_server(place, flavour="mysql").__enter__()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"innodb_buffer_pool_size": "none"}, r"no system tables can be made in .*: .*none"),
        ({"innodb_page_size": "5000"}, "no system tables can be made in "),
        ({"plugin_load_add": "nothing_such", "plugin_maturity": "wrong"}, "does not start: .*wrong"),
        ({"no_such_setting": "1"}, "does not start: .*no-such-setting"),
        ({"collation_server": "klingon_ci"}, "does not start: .*klingon_ci"),
    ],
)
def test_a_server_that_can_not_start_says_why(place, settings, told):
    with pytest.raises(Permanent, match=told):
        private_server(place, settings=settings).__enter__()
    assert not working_in(place)


def test_a_taken_port_says_so_and_is_not_asked_for_a_password(place):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        other.settimeout(0)
        with pytest.raises(Permanent, match=r"does not start: .*Address already in use"):
            private_server(place, port=other.getsockname()[1]).__enter__()
        with pytest.raises(BlockingIOError):
            other.accept()


def test_a_free_port_that_somebody_else_takes_first_is_given_up(place, monkeypatch):
    with private_server(place / "a", port=0) as target:
        free = server_module.free_ports
        ports = [target.port]
        monkeypatch.setattr(server_module, "free_ports", lambda count: [ports.pop()] if ports else free(count))
        with private_server(place / "b", port=0) as other:
            assert not ports
            assert execute(other, "SELECT 1") == [(1,)]


def test_an_ordinary_user_runs_a_server_without_any_root():
    def use() -> tuple[object, bool]:
        with workspace("test") as folder:
            with private_server(folder, port=0) as target:
                answer = execute(target, "SELECT 1")
            return answer, folder.stat().st_mode & 0o077 == 0

    assert as_ordinary_user(use) == ([(1,)], True)


class TestAsRoot:
    """The server runs as a user that can't go where only root may."""

    __test__ = unprivileged() is not None  # an ordinary user has none of this trouble

    def test_the_server_runs_as_nobody(self, place):
        with private_server(place):
            (pid,) = working_in(place / "data")
            assert Path(f"/proc/{pid}").stat().st_uid == scratch.NOBODY
            inside = list((place / "data").rglob("*"))
        assert {path.lstat().st_uid for path in inside if path.exists()} == {scratch.NOBODY}

    def test_a_folder_that_the_server_can_not_enter_is_refused_with_what_to_do(self, tmp_path):
        tmp_path.chmod(0o700)
        with pytest.raises(
            ConfigurationError, match=r"can't be used by the user that servers run as.*Choose a scratch"
        ):
            private_server(tmp_path / "server").__enter__()

    def test_a_program_that_the_server_can_not_run_is_told_as_such(self, place, tmp_path):
        tmp_path.chmod(0o700)
        found = binaries.find("server", "mariadb")
        (tmp_path / "bin").mkdir()
        (tmp_path / "share").symlink_to(system_tables.home(binaries.best("server", "mariadb")) / "share")
        shutil.copy(found, tmp_path / "bin" / "mariadbd")
        with pytest.raises(MissingTool, match=r"cannot run .*/mariadbd: Permission denied"):
            private_server(place, tool_folders=[tmp_path]).__enter__()

    @pytest.mark.parametrize("size", ["40m", "68m", "85m"])
    def test_a_server_that_has_no_room_to_start_says_no_space(self, size):
        with (
            small_disk(size) as disk,
            workspace("test", disk) as folder,
            pytest.raises(NoSpace, match=r"no room for a .*server in .*Free some space"),
        ):
            private_server(folder, settings={"innodb_log_file_size": "64M"}).__enter__()

    @pytest.mark.parametrize("engine", ["InnoDB", "MyISAM", "Aria"])
    def test_a_scratch_server_whose_disk_is_full_says_no_space_and_waits_for_nobody(self, engine):
        rows = "SELECT repeat(md5(seq), 20) FROM seq_1_to_1000000"
        begun = time.monotonic()
        with small_disk("200m") as disk:
            with pytest.raises(NoSpace, match=r"the disk of .* is full.*Make room") as raised:
                restore_onto(disk, f"CREATE TABLE t (a text) ENGINE={engine}", f"INSERT INTO t {rows}")
            assert str(disk) in raised.value.fact
            assert list(disk.iterdir()) == []
        assert time.monotonic() - begun < 40

    def test_keys_for_which_there_is_no_room_are_no_verdict_on_them(self):
        rows = "SELECT repeat(md5(seq), 20) FROM seq_1_to_60000"
        keys = "ALTER TABLE t ADD KEY (a), ADD KEY (a), ADD KEY (a)"
        with small_disk("200m") as disk, pytest.raises(NoSpace, match=r"the disk of .* is full"):
            restore_onto(disk, "CREATE TABLE t (a varchar(700)) CHARACTER SET latin1", f"INSERT INTO t {rows}", keys)


def restore_onto(disk: Path, *statements: str) -> None:
    """As a restore does it, which takes what it does not understand for the archive's fault."""
    with workspace("scratch", disk) as folder, scratch_server(archive(), folder) as target:
        try:
            execute(target, statements)
        except pymysql.Error as error:
            raise translate(error, RestoreFailed) from None


def archive(entries: dict[str, str] | None = None, **database: Any):
    facts: dict[str, Any] = {
        "engine": "mysql",
        "server_version": "10.11.6-MariaDB-log",
        "tool_version": "10.11.6",
        "taken_at": TAKEN_AT,
        "live_bytes": 8_000_000,
        "server": {},
        "settings": {"charset": "utf8mb4", "collation": "utf8mb4_general_ci"},
        "globals": {},
    }
    return manifest_of(database=Database(**{**facts, **database}), entries=entries or {})


def test_a_scratch_schema_has_the_archives_character_set_and_what_else_decides(place):
    variables = {
        "lower_case_table_names": "1",
        "innodb_page_size": "4096",
        "explicit_defaults_for_timestamp": "OFF",
        "innodb_strict_mode": "OFF",
        "collation_server": "latin1_swedish_ci",
        "character_set_server": "latin1",
        "sql_mode": "",
        "time_zone": "SYSTEM",
        "event_scheduler": "ON",
        "max_allowed_packet": "16777216",
    }
    manifest = archive(
        settings={"charset": "utf8mb3", "collation": "utf8mb3_bin"},
        server={"variables": variables, "engines": {"InnoDB": 3, "MyISAM": 1, "": 1}},
    )
    with scratch_server(manifest, place) as target:
        assert target.database == "restored"
        assert execute(target, "SELECT @@character_set_database, @@collation_database") == [("utf8mb3", "utf8mb3_bin")]
        assert execute(target, "SHOW TABLES") == []
        alike = "@@lower_case_table_names, @@innodb_page_size, @@explicit_defaults_for_timestamp, @@innodb_strict_mode"
        assert execute(target, f"SELECT {alike}, @@collation_server") == [(1, 4096, 0, 0, "latin1_swedish_ci")]
        purposely = "@@time_zone, @@event_scheduler, @@log_bin_trust_function_creators, @@skip_networking"
        assert execute(target, f"SELECT {purposely}") == [("+09:00", "OFF", 1, 1)]
        [(mode, packet)] = execute(target, "SELECT @@sql_mode, @@max_allowed_packet")
        assert "STRICT_ALL_TABLES" in mode
        assert packet == 2**30
    with pytest.raises(pymysql.OperationalError):
        execute(target, "SELECT 1")


def test_an_archive_of_an_older_server_is_proven_on_a_newer_one(place):
    with scratch_server(archive(server_version="10.5.22-MariaDB"), place) as target:
        assert execute(target, "SELECT @@version LIKE '10.5.%'") == [(0,)]


def test_events_may_name_time_zones(place):
    with scratch_server(archive({"EVENT ev": "0" * 64}), place) as target:
        execute(target, "SET time_zone = 'Asia/Tokyo'; CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO DO 1")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"server_version": "99.1.2-MariaDB"}, r"no mariadbd of MariaDB 99\.1 or newer.*apt-get install.*verify_on"),
        ({"server_version": "8.0.36"}, r"no mysqld of MySQL 8\.0 or newer.*Or set verify_on: server"),
        ({"live_bytes": 10**18}, r"a proof needs 1300000000\.\d GB in .*Make room"),
        ({"settings": {"charset": "klingon"}}, r"no schema that fits can be made here: .*klingon.*verify_on"),
        ({"server": {"variables": {"lower_case_table_names": "2"}}}, r"lower_case_table_names=2.*verify_on"),
        ({"server": {"variables": {"innodb_page_size": "7777"}}}, r"no server that fits runs here.*verify_on"),
        ({"server": {"variables": {"collation_server": "x_ci"}}}, r"no server that fits runs here: .*x_ci.*verify_on"),
        ({"server": {"engines": {"InnoDB": 2, "ROCKSDB": 1}}}, r"lacks the storage engine ROCKSDB.*Install its plugin"),
    ],
)
def test_what_is_missing_here_is_no_verdict_but_told_with_what_to_do(place, change, told):
    with pytest.raises(CannotProve, match=told):
        scratch_server(archive(**change), place).__enter__()
    assert not working_in(place)


def test_time_zones_that_are_not_here_are_no_verdict(place, monkeypatch):
    monkeypatch.setattr(system_tables, "ZONES", place / "none")
    with pytest.raises(CannotProve, match=r"has no time zones: .*apt-get install tzdata.*Or set verify_on"):
        scratch_server(archive({"EVENT ev": "0" * 64}), place).__enter__()


def test_an_error_in_a_proof_leaves_no_server_and_stays_what_it_is(place):
    for error in (ZeroDivisionError(), RestoreFailed("refused")):
        with pytest.raises(type(error)), scratch_server(archive(), place) as target:
            raise error
        with pytest.raises(pymysql.OperationalError):
            execute(target, "SELECT 1")
        shutil.rmtree(place / "server")


def _quietly(target, query):
    with suppress(pymysql.Error):
        execute(target, query)


def test_the_fixtures_of_a_test_start_a_server_of_its_own():
    with server() as target:
        assert "MariaDB" in execute(target, "SELECT @@version")[0][0]


def test_a_connection_that_verifies_nothing_reads_no_certificates(
    mariadb: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(**_: Any) -> Any:
        raise AssertionError("certificates were read")

    monkeypatch.setattr(ssl, "create_default_context", read)
    with connected(mariadb) as first:
        assert rows(first, "SELECT 1") == [(1,)]
