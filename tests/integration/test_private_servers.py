import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psycopg2
import pytest
from pydantic import SecretStr

from backproof import scratch, subprocesses
from backproof.engines.postgresql import binaries, runtime
from backproof.engines.postgresql import server as server_module
from backproof.engines.postgresql.server import private_server
from backproof.errors import ConfigurationError, MissingTool, Permanent
from backproof.scratch import unprivileged, workspace
from tests.support.ordinary_user import as_ordinary_user
from tests.support.postgres_fixtures import MAJORS, PASSWORD, connection, execute, server

OWNER = """
import sys, threading, time
from pathlib import Path
from backproof.engines.postgresql.server import private_server
from backproof.scratch import workspace
from tests.support.postgres_fixtures import execute
with workspace("scratch", Path(sys.argv[1])) as folder, private_server(16, folder) as target:
    busy = "DO $$ BEGIN LOOP END LOOP; END $$"
    threading.Thread(target=execute, args=(target, busy), daemon=True).start()
    while not execute(target, "SELECT 1 FROM pg_stat_activity WHERE query = %s AND state = 'active'", (busy,)):
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


def postmaster(folder: Path) -> Path:
    """Its folder in /proc."""
    return Path("/proc") / (folder / "data" / "postmaster.pid").read_text().split()[0]


@pytest.mark.parametrize("major", MAJORS)
def test_a_private_server_is_on_a_socket_alone_and_leaves_nothing(major):
    with workspace("test") as folder:
        with private_server(major, folder) as target:
            assert execute(target, "SHOW listen_addresses") == [("",)]
            assert execute(target, "SELECT current_setting('server_version_num')::int / 10000") == [(major,)]
            assert execute(target, "SELECT usesuper FROM pg_user WHERE usename = current_user") == [(True,)]
            assert Path(target.host).is_relative_to(folder)
            data = folder / "data"
            assert working_in(data)
        assert not working_in(data)
        assert not list(folder.glob("socket/*"))
    assert not folder.exists()


@pytest.mark.parametrize("major", MAJORS)
def test_nobody_gets_in_without_the_password(major, place):
    with private_server(major, place, port=0) as target:
        assert target.password is not None
        assert len(target.password.get_secret_value()) >= 24
        on_the_socket = target.model_copy(update={"host": str(place / "socket")})
        for way in (target, on_the_socket):
            assert execute(way, "SELECT 1") == [(1,)]
            with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
                execute(way.model_copy(update={"password": SecretStr("wrong")}), "SELECT 1")
            with pytest.raises(psycopg2.OperationalError, match="no password supplied"):
                execute(way.model_copy(update={"password": None}), "SELECT 1")


def test_other_users_can_reach_neither_data_nor_socket(place):
    with private_server(15, place):
        assert (place / "data").stat().st_mode & 0o077 == 0
        assert (place / "socket").stat().st_mode & 0o077 == 0
        assert (place / "server.log").stat().st_mode & 0o077 == 0


def test_a_password_of_any_characters_is_the_superusers(postgres):
    assert postgres.password == SecretStr(PASSWORD)
    assert execute(postgres, "SELECT 1") == [(1,)]


def test_two_servers_at_once_are_strangers(place):
    with private_server(16, place / "a", port=0) as first, private_server(16, place / "b", port=0) as second:
        execute(first, "CREATE TABLE mine ()")
        assert first.port != second.port
        assert execute(second, "SELECT to_regclass('mine')") == [(None,)]
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            execute(second.model_copy(update={"password": first.password}), "SELECT 1")


def test_servers_that_start_at_the_same_moment_all_start(place):
    answers: list[object] = []

    def start(number: int) -> None:
        with private_server(16, place / str(number), port=0) as target:
            answers.append(execute(target, "SELECT 1"))

    threads = [threading.Thread(target=start, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert answers == [[(1,)]] * 4


@pytest.mark.parametrize("name", ["x" * 120, 'with "quotes", spaces and commas'])
def test_a_folder_unfit_for_a_socket_path_gets_its_socket_elsewhere(place, name):
    with private_server(15, place / name) as target:
        assert execute(target, "SELECT 1") == [(1,)]
        assert len(f"{target.host}/.s.PGSQL.{target.port}") <= 107
        sockets = Path(target.host).parent
    assert not sockets.exists()


def test_settings_are_ours_unless_said(place):
    with private_server(18, place, settings={"wal_level": "logical", "application_name": "it's"}) as target:
        shown = {name: execute(target, f"SHOW {name}")[0][0] for name in ("wal_level", "fsync", "application_name")}
    assert shown == {"wal_level": "logical", "fsync": "off", "application_name": "it's"}


def test_a_throwaway_server_logs_no_statement_and_no_row(place):
    with private_server(16, place) as target:
        with pytest.raises(psycopg2.Error, match="canary"):
            execute(target, "SELECT 'canary'::int")
        assert "canary" not in (place / "server.log").read_text()


def test_a_durable_server_keeps_its_data_for_the_next_start(place):
    for expected in ([], [(1,)]):
        with private_server(16, place, password="the same", durable=True, port=0) as target:
            assert execute(target, "SHOW fsync") == [("on",)]
            execute(target, "CREATE TABLE IF NOT EXISTS kept (a int)")
            assert execute(target, "SELECT a FROM kept") == expected
            execute(target, "INSERT INTO kept VALUES (1)")


def test_many_tables_fit_into_one_transaction(place):
    with private_server(15, place) as target:
        tables = 10_000
        create = "SELECT format('CREATE TABLE t%s ()', n) FROM generate_series(1, {}) n".format
        for start in range(0, tables, 5_000):
            script = execute(target, create(5_000).replace("n)", f"n + {start})", 1))
            execute(target, ";".join(row[0] for row in script))
        names = ", ".join(f"t{number}" for number in range(1, tables + 1))
        execute(target, f"BEGIN; LOCK TABLE {names} IN ACCESS SHARE MODE; COMMIT")


def test_a_server_whose_owner_was_killed_is_swept_with_its_busy_backends(place):
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


def test_a_busy_backend_does_not_outlive_a_postmaster_that_was_killed(place):
    with private_server(16, place) as target:
        query = "DO $$ BEGIN LOOP END LOOP; END $$"
        client = threading.Thread(target=_quietly, args=(target, query))
        client.start()
        while not execute(target, "SELECT 1 FROM pg_stat_activity WHERE query = %s AND state = 'active'", (query,)):
            time.sleep(0.02)
        os.kill(int(postmaster(place).name), signal.SIGKILL)
    assert not working_in(place)
    client.join(10)
    assert not client.is_alive()


def test_kill_all_ends_a_private_server_and_its_context_still_cleans_up():
    shared = subprocesses.live()
    with workspace("test") as folder, private_server(16, folder) as target:
        begun = time.monotonic()
        subprocesses.kill_all(spare=shared)
        assert time.monotonic() - begun < 10
        with pytest.raises(psycopg2.OperationalError):
            execute(target, "SELECT 1")
    assert not folder.exists()


def test_a_missing_version_says_how_to_get_it(place):
    with pytest.raises(MissingTool, match=r"no postgres of PostgreSQL 9 here; found: .*apt-get install postgresql-9"):
        private_server(9, place).__enter__()


def test_an_unknown_locale_is_told_as_such(place):
    with pytest.raises(ConfigurationError, match="refuses the locale 'xx_XX'"):
        private_server(16, place, locale="xx_XX").__enter__()


def test_a_server_that_can_not_start_says_why(place):
    with pytest.raises(Permanent, match=r"does not start: .*shared_buffers"):
        private_server(16, place, settings={"shared_buffers": "many"}).__enter__()
    assert not working_in(place)


def test_a_taken_port_says_so(place):
    with (
        private_server(16, place / "a", port=0) as target,
        pytest.raises(Permanent, match=r"does not start: .*Address already in use"),
    ):
        private_server(16, place / "b", port=target.port).__enter__()


def test_a_free_port_that_somebody_else_takes_first_is_given_up(place, monkeypatch):
    with private_server(16, place / "a", port=0) as target:
        free = server_module.free_ports
        ports = [target.port]
        monkeypatch.setattr(server_module, "free_ports", lambda count: [ports.pop()] if ports else free(count))
        with private_server(16, place / "b", port=0) as other:
            assert not ports
            assert execute(other, "SELECT 1") == [(1,)]


def test_an_ordinary_user_runs_a_server_without_any_root():
    def use() -> tuple[object, bool]:
        with workspace("test") as folder:
            with private_server(15, folder, port=0) as target:
                answer = execute(target, "SELECT 1")
            return answer, folder.stat().st_mode & 0o077 == 0

    assert as_ordinary_user(use) == ([(1,)], True)


class TestAsRoot:
    """PostgreSQL refuses to run as root, and the user it runs as can't go where only root may."""

    __test__ = unprivileged() is not None  # an ordinary user has none of this trouble

    @pytest.fixture(autouse=True)
    def _a_cache_of_its_own(self, monkeypatch, place):
        monkeypatch.setattr(runtime, "CACHE", place / "cache")

    @pytest.fixture
    def closed(self, tmp_path, place):
        """An installation that only root can enter, as in a checkout below a 0700 home."""
        source = binaries.find("postgres", 18).parent.parent
        home = tmp_path / "site-packages" / source.parent.name / source.name
        shutil.copytree(source, home, symlinks=True)
        shutil.copytree(
            source.parent.parent / f"{source.parent.name}.libs",
            tmp_path / "site-packages" / f"{source.parent.name}.libs",
        )
        tmp_path.chmod(0o700)
        return home / "bin"

    def test_the_server_runs_as_nobody(self, place):
        with private_server(15, place):
            assert postmaster(place).stat().st_uid == scratch.NOBODY

    def test_programs_below_a_private_folder_are_brought_to_where_nobody_can_run_them(self, closed, place):
        for name in ("first", "again"):
            with private_server(18, place / name, tool_folders=[closed]) as target:
                assert execute(target, "SELECT 1") == [(1,)]
                assert (postmaster(place / name) / "exe").readlink().is_relative_to(place / "cache")
        assert len(list((place / "cache").iterdir())) == 1

    def test_where_the_cache_can_not_be_written_the_servers_own_folder_serves(self, closed, place, monkeypatch):
        (place / "file").write_text("in the way")
        monkeypatch.setattr(runtime, "CACHE", place / "file" / "cache")
        with private_server(18, place / "server", tool_folders=[closed]) as target:
            assert execute(target, "SELECT 1") == [(1,)]

    def test_two_processes_make_the_same_copy_at_once(self, closed, place):
        installation = next(each for each in binaries.folders([closed]) if each.bin == closed)
        made: list[Path] = []
        threads = [
            threading.Thread(target=lambda: made.append(runtime.runnable(installation, place))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 4
        assert len(set(made)) == 1
        assert [path.name for path in (place / "cache").iterdir() if path.name.startswith(".making")] == []

    @pytest.mark.parametrize("planted", ["owner", "writable", "writable file"])
    def test_a_copy_that_another_user_could_have_planted_is_not_run(self, closed, place, planted):
        installation = next(each for each in binaries.folders([closed]) if each.bin == closed)
        copy = runtime.runnable(installation, place)
        if planted == "owner":
            os.chown(copy / "postgres", scratch.NOBODY, -1)
        elif planted == "writable":
            copy.chmod(0o777)
        else:
            (copy / "initdb").chmod(0o757)
        shutil.rmtree(place / "spare", ignore_errors=True)
        (place / "spare").mkdir(mode=0o755)
        assert runtime.runnable(installation, place / "spare").is_relative_to(place / "spare")

    def test_programs_that_are_not_roots_are_copied_so_that_their_owner_can_not_change_them(self, closed, place):
        os.chown(closed / "postgres", 12345, 12345)
        installation = next(each for each in binaries.folders([closed]) if each.bin == closed)
        copied = runtime.runnable(installation, place) / "postgres"
        assert copied.stat().st_uid == 0
        assert copied.stat().st_nlink == 1

    def test_a_folder_that_the_server_can_not_enter_is_refused_with_what_to_do(self, tmp_path):
        tmp_path.chmod(0o700)
        with pytest.raises(
            ConfigurationError, match=r"can't be entered by the user that servers run as.*Choose a scratch"
        ):
            private_server(15, tmp_path / "server").__enter__()

    def test_root_writes_nothing_where_nobody_could_have_planted_a_link(self, place):
        with private_server(16, place):
            inside = list((place / "data").rglob("*"))
        assert {path.lstat().st_uid for path in inside if path.exists()} == {scratch.NOBODY}


def _quietly(target, query):
    with suppress(psycopg2.Error):
        execute(target, query)


def test_the_fixtures_of_a_test_start_a_server_of_its_own():
    with server(15) as target, connection(target) as connected:
        assert connected.server_version // 10000 == 15
