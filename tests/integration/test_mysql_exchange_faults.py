"""An exchange of schemas on real MariaDB that is cut short: by deaths of ours at every statement, and of the server."""

import itertools
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest

from backproof.engines.mysql import ENGINE, clearing, moving
from backproof.engines.mysql.server import private_server
from backproof.errors import ConnectionLost
from backproof.records import Exchange, Target
from backproof.scratch import workspace
from tests.support.mariadb_fixtures import PASSWORD, connection, execute, server
from tests.support.mysql_exchanges import SMALL, Scene, events, found, state
from tests.support.round_trip import MemorySource, taken


class Death(BaseException):
    """The process is gone; nothing of it is caught."""


_CHANGES = re.compile(r"\s*(CREATE|DROP|ALTER|RENAME|INSERT|COMMIT|GRANT|REVOKE|LOCK|UNLOCK)\b")


class Dying:
    """Dies as it is about to send the Nth statement that changes something."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self.sent: list[str] = []
        query = pymysql.connections.Connection.query

        def counted(made: object, sql: str | bytes, unbuffered: bool = False) -> object:
            text = sql.decode("utf-8", "replace") if isinstance(sql, bytes) else sql
            if _CHANGES.match(text):
                if self.left == 0:
                    raise Death
                self.left -= 1
            done = query(made, sql, unbuffered)
            if _CHANGES.match(text):
                self.sent.append(text)
            return done

        monkeypatch.setattr(pymysql.connections.Connection, "query", counted)

    def after(self, statements: int, act: Callable[[], None]) -> bool:
        """Whether it died."""
        self.left = statements
        try:
            act()
        except Death:
            return True
        finally:
            self.left = -1
        return False


Act = Callable[[Target, Exchange], None]


class Dance:
    """An exchange back and forth, with a death at one statement after another, and what the schema is at either end."""

    def __init__(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        self.live, self.plan = scene.live, scene.planned()
        self.whole = {ENGINE.undo: state(self.live)}
        ENGINE.exchange(self.live, self.plan)
        self.whole[ENGINE.exchange] = state(self.live)
        ENGINE.undo(self.live, self.plan)
        assert self.whole[ENGINE.undo] != self.whole[ENGINE.exchange]
        self._dying = Dying(monkeypatch)
        self.deaths = 0

    def dies(self, act: Act, then: Act, statements: int) -> bool:
        """Whether it did: after so many statements of the one, the other brought all to its own end."""
        self._dying.sent.clear()
        died = self._dying.after(statements, lambda: act(self.live, self.plan))
        if died:
            self.deaths += 1
            then(self.live, self.plan)
        last = then if died else act
        place = "after" if last == ENGINE.exchange else "before"
        assert ENGINE.exchanged(self.live, self.plan) == place, (statements, self._dying.sent)
        assert state(self.live) == self.whole[last], (statements, self._dying.sent)
        if act == then:
            # What destroys is done once, whoever does it.
            destroyed = [sql for sql in self._dying.sent if sql.startswith(("DROP", "RENAME"))]
            assert len(destroyed) == len(set(destroyed)), destroyed
        return died


def test_whoever_dies_at_whichever_statement_another_finishes_it(small: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    dance = Dance(small, monkeypatch)
    for statements in itertools.count():
        forward = dance.dies(ENGINE.exchange, ENGINE.exchange, statements)
        back = dance.dies(ENGINE.undo, ENGINE.undo, statements)
        if not (forward or back):
            break
    assert dance.deaths > 40


def test_whoever_dies_at_whichever_statement_another_undoes_it(small: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    dance = Dance(small, monkeypatch)
    for act, then in ((ENGINE.exchange, ENGINE.undo), (ENGINE.undo, ENGINE.exchange)):
        for statements in itertools.count():  # the last, which nobody dies of, leaves it at the other end
            if not dance.dies(act, then, statements):
                break
    assert dance.deaths > 40


def test_what_a_dead_process_left_on_the_server_is_ended(small: Scene) -> None:
    """Its rename may wait there for a lock long after it, and would go on when nobody expects it."""
    plan = small.planned()
    with closing(connection(small.live.to(""))) as orphan:
        waiting = threading.Thread(target=_quietly, args=(orphan, f"SELECT SLEEP(300), '{plan.facts['marker']}'"))
        waiting.start()
        seen = "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%'"
        deadline = time.monotonic() + 60
        while not execute(small.live.to(""), seen):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        ENGINE.exchange(small.live, plan)
        waiting.join(60)
        assert not waiting.is_alive()
    assert ENGINE.exchanged(small.live, plan) == "after"


def _quietly(made: pymysql.connections.Connection, sql: str) -> None:
    with suppress(pymysql.Error), made.cursor() as cursor:
        cursor.execute(sql)


def test_who_is_interrupted_while_the_rename_waits_does_not_wait_for_it(
    small: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for tables that the one who is interrupted holds."""
    waits, plan, before = moving._await_waiting, small.planned(), state(small.live)

    def interrupted(*given: Any) -> None:
        waits(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(moving, "_await_waiting", interrupted)
        patch.setattr(clearing, "PATIENCE", (300,))
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ENGINE.exchange(small.live, plan)
    assert time.monotonic() - begun < 200
    assert execute(small.live.to(""), "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'RENAME%'") == []
    ENGINE.undo(small.live, plan)
    assert state(small.live) == before


@pytest.mark.parametrize("way", ["exchange", "undo"])
def test_a_server_that_is_killed_amidst_it_has_all_of_it_or_nothing(way: str) -> None:
    tables = "".join(f"CREATE TABLE n{number} (id int PRIMARY KEY);" for number in range(60))
    # On a disk: files in memory are renamed before anybody sees it.
    with workspace("test", Path("/tmp")) as folder:
        with private_server(folder / "own", port=0, password=PASSWORD, durable=True) as target:
            scene = Scene(target.to("live"), target.to("new"), target.to("old"), _filled(target.to("live"), tables))
            execute(scene.live, "DELETE FROM t; DROP VIEW v")
            scene.restored()
            plan, before = scene.planned(), state(scene.live)
            if way == "undo":
                ENGINE.exchange(scene.live, plan)
            [[file]] = execute(target, "SELECT @@pid_file")
            killer = threading.Thread(target=_kill_at_a_rename, args=(target.to(""), int(Path(file).read_text())))
            killer.start()
            try:
                with pytest.raises(ConnectionLost):
                    getattr(ENGINE, way)(scene.live, plan)
            finally:
                killer.join()
        with private_server(folder / "own", port=0, password=PASSWORD, durable=True) as target:
            live = target.to("live")
            assert ENGINE.exchanged(live, plan) == "between"
            if way == "exchange":
                ENGINE.exchange(live, plan)
                scene.expect(live, scene.source)
            ENGINE.undo(live, plan)
            assert state(live) == before


def _filled(live: Target, more: str) -> MemorySource:
    execute(live.to(""), f"CREATE DATABASE {live.database}")
    execute(live, SMALL.replace("{schema}", live.database) + more)
    return taken(ENGINE, live)


def _kill_at_a_rename(target: Target, pid: int) -> None:
    seen = "SELECT STATE FROM information_schema.PROCESSLIST WHERE INFO LIKE 'RENAME%%' AND STATE NOT LIKE 'Waiting%%'"
    with closing(connection(target)) as made, made.cursor() as cursor:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not cursor.execute(seen, ()):
            pass
    os.kill(pid, signal.SIGKILL)


def test_a_replica_is_named_and_follows() -> None:
    settings = {"log_bin": "binlog", "binlog_format": "MIXED"}
    with server(settings={**settings, "server_id": "1"}) as source, server(settings={"server_id": "2"}) as replica:
        execute(source.to(""), "CREATE USER copies@'127.0.0.1' IDENTIFIED BY 'x'")
        execute(source.to(""), "GRANT REPLICATION SLAVE ON *.* TO copies@'127.0.0.1'")
        scene = Scene(source.to("live"), source.to("new"), source.to("old"), _filled(source.to("live"), ""))
        execute(scene.live, "DELETE FROM t; DROP VIEW v")
        scene.restored()
        where = f"MASTER_HOST = '127.0.0.1', MASTER_PORT = {source.port}, MASTER_USER = 'copies', MASTER_PASSWORD = 'x'"
        execute(replica.to(""), [f"CHANGE MASTER TO {where}, MASTER_USE_GTID = slave_pos", "START SLAVE"])
        follow(source, replica)
        [replicating] = ENGINE.obstacles(scene.live)
        assert (replicating.kind, replicating.acceptable) == ("replica", True)
        assert {key: each.acceptable for key, each in found(replica.to("live")).items()} == {
            "replication 127.0.0.1": False
        }
        plan = scene.planned()
        for act in (ENGINE.exchange, ENGINE.undo):
            act(scene.live, plan)
            follow(source, replica)
            # An event made on a source is told not to run on its replicas.
            assert state(replica.to("live"))[:-1] == state(scene.live)[:-1]
            assert events(replica.to("live")) == [("e", "SLAVESIDE_DISABLED")]
        execute(replica.to(""), ["STOP SLAVE", "RESET SLAVE ALL"])


def follow(source: Target, replica: Target) -> None:
    """Wait until it has done all that was done."""
    ((position,),) = execute(source.to(""), "SELECT @@gtid_binlog_pos")
    assert execute(replica.to(""), "SELECT MASTER_GTID_WAIT(%s, 60)", (position,)) == [(0,)]
