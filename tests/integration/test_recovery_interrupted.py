"""Ctrl-C at ``backproof recover``, once and again, in one phase after another: it says what there is, and goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from secrets import token_hex

import pytest

from tests.support import mariadb_fixtures, postgres_fixtures
from tests.support.aftermath import expect_soon
from tests.support.engine_harness import MYSQL, POSTGRESQL
from tests.support.fleets import PLAN
from tests.support.proc import comm, running
from tests.support.recovering import Live, World, on_each_engine

CONNECTION = {POSTGRESQL.engine: postgres_fixtures.connection, MYSQL.engine: mariadb_fixtures.connection}
HOLDING = {POSTGRESQL.engine: "COMMENT ON DATABASE {} IS NULL", MYSQL.engine: "SELECT * FROM {}.bare"}
"""A lock that an exchange has to wait for, of a session that it does not find."""
WAITING = {
    POSTGRESQL.engine: "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'ALTER DATABASE%RENAME%'"
    " AND wait_event_type = 'Lock'",
    MYSQL.engine: "SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table metadata lock'",
}
SESSIONS = {
    POSTGRESQL.engine: "SELECT query FROM pg_stat_activity WHERE application_name LIKE 'backproof%'",
    MYSQL.engine: "SELECT INFO FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND USER = 'root'",
}

made = on_each_engine()


class Interrupted:
    """The command, at one live database."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._token = f"LC_BACKPROOF_TEST={token_hex(8)}"

    @property
    def recovery(self) -> str:
        """The newest one."""
        return max(path.name.split(".")[0] for path in self._live.file.parent.rglob("recovery_*.0000_*"))

    def run(self, *arguments: str) -> tuple[int, str]:
        """To its end; how it ended, and what it answered."""
        with self._started(arguments) as process:
            answered, said = process.communicate(timeout=120)
        assert "Traceback" not in said, said
        return process.returncode, answered

    def stop(self, arguments: tuple[str, ...], when: Callable[[], object], sent: signal.Signals, times: int) -> str:
        """Interrupt it; returns what it said as it ended."""
        with self._started(arguments) as process:
            deadline = time.monotonic() + 120
            while not when():
                assert time.monotonic() < deadline, "it did not come so far"
                assert process.poll() is None, process.communicate()
                time.sleep(0.2)
            for _ in range(times):
                os.killpg(process.pid, sent)
                time.sleep(0.1)
            _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert "Traceback" not in said, said
        assert "Exception" not in said, said
        left = running(self._token)
        assert left == [], f"still there: {[comm(each) for each in left]}"
        return said[said.rindex("warning: ") :]

    def _started(self, arguments: tuple[str, ...]) -> "subprocess.Popen[str]":
        variables = dict([self._token.split("=")], XDG_STATE_HOME=str(self._live.file.parent / "state"))
        return subprocess.Popen(
            [Path(sys.executable).with_name("backproof"), "--fleet", str(self._live.file), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | variables,
            start_new_session=True,
        )


@pytest.fixture
def live(made: World) -> Iterator[Live]:
    found = made.live(verify_on="server", stores=["near"])
    found.run("UPDATE parent SET name = 'gone'")
    yield found
    made.clean()


@contextmanager
def held(live: Live) -> Iterator[None]:
    """What a swap must wait for."""
    engine = live.world.harness.engine
    with closing(CONNECTION[engine](live.world.server)) as other:
        other.cursor().execute("BEGIN")
        other.cursor().execute(HOLDING[engine].format(live.target.database))
        yield


def test_a_recovery_is_interrupted_in_one_phase_after_another(live: Live) -> None:
    name, application, command = live.target.database, live.application, Interrupted(live)

    def swapping() -> object:
        return live.world.harness.run(live.world.server, WAITING[live.world.harness.engine])

    application.lingers("commands")  # at which it is at the latest
    begin = ("recover", PLAN, "--reason", "a test", "--yes")
    said = command.stop(begin, lambda: f"{name}_recovered" in str(live.world.databases()), signal.SIGINT, 2)
    resume = ("recover", "--resume", command.recovery)
    assert f"{name} is as it was; the application is not in maintenance; `backproof {' '.join(resume)}` goes on" in said
    expect(live, "gone", stopped=False)

    application.works("commands")
    with held(live):
        said = command.stop(resume, swapping, signal.SIGTERM, 2)
        assert f"{name} may be what it was, or what was restored; THE APPLICATION IS IN MAINTENANCE" in said
    expect(live, "gone", stopped=True)

    application.lingers("tests")
    said = command.stop(resume, lambda: application.told[-1] == "tests", signal.SIGINT, 2)
    assert f"{name} is what was restored, and {name}_before" in said
    assert "THE APPLICATION IS IN MAINTENANCE" in said
    expect(live, "parent 1", stopped=True)

    rollback = ("rollback", command.recovery, "--reason", "a test", "--yes")
    with held(live):
        said = command.stop(rollback, swapping, signal.SIGINT, 2)
        assert f"{name} is being taken back, and may be either; THE APPLICATION IS IN MAINTENANCE" in said
        assert f"`backproof {' '.join(resume)}` goes on taking it back" in said
    expect(live, "parent 1", stopped=True)
    status, answered = command.run(*resume)
    assert (status, "ROLLED BACK" in answered) == (1, True)
    expect(live, "gone", stopped=False)


def expect(live: Live, first: str, stopped: bool) -> None:
    """What is live, whether the application is in maintenance, and that nobody is at it any more."""
    sessions = SESSIONS[live.world.harness.engine]
    expect_soon(lambda: live.world.harness.run(live.world.server, sessions) == [], 10, "a session stays")
    assert live.run("SELECT name FROM parent WHERE id = 1") == [(first,)]
    assert [each for each in live.application.told if each in ("on", "off")][-1:] != (["off"] if stopped else ["on"])
