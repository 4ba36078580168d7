"""What breaks amidst a recovery: the server's disk, the server, who is on it. It goes on, or nothing has changed.

Others than root don't collect this file (``tests/conftest.py``): only root can mount a small disk.
"""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from backproof.engines.mysql import full_disk, moving
from backproof.records import Target
from backproof.recovery import sealing
from backproof.recovery.context import Recovery
from backproof.recovery.run import Outcome, carry_out, perform
from backproof.recovery.steps import Step
from backproof.scratch import unprivileged
from tests.support import mariadb_fixtures, postgres_fixtures
from tests.support.engine_harness import HARNESSES, MYSQL, POSTGRESQL
from tests.support.fault_fixtures import Once
from tests.support.fleets import PLAN
from tests.support.recovering import Live, World, world
from tests.support.restarting import Server, restartable
from tests.support.small_disks import fill, small_disk

NEAR: dict[str, Any] = {"verify_on": "server", "stores": ["near"]}
BIG = {
    POSTGRESQL.engine: "CREATE TABLE big AS SELECT n, repeat(md5(n::text), 30) AS t FROM generate_series(1, 8000) n;",
    MYSQL.engine: "CREATE TABLE big AS SELECT seq, repeat(md5(seq), 30) AS t FROM seq_1_to_8000;",
}
"""More than what is left of a full disk holds."""
CONNECTION = {POSTGRESQL.engine: postgres_fixtures.connection, MYSQL.engine: mariadb_fixtures.connection}

Act = Callable[[], object]
RunStep = Callable[[Recovery, Step], None]


@pytest.fixture(scope="module", params=HARNESSES, ids=lambda harness: harness.engine)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with restartable(request.param) as made:
        yield made


@pytest.fixture(scope="module")
def made(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("broken")
    with world(server.harness, server.target, folder, BIG[server.harness.engine]) as made:
        yield made


@pytest.fixture
def live(made: World) -> Iterator[Live]:
    found = made.live(**NEAR)
    found.run("UPDATE parent SET name = 'gone'")
    yield found
    made.clean()


def around(step: str, before: Act = lambda: None, after: Act = lambda: None) -> RunStep:
    """What happens as a step begins, and as it has ended."""

    def run_step(recovery: Recovery, one: Step) -> None:
        if one.name == step:
            before()
        perform(recovery, one)
        if one.name == step:
            after()

    return run_step


def expect_untouched(live: Live, outcome: Outcome, before: object, databases: set[str]) -> None:
    assert outcome.result == "nothing changed", outcome
    assert live.content() == before
    assert live.world.databases() == databases, outcome.problems
    assert "on" not in live.application.told, "the application was not stopped"
    assert not live.messages or "nothing has changed" in live.messages[-1].subject, "the team knows"


@pytest.mark.parametrize("server", [POSTGRESQL], indirect=True, scope="module", ids=["postgresql"])
def test_a_disk_that_fills_up_during_the_restore_changes_nothing(live: Live, server: Server) -> None:
    before, databases = live.content(), live.world.databases()
    server.settle()  # of what was live for long, all has its place on the disk
    with server.filling() as fill:
        fault = Once(fill)
        recovery = live.begin(no_safety_backup="a test")
        recovery = live.again(recovery.journal.recovery, progress=fault)
        outcome = carry_out(recovery)
        assert fault.fired
        assert live.content() == before
    expect_untouched(live, outcome, before, databases)
    assert "full" in outcome.why or "No space" in outcome.why
    assert live.recover()[1].result == "recovered", "there is room again"


def test_a_server_that_waits_for_room_for_its_log_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MariaDB does for ever, and the restore did with it."""
    monkeypatch.setattr(full_disk, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(full_disk, "LOOK_SECONDS", 0.2)
    with small_disk("64m") as disk, logging_to(disk) as target, world(MYSQL, target, tmp_path, BIG["mysql"]) as made:
        live = made.live(**NEAR)
        live.run("UPDATE parent SET name = 'gone'")
        before = live.content()
        recovery = live.begin(no_safety_backup="a test")
        outcome = carry_out(recovery, around("restore", before=lambda: fill(disk)))
        assert outcome.result == "nothing changed", outcome
        assert "is full: the server has waited for room for 1 seconds" in outcome.why
        assert live.content() == before
        assert "on" not in live.application.told
        assert "nothing has changed" in live.messages[-1].subject
        (disk / "filler").unlink()
        assert live.recover()[1].result == "recovered", "there is room again"


LONG = f"""CREATE PROCEDURE long_winded() BEGIN SET @x = '{"x" * 9000}'; END;"""
"""More than the last page of a log has room for."""


def test_an_exchange_does_not_wait_for_room_for_the_log_and_what_was_live_is_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk is full before its first change, or amidst it: then when there is room again."""
    monkeypatch.setattr(full_disk, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(full_disk, "LOOK_SECONDS", 0.2)
    with small_disk("64m") as disk, logging_to(disk) as target, world(MYSQL, target, tmp_path, LONG) as made:
        live = made.live(**NEAR)
        live.run("UPDATE parent SET name = 'gone'")
        before = live.content()
        recovery = live.begin(no_safety_backup="a test")
        outcome = carry_out(recovery, around("exchange", before=lambda: fill(disk, 0)))
        assert outcome.result == "rolled back", outcome
        assert "is full: the server has waited for room for 1 seconds" in outcome.why
        assert live.application.told[-1] == "off"
        (disk / "filler").unlink()
        assert live.content() == before

        rename = moving.rename
        monkeypatch.setattr(moving, "rename", lambda *given: (fill(disk, 0), rename(*given)))
        recovery, outcome = live.recover(no_safety_backup="a test")
        assert outcome.result == "rollback failed", outcome
        assert "Make room" in outcome.why
        assert "Make room" in outcome.also
        assert live.application.told[-1] == "on"
        (disk / "filler").unlink()
        outcome = carry_out(live.again(recovery.journal.recovery))
        assert (outcome.result, live.application.told[-1]) == ("rolled back", "off")
        assert live.content() == before


@contextmanager
def logging_to(disk: Path) -> Iterator[Target]:
    """A server of MariaDB whose binary log lies on a disk of its own."""
    log = disk / "log"
    log.mkdir()
    if user := unprivileged():
        shutil.chown(log, *user)
    with mariadb_fixtures.server(settings={**mariadb_fixtures.SETTINGS, "log_bin": str(log / "binlog")}) as target:
        yield target


def test_a_server_that_restarts_during_the_restore_is_restored_into_once_more(live: Live, server: Server) -> None:
    fault = Once(server.restart)
    recovery = live.again(live.begin().journal.recovery, progress=fault, sleep=server.wait)
    outcome = carry_out(recovery)
    assert fault.fired
    assert (outcome.result, outcome.why, outcome.problems) == ("recovered", "", ())
    expect_recovered(live)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_server_that_restarts_around_the_exchange_has_it_done_once(live: Live, server: Server, when: str) -> None:
    recovery = live.again(live.begin().journal.recovery, sleep=server.wait)
    outcome = carry_out(recovery, around("exchange", **{when: server.restart}))
    assert (outcome.result, outcome.why, outcome.problems) == ("recovered", "", ())
    expect_recovered(live)


def test_a_server_that_is_gone_as_the_exchange_begins_is_waited_for_by_who_resumes(live: Live, server: Server) -> None:
    before = live.content()
    recovery = live.begin()
    outcome = carry_out(recovery, around("exchange", before=server.stop))
    try:
        assert outcome.result == "rollback failed", "nobody can say what is live"
        assert "maintenance stays on" in live.messages[-1].body
        assert live.application.told[-1] == "on"
    finally:
        server.start()
    outcome = carry_out(live.again(recovery.journal.recovery))
    assert (outcome.result, live.application.told[-1]) == ("rolled back", "off")
    assert live.content() == before
    assert "taken back" in live.messages[-1].subject


def expect_recovered(live: Live) -> None:
    """The live one is what the backup holds, and the application is up."""
    assert live.run("SELECT count(*) FROM parent WHERE name = 'gone'") == [(0,)]
    assert live.run("SELECT count(*) FROM big") == [(8000,)]
    assert live.application.told[-1] == "off"


def test_sessions_that_are_idle_or_hold_a_table_do_not_keep_it_from_its_place(live: Live) -> None:
    connect = CONNECTION[live.world.harness.engine]
    with closing(connect(live.target)) as idle, closing(connect(live.target)) as busy:
        idle.cursor().execute("BEGIN")
        idle.cursor().execute("SELECT * FROM parent")
        busy.cursor().execute("BEGIN")
        busy.cursor().execute("UPDATE parent SET name = 'never committed'")
        recovery, outcome = live.recover()
    assert (outcome.result, outcome.problems) == ("recovered", ())
    expect_recovered(live)
    aside = live.target.to(recovery.request.aside)
    assert live.world.harness.run(aside, "SELECT count(*) FROM parent WHERE name = 'gone'") == [(10,)]


@pytest.mark.parametrize("mode", ["swap", "in-place"])
def test_a_backup_that_is_under_way_is_waited_for(live: Live, mode: str) -> None:
    held, over = threading.Event(), threading.Event()

    def back_up() -> None:
        with live.fleet.engine(PLAN).lock(live.fleet.target(PLAN), PLAN):
            held.set()
            over.wait(60)

    other = threading.Thread(target=back_up)
    other.start()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "waiting for it" in line:
            over.set()

    assert held.wait(60)
    try:
        recovery = live.again(live.begin(mode=mode).journal.recovery, say=say, sleep=lambda _: other.join(60))
        outcome = carry_out(recovery)
    finally:
        over.set()
        other.join()
    assert (outcome.result, outcome.problems) == ("recovered", ())
    assert sum("waiting for it" in line for line in said) == 1, said
    assert recovery.journal.facts("safety")["backup"] is not None


def test_a_backup_that_goes_on_and_on_is_no_reason_to_do_without_one(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, databases = live.content(), live.world.databases()
    monkeypatch.setattr(sealing, "PATIENCE", 3 * sealing.BETWEEN)
    with live.fleet.engine(PLAN).lock(live.fleet.target(PLAN), PLAN):
        _, outcome = live.recover()
    expect_untouched(live, outcome, before, databases)
    assert "under way" in outcome.why
