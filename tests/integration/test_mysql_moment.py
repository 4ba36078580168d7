"""A dump of a real MariaDB server is of one moment, or it is an error; whatever happens meanwhile."""

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pymysql
import pytest

from backproof import subprocesses
from backproof.engines import Piece
from backproof.engines.mysql import binaries, locks, point, runs
from backproof.engines.mysql import dump as dump_module
from backproof.engines.mysql.dump import open_dump
from backproof.engines.mysql.locks import GLOBAL, STAGES, Method
from backproof.errors import (
    Busy,
    ConnectionLost,
)
from backproof.records import Target
from tests.support.mariadb_fixtures import FreshSchema, connection, execute
from tests.support.mysql_dumps import (
    BIG,
    LATER,
    body,
    drained,
    dump_and_injure,
    expect_nothing_left,
    keys,
    rows,
)

BUSY_SCHEMA = "".join(
    f"CREATE TABLE t{n} (id int PRIMARY KEY, v bigint NOT NULL, pad varchar(300));"
    f"INSERT INTO t{n} SELECT seq, 1000, repeat('x', 300) FROM seq_1_to_1000;"
    for n in range(5)
)

ROW = re.compile(rb"^\((\d+),(-?\d+),", re.MULTILINE)


@contextmanager
def meanwhile(target: Target, script: str | Sequence[str]) -> Iterator[threading.Thread]:
    """Somebody runs statements, which may have to wait, while the context lasts; they must have been done after it."""
    failures: list[str] = []

    def work() -> None:
        try:
            execute(target, script)
        except pymysql.Error as error:
            failures.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.3)
    try:
        yield thread
    finally:
        thread.join(60)
        assert not thread.is_alive()
        assert not failures


@contextmanager
def transfers(target: Target, writers: int = 6) -> Iterator[Callable[[], int]]:
    """Many clients move amounts between tables: the sum over all of them is the same at every moment."""
    stop = threading.Event()
    done: Counter[int] = Counter()

    def work(number: int) -> None:
        draw = random.Random(number)
        with closing(connection(target)) as session, session.cursor() as cursor:
            while not stop.is_set():
                one, other = draw.sample(range(5), 2)
                amount = draw.randrange(100)
                with suppress(pymysql.OperationalError):  # a deadlock among writers: rolled back
                    cursor.execute("BEGIN")
                    cursor.execute(f"UPDATE t{one} SET v = v - {amount} WHERE id = {draw.randrange(1, 1001)}")
                    cursor.execute(f"UPDATE t{other} SET v = v + {amount} WHERE id = {draw.randrange(1, 1001)}")
                    cursor.execute("COMMIT")
                    done[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: sum(done.values())
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def sums(target: Target, methods: Sequence[Method] | None) -> tuple[int, dict[str, int], int, float]:
    """Sum and rows over all streams of one dump, how many streams there were, how long writers were held."""
    with open_dump(target, 4, methods=methods) as dump:
        streams = dump.data()
        with ThreadPoolExecutor(len(streams)) as pool:
            found = [piece for pieces in pool.map(list, streams) for piece in pieces]
        values = [int(value) for piece in found for _, value in ROW.findall(piece.body)]
        assert rows(found) == dump.inventory().rows
        held = dump.database.server["writers_held_seconds"]
    assert isinstance(held, float)
    return sum(values), rows(found), len(streams), held


ALONE = Method(
    "LOCK TABLES … READ",
    ("LOCK TABLES " + ", ".join(f"t{n} READ" for n in range(5)),),
    "UNLOCK TABLES",
    everywhere=False,
)


@pytest.mark.parametrize("method", [STAGES, GLOBAL, ALONE], ids=lambda method: method.name.split()[0])
def test_all_streams_are_of_one_moment_while_many_write(
    mariadb: Target, fresh_schema: FreshSchema, shared: None, method: Method
) -> None:
    target = fresh_schema(mariadb, BUSY_SCHEMA)
    with transfers(target) as committed:
        for _ in range(5):
            before = committed()
            total, counted, streams, held = sums(target, [method])
            assert total == 5 * 1000 * 1000
            assert counted == {f"t{n}": 1000 for n in range(5)}
            assert streams == 4
            assert held < 5
            assert committed() > before


def test_that_test_would_see_streams_of_different_moments(
    mariadb: Target, fresh_schema: FreshSchema, shared: None
) -> None:
    target = fresh_schema(mariadb, BUSY_SCHEMA)
    nothing = Method("nothing", ("SELECT 1",), "SELECT 1", everywhere=False)
    with transfers(target):
        assert any(sums(target, [nothing])[0] != 5 * 1000 * 1000 for _ in range(10))
        careless = Method("nothing, said to hold everybody", ("SELECT 1",), "SELECT 1", everywhere=True)
        with pytest.raises(Busy, match="somebody committed"):
            sums(target, [careless])


def test_the_position_in_the_binary_log_is_that_of_the_moment(mariadb: Target, fresh_schema: FreshSchema) -> None:
    target = fresh_schema(mariadb, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    [[gtid]] = execute(mariadb, "SELECT @@gtid_binlog_pos")
    [[file, position, *_]] = execute(mariadb, "SHOW MASTER STATUS")
    with open_dump(target) as dump:
        assert dump.database.server["binary_log"] == {"file": file, "position": position, "gtid": gtid}
        assert dump.database.server["consistent_point"] == STAGES.name


OTHER = "CREATE TABLE other LIKE later; INSERT INTO other VALUES (7, 70);"


@pytest.mark.parametrize(
    "ddl",
    [
        "TRUNCATE later",
        "ALTER TABLE later ADD COLUMN c int DEFAULT 5, ALGORITHM=INSTANT",
        "ALTER TABLE later MODIFY b bigint",
        "DROP TABLE later",
        "RENAME TABLE later TO gone",
        "RENAME TABLE later TO gone, other TO later",
        "DROP TABLE later; CREATE TABLE later (a int PRIMARY KEY, b int)",
        "ALTER TABLE later RENAME COLUMN b TO c",
    ],
)
def test_a_table_that_changes_before_it_was_read_is_busy_and_named(
    mariadb: Target, fresh_schema: FreshSchema, ddl: str
) -> None:
    target = fresh_schema(mariadb, BIG + LATER + OTHER)
    found: list[Piece] = []
    with pytest.raises(Busy, match="later"):
        dump_and_injure(target, lambda _: execute(target, ddl), found)
    assert "other" not in rows(found)
    expect_nothing_left(target)


@pytest.mark.parametrize(
    "script",
    [
        "DELETE FROM later; INSERT INTO later VALUES (9, 9); UPDATE big SET t = 'y'",
        "CREATE TABLE another AS SELECT 1 AS a; CREATE VIEW seen AS SELECT * FROM another",
        "DROP FUNCTION fn; CREATE FUNCTION gn() RETURNS int DETERMINISTIC RETURN 2; DROP VIEW v",
        "CREATE TRIGGER t BEFORE INSERT ON later FOR EACH ROW SET NEW.b = 1; DROP EVENT ev",
        "FLUSH TABLES; FLUSH BINARY LOGS; OPTIMIZE TABLE other_schema.t",
    ],
)
def test_what_else_happens_meanwhile_is_not_part_of_the_dump(
    mariadb: Target, fresh_schema: FreshSchema, script: str
) -> None:
    objects = (
        "CREATE FUNCTION fn() RETURNS int DETERMINISTIC RETURN 1; CREATE VIEW v AS SELECT * FROM later;"
        "CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO SELECT 1"
    )
    target = fresh_schema(mariadb, BIG + LATER + objects)
    elsewhere = fresh_schema(mariadb, "CREATE TABLE t (a int PRIMARY KEY)")
    with open_dump(target) as dump, meanwhile(target, script.replace("other_schema", elsewhere.database)):
        found = drained(dump)
        inventory = dump.inventory()
    assert set(keys(found)) == {*inventory.objects, "PREAMBLE", "CLOSING"}
    assert {"VIEW v", "FUNCTION fn", "EVENT ev"} <= set(keys(found))
    assert rows(found) == inventory.rows == {"big": 40000, "later": 2}
    assert body(found, "later") == b"INSERT INTO `later` VALUES\n(1,10),\n(2,20);\n"
    assert b"'y'" not in body(found, "big")


def test_a_change_within_the_second_of_the_last_one_is_seen(mariadb: Target, fresh_schema: FreshSchema) -> None:
    # Times of change are whole seconds: the point is opened only once the last one is over.
    def rename(target: Target) -> None:
        execute(target, "RENAME TABLE later TO gone, other TO later")

    for _ in range(2):
        target = fresh_schema(mariadb, BIG + LATER + OTHER)
        execute(target, "ALTER TABLE later COMMENT 'just now'; ALTER TABLE other COMMENT 'just now'")
        with pytest.raises(Busy, match="later"):
            dump_and_injure(target, rename, [])


def test_objects_that_change_while_a_dump_begins_make_it_start_over(
    mariadb: Target, fresh_schema: FreshSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = fresh_schema(mariadb, LATER)
    changes = iter(["CREATE FUNCTION fn() RETURNS int DETERMINISTIC RETURN 1"])
    original = runs.whole_text

    def changing(running: subprocesses.Running) -> bytes:
        text = original(running)
        for change in changes:
            execute(target, change)
        return text

    monkeypatch.setattr(runs, "whole_text", changing)
    with open_dump(target) as dump:
        assert "FUNCTION fn" in keys(drained(dump))
    changes = iter([])
    numbers = iter(range(100))

    def churning(running: subprocesses.Running) -> bytes:
        execute(target, f"CREATE OR REPLACE VIEW churned AS SELECT {next(numbers)} AS a")
        return original(running)

    monkeypatch.setattr(runs, "whole_text", churning)
    with pytest.raises(Busy, match="VIEW churned was"), open_dump(target):
        pass
    expect_nothing_left(target)


def test_tables_that_come_and_go_all_the_time_are_no_reason_for_half_a_dump(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    target = fresh_schema(mariadb, LATER)
    stop = threading.Event()

    def churn() -> None:
        with closing(connection(target)) as churning, churning.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("CREATE TABLE coming AS SELECT 1 AS a")
                cursor.execute("DROP TABLE coming")

    thread = threading.Thread(target=churn)
    thread.start()
    outcomes = []
    try:
        for _ in range(3):
            try:
                with open_dump(target) as dump:
                    inventory = dump.inventory()
                    found = drained(dump)
                    assert set(inventory.objects) <= set(keys(found))
                    assert inventory.rows == rows(found)
                    outcomes.append("dumped")
            except Busy:
                outcomes.append("busy")
    finally:
        stop.set()
        thread.join()
    assert len(outcomes) == 3


def test_another_backup_of_the_server_is_busy_and_hinders_nobody_for_long(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    target = fresh_schema(mariadb, LATER)
    with closing(connection(target)) as other, other.cursor() as cursor:
        cursor.execute("BACKUP STAGE START")
        started = time.monotonic()
        with pytest.raises(Busy, match="BACKUP STAGE"), open_dump(target, lock_seconds=1):
            pass
        assert time.monotonic() - started < 20
        cursor.execute("BACKUP STAGE END")
    with open_dump(target) as dump:
        assert rows(drained(dump)) == {"later": 2}


def test_an_open_transaction_is_in_the_way_of_table_locks_alone(
    mariadb: Target, fresh_schema: FreshSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = fresh_schema(mariadb, LATER)
    locks = Method("LOCK TABLES … READ", ("LOCK TABLES later READ",), "UNLOCK TABLES", everywhere=False)
    with closing(connection(target)) as writer, writer.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE later SET b = 11 WHERE a = 1")
        with pytest.raises(Busy, match="LOCK TABLES"), open_dump(target, lock_seconds=1, methods=[locks]):
            pass
        for method in (STAGES, GLOBAL):
            with open_dump(target, lock_seconds=1, methods=[method]) as dump:
                assert b"(1,10)" in body(drained(dump), "later")
        cursor.execute("COMMIT")


def test_writers_are_let_go_when_the_dump_tool_is_slow_to_begin(
    mariadb: Target, fresh_schema: FreshSchema, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = fresh_schema(mariadb, LATER)
    slow = tmp_path / "mariadb-dump"
    real = binaries.find("dump", "mariadb")
    slow.write_text(f'#!/bin/sh\n[ "$1" = --version ] || sleep 3\nexec {real} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setattr(point, "HOLD_SECONDS", 0.5)
    monkeypatch.setattr(dump_module, "ATTEMPTS", 1)
    waited: list[float] = []
    stop = threading.Event()

    def write() -> None:
        with closing(connection(target)) as session, session.cursor() as cursor:
            while not stop.is_set():
                started = time.monotonic()
                cursor.execute("UPDATE later SET b = b + 1")
                waited.append(time.monotonic() - started)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(Busy, match="did not begin"), open_dump(target, tool_folders=[tmp_path]):
            pass
    finally:
        stop.set()
        writer.join()
    assert 0.3 < max(waited) < 2
    expect_nothing_left(target)


def test_small_tables_without_transactions_are_locked_until_the_dump_has_ended(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    target = fresh_schema(mariadb, BIG + "CREATE TABLE my (a int) ENGINE=MyISAM; INSERT INTO my VALUES (1);")
    with meanwhile(target.to(""), "DO 1"), open_dump(target) as dump:
        inventory = dump.inventory()
        writing = meanwhile(target, "INSERT INTO my VALUES (2); UPDATE big SET t = 'y' WHERE id = 1")
        thread = writing.__enter__()
        found = drained(dump)
        assert thread.is_alive()
    writing.__exit__(None, None, None)
    assert rows(found) == inventory.rows == {"big": 40000, "my": 1}


def test_a_lock_lost_on_tables_without_transactions_is_an_error(mariadb: Target, fresh_schema: FreshSchema) -> None:
    target = fresh_schema(mariadb, BIG + "CREATE TABLE my (a int) ENGINE=MyISAM; INSERT INTO my VALUES (1);")
    with open_dump(target) as dump:
        keeper = dump._point._keeper
        assert keeper is not None
        execute(target.to(""), f"KILL {keeper.thread_id()}")
        with pytest.raises(ConnectionLost):
            drained(dump)


def test_large_tables_without_transactions_are_named_and_counted_as_they_were_read(
    mariadb: Target, fresh_schema: FreshSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCKED_BYTES", 0)
    target = fresh_schema(mariadb, BIG + "CREATE TABLE my (a int) ENGINE=MyISAM; INSERT INTO my VALUES (1);")
    with open_dump(target) as dump, ThreadPoolExecutor(1) as pool:
        inventory = pool.submit(dump.inventory)
        execute(target, "INSERT INTO my SELECT seq FROM seq_1_to_10")
        time.sleep(0.5)
        found = drained(dump)
        assert inventory.result().rows == rows(found)
        assert dump.inventory().rows == rows(found)
    assert any("my" in sentence and "at which each was read" in sentence for sentence in dump.database.not_carried)
