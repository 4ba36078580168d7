"""A dump of a real MariaDB server is of one moment and complete, or it is an error; whatever happens meanwhile."""

import os
import random
import re
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pymysql
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from backproof import subprocesses
from backproof.engines import Piece
from backproof.engines.mysql import ENGINE, binaries, dumptool, locks, patience, point, runs
from backproof.engines.mysql import dump as dump_module
from backproof.engines.mysql.connect import connect, connected
from backproof.engines.mysql.dump import MysqlDump, open_dump, whole_entries
from backproof.engines.mysql.lock import lock
from backproof.engines.mysql.locks import GLOBAL, STAGES, Method
from backproof.engines.mysql.names import quote_ident
from backproof.errors import (
    AccessDenied,
    BackproofError,
    Busy,
    ConfigurationError,
    ConnectionLost,
    DumpFailed,
    NotFound,
)
from backproof.parallel import shares as dividing
from backproof.records import Target
from backproof.scratch import workspace
from tests.support.mariadb_fixtures import PASSWORD, FreshAccount, FreshSchema, connection, execute, server
from tests.support.round_trip import expect_complete, taken

ZOO = r"""
CREATE TABLE parent (id int AUTO_INCREMENT PRIMARY KEY, name varchar(50), KEY by_name (name));
CREATE SEQUENCE sq START WITH 100 INCREMENT BY 5; CREATE SEQUENCE `odd ``seq`;
CREATE TABLE child (
    id int PRIMARY KEY, parent_id int, txt text CHARACTER SET utf8mb4, n int DEFAULT nextval(sq),
    o int DEFAULT nextval(`odd ``seq`),
    g int AS (id * 2) STORED, v int AS (id * 3), b blob, at timestamp, j json, UNIQUE KEY u (n), FULLTEXT KEY ft (txt),
    CONSTRAINT fk FOREIGN KEY (parent_id) REFERENCES parent (id), CONSTRAINT ck CHECK (id > 0));
CREATE TABLE hidden (a int, b int INVISIBLE DEFAULT 7, c text);
CREATE TABLE empty (a int); CREATE TABLE `-- we``ird "na me` (a int, `b``c` int);
CREATE TABLE `Großeltern` (a int); INSERT INTO `Großeltern` VALUES (1);
CREATE TABLE maybe (a int UNIQUE, b int); INSERT INTO maybe VALUES (3, 1), (1, 2), (NULL, 5), (NULL, 4);
CREATE TABLE parted (id int PRIMARY KEY, a text) PARTITION BY HASH (id) PARTITIONS 3;
CREATE TABLE my (a int) ENGINE=MyISAM; CREATE TABLE ar (a int PRIMARY KEY) ENGINE=Aria;
CREATE TABLE mem (a int) ENGINE=MEMORY; CREATE TABLE merged (a int) ENGINE=MERGE UNION=(my);
CREATE TABLE ver (a int) WITH SYSTEM VERSIONING;
INSERT INTO parent (name) VALUES ('z'), ('b\n('), (');'), ('x''y');
INSERT INTO child (id, parent_id, txt, b, at, j)
VALUES (1, 1, 'line\n);\nINSERT INTO', x'000102ff', '2020-01-01', '{"a": 1}'), (2, 2, 'emoji 🐘\t\\', NULL, NULL, '[]');
INSERT INTO hidden (a, b, c) VALUES (1, 2, 'a('), (2, 3, ');\n('), (3, 4, NULL);
INSERT INTO `-- we``ird "na me` VALUES (1, 2); INSERT INTO parted SELECT seq, seq FROM seq_1_to_100;
INSERT INTO my VALUES (1), (2); INSERT INTO ar VALUES (2), (1); INSERT INTO mem VALUES (1);
INSERT INTO ver VALUES (1); UPDATE ver SET a = 2;
CREATE FUNCTION fn(x int) RETURNS int DETERMINISTIC RETURN x + 1;
CREATE PROCEDURE pr(IN x int) BEGIN SELECT ';'; SELECT x; END;
CREATE DEFINER=ghost@`%` PROCEDURE ghostly() SELECT 1;
CREATE VIEW v1 AS SELECT p.id, c.txt FROM parent p JOIN child c ON c.parent_id = p.id;
CREATE VIEW v2 AS SELECT * FROM v1; CREATE VIEW v3 AS SELECT fn(id) AS f FROM parent;
CREATE TRIGGER tr1 BEFORE INSERT ON parent FOR EACH ROW BEGIN SET NEW.name = concat(NEW.name, ';'); END;
CREATE TRIGGER tr2 BEFORE INSERT ON parent FOR EACH ROW FOLLOWS tr1 SET NEW.name = upper(NEW.name);
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO DELETE FROM my;
"""

BIG = """
CREATE TABLE big (id int PRIMARY KEY, t varchar(1000));
SET sql_log_bin = 0; INSERT INTO big SELECT seq, repeat("x", 1000) FROM seq_1_to_40000; SET sql_log_bin = 1;
"""
"""More than two pieces, and than fits into the buffers of pipe and sockets: its tool runs on when some was read."""

BUSY_SCHEMA = "".join(
    f"CREATE TABLE t{n} (id int PRIMARY KEY, v bigint NOT NULL, pad varchar(300));"
    f"INSERT INTO t{n} SELECT seq, 1000, repeat('x', 300) FROM seq_1_to_1000;"
    for n in range(5)
)

ROW = re.compile(rb"^\((\d+),(-?\d+),", re.MULTILINE)


def drained(dump: MysqlDump) -> list[Piece]:
    data = [piece for stream in dump.data() for piece in stream]
    return [*dump.schema(), *data, *dump.finish()]


def keys(pieces: Sequence[Piece]) -> Counter[str]:
    texts = (piece.head for piece in pieces if piece.table is None)
    return Counter(entry.key for text in texts for entry in ENGINE.entries(text))


def rows(pieces: Sequence[Piece]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for piece in pieces:
        if piece.table is not None:
            counted[piece.table] += piece.rows
    return dict(counted)


def body(pieces: Sequence[Piece], table: str) -> bytes:
    return b"".join(piece.body for piece in pieces if piece.table == table)


def tools() -> list[int]:
    """The dump tools of this process that live; its test servers do as well."""
    return [pid for pid in subprocesses.live() if Path(f"/proc/{pid}/comm").read_text() == "mariadb-dump\n"]


def sessions(target: Target) -> list[int]:
    """Connections that are in a schema, but for the one that asks."""
    query = "SELECT id FROM information_schema.processlist WHERE db = %s"
    return [number for (number,) in execute(target.to(""), query, (target.database,))]


def expect_nothing_left(target: Target) -> None:
    assert tools() == []
    deadline = time.monotonic() + 10
    while sessions(target):
        assert time.monotonic() < deadline
        time.sleep(0.05)


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


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table is worth a run of its own."""
    monkeypatch.setattr(dividing, "WORTHWHILE_BYTES", 1)


def test_the_dump_holds_exactly_what_the_catalogue_lists(mariadb: Target, fresh_schema: FreshSchema) -> None:
    target = fresh_schema(mariadb, ZOO)
    with open_dump(target) as dump:
        inventory = dump.inventory()
        found = drained(dump)
    assert set(keys(found)) == {*inventory.objects, "PREAMBLE", "CLOSING"}
    assert {key.split()[0] for key in keys(found)} == {
        "PREAMBLE", "CLOSING", "TABLE", "SEQUENCE", "VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT",
    }  # fmt: skip
    assert max(keys(found).values()) == 1
    assert rows(found) == inventory.rows
    assert inventory.rows["parted"] == 100
    assert inventory.rows["hidden"] == 3
    assert inventory.rows["empty"] == 0
    assert "merged" not in inventory.rows
    assert inventory.needs == {"child": ("SEQUENCE `odd ``seq`", "SEQUENCE sq")}
    assert any("merged" in sentence for sentence in dump.database.not_carried)
    assert any("ver" in sentence and "history" in sentence for sentence in dump.database.not_carried)
    assert not any("without transactions" in sentence for sentence in dump.database.not_carried)
    expect_nothing_left(target)


def test_rows_come_in_the_order_of_the_primary_key_whatever_index_is_cheaper_to_read(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    target = fresh_schema(mariadb, ZOO)
    with open_dump(target) as dump:
        lines = body(drained(dump), "parent").splitlines()[1:]
    assert [line[:3] for line in lines] == [b"(1,", b"(2,", b"(3,", b"(4,"]


def test_a_digest_of_each_table_is_that_of_the_dump(mariadb: Target, fresh_schema: FreshSchema) -> None:
    target = fresh_schema(mariadb, ZOO)
    source = taken(ENGINE, target)
    expect_complete(source)
    for table in source.manifest.tables:
        assert ENGINE.digest(target, table) == table
    with pytest.raises(NotFound, match="gone"):
        ENGINE.digest(target, source.manifest.tables[0].model_copy(update={"name": "gone"}))


def test_the_pieces_joined_are_a_script_that_the_stock_client_restores(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    target, other = fresh_schema(mariadb, ZOO), fresh_schema(mariadb)
    with open_dump(target) as dump:
        text = b"".join(piece.head + piece.body + piece.tail for piece in drained(dump))
    text = text.replace(f"`{target.database}`.".encode(), f"`{other.database}`.".encode())
    # Rows of generated, versioned and merged tables aside, for the client: it restores what its own dump tool wrote.
    with dumptool.option_file(other, "mariadb") as options:
        argv = [str(binaries.find("client", "mariadb")), f"--defaults-file={options}", other.database]
        finished = subprocesses.run(argv, deadline_seconds=60, input=text)
    assert finished.returncode == 0, finished.stderr
    again, first = taken(ENGINE, other), taken(ENGINE, target)
    assert again.manifest.entries == first.manifest.entries
    assert {table.name: table for table in again.manifest.tables} == {
        table.name: table for table in first.manifest.tables
    }


@pytest.mark.parametrize("name", ["--no-data", "a b`c'd", "-- x", "dot.ted", "sch%ma_"])
def test_names_that_look_like_options_or_sql_are_names(
    mariadb: Target, fresh_schema: FreshSchema, name: str, shared: None
) -> None:
    table = quote_ident(name)
    script = f"CREATE TABLE {table} (a int); INSERT INTO {table} VALUES (1); CREATE TABLE other (a int)"
    target = fresh_schema(mariadb, script, name=name)
    with open_dump(target, 3) as dump:
        found = drained(dump)
        assert rows(found) == dump.inventory().rows
    assert sorted(rows(found).values()) == [0, 1]


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


LATER = "CREATE TABLE later (a int PRIMARY KEY, b int); INSERT INTO later VALUES (1, 10), (2, 20);"
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
        _dump_and_injure(target, lambda _: execute(target, ddl), found)
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
            _dump_and_injure(target, rename, [])


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


Injury = Callable[[Target], object]


def _dump_and_injure(target: Target, injure: Injury, found: list[Piece]) -> None:
    with open_dump(target) as dump:
        for stream in dump.data():
            found.append(next(stream))
            injure(target)
            found.extend(stream)
        found.extend(dump.finish())


def _killed_program(_: Target) -> None:
    (pid,) = tools()
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
        _dump_and_injure(target, injure, found)
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
            _dump_and_injure(target, lambda _: os.kill(pid, signal.SIGKILL), [])
        assert tools() == []


def test_leaving_a_dump_early_leaves_nothing_behind(mariadb: Target, fresh_schema: FreshSchema) -> None:
    target = fresh_schema(mariadb, BIG + "CREATE TABLE my (a int) ENGINE=MyISAM;")
    with open_dump(target) as dump:
        next(dump.data()[0])
    expect_nothing_left(target)
    execute(target, "INSERT INTO my VALUES (1)")


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


def content(target: Target, jobs: int) -> tuple[dict[str, bytes], Counter[str], int]:
    with open_dump(target, jobs) as dump:
        streams = len(dump.data())
        found = drained(dump)
        assert rows(found) == dump.inventory().rows
    return {table: body(found, table) for table in rows(found)}, keys(found), streams


@pytest.mark.parametrize("jobs", [2, 3, 8])
def test_several_runs_together_are_the_dump_that_one_would_be(
    mariadb: Target, fresh_schema: FreshSchema, shared: None, jobs: int
) -> None:
    target = fresh_schema(mariadb, ZOO)
    execute(target, "INSERT INTO parted SELECT seq, repeat('z', 2000) FROM seq_101_to_3000")
    one, several = content(target, 1), content(target, jobs)
    assert several[:2] == one[:2]
    # One more for what can't be read by key.
    assert (one[2], several[2]) == (2, {2: 2, 3: 3, 8: 8}[jobs])


def test_many_small_tables_are_read_by_one_run_that_names_none_of_them(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    script = "".join(f"CREATE TABLE t{n} (a int); INSERT INTO t{n} VALUES ({n});" for n in range(150))
    target = fresh_schema(mariadb, script + "CREATE TABLE my (a int) ENGINE=MyISAM")
    tables, _, streams = content(target, 4)
    assert streams == 2
    assert len(tables) == 151
    assert tables["t149"] == b"INSERT INTO `t149` VALUES\n(149);\n"


def test_a_schema_without_tables_is_dumped(mariadb: Target, fresh_schema: FreshSchema) -> None:
    target = fresh_schema(
        mariadb, "CREATE FUNCTION fn() RETURNS int DETERMINISTIC RETURN 1; CREATE VIEW v AS SELECT 1 AS a"
    )
    with open_dump(target, 4) as dump:
        assert dump.data() == []
        assert {"FUNCTION fn", "VIEW v"} <= set(keys(drained(dump)))
        assert dump.inventory().rows == {}


def test_the_same_rows_give_the_same_bytes_whatever_the_server_is_set_to(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    script = (
        "CREATE TABLE t (id int PRIMARY KEY, a timestamp NULL, b blob, c text, f double, KEY (a));"
        "INSERT INTO t VALUES (2, FROM_UNIXTIME(1762480800), x'00ff5c', 'a\\\\b''\n', 1.1), (1, NULL, '', 'ü🐘', -0.1)"
    )
    target = fresh_schema(mariadb, script)
    settings = {"time_zone": "+05:45", "sql_mode": "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "character_set_server": "latin1",
                "max_statement_time": "0.2", "wait_timeout": "1", "net_buffer_length": "1024"}  # fmt: skip
    dumps = [content(target, 1)]
    before = {name: execute(mariadb, f"SELECT @@GLOBAL.{name}")[0][0] for name in settings}
    try:
        for name, value in settings.items():
            execute(mariadb, f"SET GLOBAL {name} = {value if value.replace('.', '').isdigit() else repr(value)}")
        with open_dump(target) as dump:
            time.sleep(2.2)
            found = drained(dump)
            assert dump.inventory().rows == rows(found) == {"t": 2}
        dumps.append(({"t": body(found, "t")}, keys(found), 1))
    finally:
        for name, value in before.items():
            execute(mariadb, f"SET GLOBAL {name} = %s", (value,))
    assert dumps[0] == dumps[1]


@pytest.mark.parametrize("charset", ["latin1", "utf8mb4", "cp1251", "sjis"])
def test_names_and_values_of_any_charset_are_dumped(mariadb: Target, fresh_schema: FreshSchema, charset: str) -> None:
    value = {"latin1": "é", "utf8mb4": "🐘é", "cp1251": "я", "sjis": "日本"}[charset]
    script = f"CREATE TABLE `ж é 日` (`ü` text CHARACTER SET {charset}); INSERT INTO `ж é 日` VALUES ('{value}')"
    target = fresh_schema(mariadb, script, options=f"CHARACTER SET {charset}")
    with open_dump(target) as dump:
        assert dump.database.settings["charset"] == charset
        found = drained(dump)
        inventory = dump.inventory()
    assert rows(found) == inventory.rows == {"`ж é 日`": 1}
    assert set(inventory.objects) <= set(keys(found))
    assert body(found, "`ж é 日`") == f"INSERT INTO `ж é 日` VALUES\n('{value}');\n".encode()


def test_definitions_are_cut_into_pieces_that_can_each_be_divided_alone(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    target = fresh_schema(mariadb, ZOO)
    with open_dump(target) as dump:
        whole = [entry for piece in dump.schema() for entry in ENGINE.entries(piece.head)]
        cut = list(whole_entries("schema", dump._schema, dump._opening, piece_bytes=700))
        drained(dump)
    again = [entry for piece in cut for entry in ENGINE.entries(piece.head)]
    assert len(cut) > 5
    assert [entry.key for entry in again] == [entry.key for entry in whole]
    assert [ENGINE.canonical(entry) for entry in again] == [ENGINE.canonical(entry) for entry in whole]


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


def test_a_view_that_stands_on_what_is_gone_is_told_by_name(mariadb: Target, fresh_schema: FreshSchema) -> None:
    target = fresh_schema(mariadb, "CREATE TABLE t (a int); CREATE VIEW broken AS SELECT * FROM t; DROP TABLE t")
    with pytest.raises(DumpFailed, match="broken") as caught, open_dump(target):
        pass
    assert "Repair the view" in caught.value.remedy


def test_no_secret_is_on_a_command_line_or_left_in_a_file(mariadb: Target, fresh_schema: FreshSchema) -> None:
    target = fresh_schema(mariadb, BIG)
    with open_dump(target) as dump:
        (pid,) = tools()
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        (option,) = [word for word in argv if word.startswith(b"--defaults-file=")]
        file = Path(option.partition(b"=")[2].decode())
        assert file.stat().st_mode & 0o777 == 0o600
        assert not any(b"canary" in word for word in argv)
        assert b"canary" not in Path(f"/proc/{pid}/environ").read_bytes()
        drained(dump)
    assert not file.exists()


def test_what_the_machine_s_own_option_files_say_leaves_nothing_out(
    mariadb: Target, fresh_schema: FreshSchema, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".my.cnf").write_text("[mariadb-dump]\nno-data\nskip-triggers\nwhere=1=0\n[client]\nuser=nobody\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    target = fresh_schema(mariadb, LATER + "CREATE TRIGGER tr BEFORE INSERT ON later FOR EACH ROW SET NEW.b = 1")
    with open_dump(target) as dump:
        found = drained(dump)
    assert rows(found) == {"later": 2}
    assert "TRIGGER tr" in keys(found)


def test_what_lies_beside_the_dump_is_read_with_it(
    mariadb: Target, fresh_schema: FreshSchema, fresh_account: FreshAccount
) -> None:
    target = fresh_schema(
        mariadb, ZOO, name=f"beside_{os.getpid()}", options="CHARACTER SET latin1 COMMENT 'it''s ours'"
    )
    role = f"role_{os.getpid()}"
    schema = target.database.replace("_", "\\_")
    execute(mariadb, [f"CREATE ROLE {role}", f"GRANT SELECT ON `{schema}`.* TO {role}"])
    try:
        reader = fresh_account(
            target,
            f"SELECT, DELETE ON `{schema}`.*",
            f"UPDATE ON `{target.database}`.child",
            f"SELECT (id, txt), INSERT (id) ON `{target.database}`.child",
            f"EXECUTE ON PROCEDURE `{target.database}`.pr",
        )
        by_pattern = fresh_account(target, "INSERT, LOCK TABLES ON `beside\\_%`.*")
        elsewhere = fresh_account(target, "SELECT ON `besides`.*", "SELECT ON *.*")
        execute(mariadb, f"GRANT {role} TO '{reader.user}'@'localhost' WITH ADMIN OPTION")
        with open_dump(target) as dump:
            database = dump.database
            drained(dump)
    finally:
        execute(mariadb, f"DROP ROLE {role}")
    accounts = database.globals["accounts"]
    assert isinstance(accounts, dict)
    assert accounts[f"`{reader.user}`@`localhost`"] == {
        "schema": ["DELETE", "SELECT"],
        "tables": {"child": ["UPDATE"]},
        "columns": {"child": {"id": ["INSERT", "SELECT"], "txt": ["SELECT"]}},
        "routines": {"PROCEDURE pr": ["EXECUTE"]},
    }
    assert accounts[f"`{by_pattern.user}`@`localhost`"]["schema"] == ["INSERT", "LOCK TABLES"]  # type: ignore[index, call-overload]
    assert f"`{elsewhere.user}`@`localhost`" not in accounts
    members = [{"account": f"`{reader.user}`@`localhost`", "admin": True}]
    rights = {"schema": ["SELECT"], "tables": {}, "columns": {}, "routines": {}}
    found = database.globals["roles"][f"`{role}`"]  # type: ignore[index, call-overload]
    assert {**rights, "members": found["members"]} == found  # type: ignore[index, call-overload]
    assert members[0] in found["members"]  # type: ignore[index, call-overload, operator]
    assert database.globals["definers"] == ["`ghost`@`%`", "`root`@`localhost`"]
    assert database.settings == {
        "charset": "latin1", "collation": "latin1_swedish_ci", "comment": "it's ours",
    }  # fmt: skip
    assert database.server["variables"]["max_allowed_packet"] == "1073741824"  # type: ignore[index, call-overload]
    assert database.live_bytes > 100_000
    text = database.model_dump_json()
    assert "canary" not in text
    for (digest,) in execute(mariadb, "SELECT authentication_string FROM mysql.user WHERE authentication_string <> ''"):
        assert digest not in text


def test_a_missing_tool_is_told(mariadb: Target, fresh_schema: FreshSchema, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shutil.which("mariadb-dump")
    monkeypatch.setattr(binaries, "programs", lambda *_: [])
    with pytest.raises(BackproofError, match="mariadb-dump"), open_dump(fresh_schema(mariadb, LATER)):
        pass


def _certificates(folder: Path) -> None:
    """An authority ``ca.pem``, another one ``other.pem``, and a server's certificate for 127.0.0.1, by the first."""
    day, now = timedelta(days=1), datetime.now(UTC)

    def write(name: str, key: ec.EllipticCurvePrivateKey, signer: str, by: ec.EllipticCurvePrivateKey) -> None:
        def named(common: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])

        certificate = (
            x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(signer)).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
            .add_extension(x509.BasicConstraints(ca=name == signer, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .sign(by, hashes.SHA256())
        )  # fmt: skip
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        text = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        (folder / f"{name}.key").write_bytes(text)

    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "other", "server")}
    for name, key in keys.items():
        signer = "ca" if name == "server" else name
        write(name, key, signer, keys[signer])


def test_driver_and_tool_speak_tls_and_trust_whom_they_are_told_to() -> None:
    with workspace("test") as folder:
        _certificates(folder)
        for path in folder.iterdir():
            path.chmod(0o644)
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
