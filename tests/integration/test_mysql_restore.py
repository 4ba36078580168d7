"""Restoring on real servers: some tables, hostile archives, faults, and what must never happen beside a live schema."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pymysql
import pytest

from backproof.engines.mysql import ENGINE, bulk
from backproof.engines.mysql.binaries import best
from backproof.engines.mysql.connect import connect, connected, rows
from backproof.engines.mysql.definition import divided
from backproof.engines.mysql.dumptool import option_file
from backproof.engines.mysql.keys import deferred
from backproof.engines.mysql.names import quote_ident
from backproof.errors import (
    AlreadyExists,
    CannotProve,
    ConfigurationError,
    ConnectionLost,
    Damaged,
    NotFound,
    RestoreFailed,
)
from backproof.records import Target
from backproof.scratch import workspace
from tests.support.mariadb_fixtures import FreshSchema, connection, execute, schemas, server
from tests.support.prefect_fixtures import eventually
from tests.support.round_trip import MemorySource, compared, round_trip, taken

SHOP = """
CREATE SEQUENCE numbers START WITH 10000;
CREATE TABLE users (id int AUTO_INCREMENT PRIMARY KEY, email varchar(90) NOT NULL, UNIQUE KEY by_email (email));
CREATE TABLE products (id int AUTO_INCREMENT PRIMARY KEY, name varchar(90), cost decimal(9,2) CHECK (cost >= 0));
CREATE TABLE orders (
  id bigint DEFAULT NEXTVAL(numbers) PRIMARY KEY, user_id int NOT NULL, state varchar(9) DEFAULT 'open',
  note varchar(9), KEY by_state (state), CONSTRAINT of_user FOREIGN KEY (user_id) REFERENCES users (id));
CREATE TABLE items (
  order_id bigint, product_id int, n int, PRIMARY KEY (order_id, product_id),
  CONSTRAINT of_order FOREIGN KEY (order_id) REFERENCES orders (id),
  CONSTRAINT of_product FOREIGN KEY (product_id) REFERENCES products (id));
CREATE TABLE audit (at timestamp, what varchar(90));
CREATE TABLE `Odd Name` (id int);
CREATE FUNCTION stamped(what varchar(9)) RETURNS varchar(9) DETERMINISTIC RETURN CONCAT('<', mark(), '>');
CREATE FUNCTION mark() RETURNS varchar(9) DETERMINISTIC RETURN 'x';
CREATE FUNCTION unrelated() RETURNS int DETERMINISTIC RETURN 1;
CREATE TRIGGER stamp BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = stamped(NEW.note);
CREATE TRIGGER noted AFTER DELETE ON orders FOR EACH ROW INSERT INTO audit VALUES (now(), OLD.id);
CREATE VIEW dear AS SELECT * FROM products WHERE cost > 5;
INSERT INTO users SELECT seq, CONCAT('user', seq, '@example.org') FROM seq_1_to_500;
INSERT INTO products SELECT seq, CONCAT('product ', seq), seq FROM seq_1_to_50;
INSERT INTO orders (id, user_id) SELECT seq, 1 + seq % 500 FROM seq_1_to_2000;
INSERT INTO items SELECT id, 1 + id % 50, 1 FROM orders;
"""


@pytest.fixture(scope="module")
def shop(mariadb: Target) -> Iterator[MemorySource]:
    with schemas() as fresh:
        yield taken(ENGINE, fresh(mariadb, SHOP))


@pytest.fixture
def empty(mariadb: Target, fresh_schema: FreshSchema) -> Target:
    return fresh_schema(mariadb)


def tables(target: Target) -> set[str]:
    listed = "SELECT table_name FROM information_schema.tables WHERE table_schema = database()"
    return {name for (name,) in execute(target, f"{listed} AND table_type = 'BASE TABLE'")}


def changed(source: MemorySource, table: str, old: bytes, new: bytes) -> MemorySource:
    """The archive with other words in the rows of one table."""
    other = source.replaced(lambda member, text: text.replace(old, new, 1) if member.table == table else text)
    assert other.text != source.text
    return other


def test_order_is_kept_where_it_is_asked_for_and_nothing_is_lost_where_it_is_not(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    live = fresh_schema(
        mariadb,
        "CREATE TABLE t (i int, a text); INSERT INTO t SELECT seq, REPEAT(MD5(seq), 12) FROM seq_1_to_90000;"
        "CREATE TABLE k (i int AUTO_INCREMENT PRIMARY KEY, a varchar(40), KEY (a));"
        "INSERT INTO k SELECT seq, MD5(seq) FROM seq_1_to_200000",
    )
    for keep_order in (True, False):
        with round_trip(ENGINE, live, live.to(f"{live.database}_beside"), keep_order=keep_order, jobs=4) as returned:
            assert len([member for member in returned.source.manifest.members if member.table]) > 3
            # A table without a primary key is loaded in order in any case.
            assert returned.differences == ()


@pytest.mark.parametrize("local", [True, False], ids=["LOAD DATA", "INSERT"])
def test_both_ways_give_the_same_rows(local: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bulk.Said] = []
    send = bulk.send
    monkeypatch.setattr(bulk, "send", lambda *arguments: sent.append(send(*arguments)) or sent[-1])
    with server(settings={"local_infile": str(int(local))}) as target:
        execute(target, "CREATE DATABASE live")
        live = target.to("live")
        execute(
            live,
            """CREATE TABLE t (id int PRIMARY KEY, a blob, b varbinary(300), c text, d varchar(9) CHARACTER SET latin1,
                e int GENERATED ALWAYS AS (id + 1) STORED, f timestamp(6) NULL, g double, h int INVISIBLE, i bit(9),
                j point, k enum('', 'ä,b', 'c)'), l inet6, m decimal(20, 9), n year, o set('x', 'y'));
            INSERT INTO t (id, a, b, c, d, f, g, h, i, j, k, l, m, n, o)
                SELECT seq, UNHEX(LPAD(HEX(seq), 2, '0')), UNHEX(REPEAT(LPAD(HEX(seq), 2, '0'), seq)),
                    CONCAT(CHAR(seq USING latin1), '\\\\''),(\\n);', REPEAT('😀', seq % 3)), 'äß€', NOW(6), seq / 7,
                    seq, seq, POINT(seq, -seq), 'ä,b', '::1', -seq / 9, 2000, 'x,y' FROM seq_0_to_255;
            INSERT INTO t (id) VALUES (-1);
            CREATE TABLE bytes (id int PRIMARY KEY, a char(5), b varchar(20) COLLATE utf8mb4_bin, c json, d date,
                e time(6), f enum('', 'ä,b', 'c)'), g set('x', 'ü'), h text CHARACTER SET utf8mb3, i decimal(20, 9),
                j double, k longblob, l bit(9), m int AS (id * 2) STORED, n geometry, o text CHARACTER SET latin1,
                p text CHARACTER SET sjis, q varchar(9) CHARACTER SET ucs2, r text CHARACTER SET utf16,
                s char(9) CHARACTER SET utf32, t enum('ä', '日') CHARACTER SET utf16, u enum('x') CHARACTER SET binary,
                v text CHARACTER SET gbk, w text COMPRESSED, x int INVISIBLE) CHARSET utf8mb4;
            INSERT INTO bytes (id, a, b, c, d, e, f, g, h, i, j, k, l, n, o, p, q, r, s, t, u, v, w, x)
                SELECT seq, CONCAT(CHAR(seq USING latin1), 'ä '), CONCAT('\\\\''),(\\n);', REPEAT('😀', seq % 3)),
                    JSON_OBJECT('ü', CHAR(seq USING latin1)), '2024-02-29', '-838:59:59.999999', 'ä,b', 'x,ü',
                    REPEAT('Ž', seq), -seq / 9, seq / 7, UNHEX(REPEAT(LPAD(HEX(seq), 2, '0'), seq)), seq, POINT(seq, 1),
                    CONCAT(CHAR(seq USING latin1), '\\\\''),(\\n);'), 'ソ表\\\\''', CHAR(256 * seq USING ucs2),
                    _utf16 0x0027005CD83DDE00000A, '😀''', '日', 'x', '誠\\\\', REPEAT('ä', seq), seq
                FROM seq_0_to_255""",
        )
        with round_trip(ENGINE, live, target.to("beside"), keep_order=False) as returned:
            assert returned.differences == ()
    assert sorted(sent) == ([(256, 0), (257, 0)] if local else [])


def test_rows_that_a_file_would_change_are_inserted_as_they_are(mariadb: Target, fresh_schema: FreshSchema) -> None:
    """An ENUM may hold what is none of its words: a file gives a warning there, and would be no proof of anything."""
    live = fresh_schema(mariadb, "CREATE TABLE t (id int PRIMARY KEY, a enum('x', 'y'))")
    execute(live, ["SET sql_mode = ''", "INSERT INTO t VALUES (1, 'none of them'), (2, 'x'), (3, NULL)"])
    with round_trip(ENGINE, live, live.to(f"{live.database}_beside"), keep_order=False) as returned:
        assert returned.differences == ()
        assert execute(returned.target, "SELECT id, a + 0 FROM t") == [(1, 0), (2, 1), (3, None)]


def test_a_server_that_asks_for_a_file_gets_none(mariadb: Target, empty: Target, tmp_path: Path) -> None:
    """Whatever it names: rows come from memory, when we asked for it."""
    (tmp_path / "secret").write_text("(7),\n")
    execute(empty, "CREATE TABLE t (a int)")
    with (
        closing(connect(empty, local_rows=True)) as made,
        pytest.raises(RuntimeError, match="local_infile option is false"),
    ):
        rows(made, f"LOAD DATA LOCAL INFILE '{tmp_path}/secret' INTO TABLE t LINES STARTING BY '('")
    assert execute(empty, "SELECT * FROM t") == []


def test_some_tables_come_with_what_they_stand_on_and_nothing_else(shop: MemorySource, empty: Target) -> None:
    left_out = ENGINE.restore(shop, empty, jobs=2, tables=["orders", "PRODUCTS"])
    assert tables(empty) == {"orders", "products"}
    assert execute(empty, "INSERT INTO orders (user_id) VALUES (1) RETURNING id >= 10000, note") == [(1, "<x>")]
    assert execute(empty, "INSERT INTO products (cost) VALUES (1) RETURNING id") == [(51,)]
    with pytest.raises(pymysql.Error):
        execute(empty, "INSERT INTO products (cost) VALUES (-1)")
    found = {name for (name,) in execute(empty, "SELECT name FROM mysql.proc WHERE db = database()")}
    assert found == {"stamped", "mark"}
    assert "foreign key of_user of orders was left out, since users was not chosen" in left_out
    assert "TRIGGER noted came along and works on audit, which was not chosen" in left_out
    assert any(sentence.startswith("functions, views were left out") for sentence in left_out)


def test_foreign_keys_between_chosen_tables_come_along(shop: MemorySource, empty: Target) -> None:
    ENGINE.restore(shop, empty, jobs=2, tables=["items", "orders", "users"])
    found = (
        "SELECT constraint_name FROM information_schema.referential_constraints WHERE constraint_schema = database()"
    )
    assert {name for (name,) in execute(empty, found)} == {"of_order", "of_user"}


def test_only_the_members_of_chosen_tables_are_read(shop: MemorySource, empty: Target) -> None:
    shop.read_members.clear()
    ENGINE.restore(shop, empty, tables=["products"])
    assert {member.table for member in shop.read_members if member.section == "data"} <= {None, "products"}


@pytest.mark.parametrize(
    ("wanted", "words"), [("oders", "orders"), ("nothing like it", "no table nothing like it"), ("Od Name", "Odd Name")]
)
def test_a_table_that_is_not_there_is_refused_before_anything_is_done(
    shop: MemorySource, empty: Target, wanted: str, words: str
) -> None:
    with pytest.raises(NotFound) as refused:
        ENGINE.restore(shop, empty, tables=[wanted])
    assert words in str(refused.value)
    assert tables(empty) == set()


@pytest.mark.parametrize("wanted", ["Odd Name", "`Odd Name`", "odd name"])
def test_an_odd_name_may_be_given_with_or_without_backticks(shop: MemorySource, empty: Target, wanted: str) -> None:
    ENGINE.restore(shop, empty, tables=[wanted])
    assert tables(empty) == {"Odd Name"}


def client(target: Target, text: bytes, folder: Path) -> "subprocess.CompletedProcess[bytes]":
    """The stock client, as a person without us would use it."""
    program = best("client", "mariadb")
    with option_file(target, "mariadb") as options:
        return subprocess.run(
            [str(program.path), f"--defaults-extra-file={options}", target.database],
            input=text,
            capture_output=True,
            check=False,
            cwd=folder,
        )


def test_an_export_is_the_archive_s_text_and_the_stock_client_restores_it(
    shop: MemorySource, empty: Target, tmp_path: Path
) -> None:
    text = b"".join(ENGINE.export(shop, None))
    assert text == shop.text
    finished = client(empty, text, tmp_path)
    assert (finished.returncode, finished.stderr) == (0, b"")
    found = {each.object for each in compared(ENGINE, shop, taken(ENGINE, empty), empty)}
    # The client does not know that the sequence of a default is another one in another schema: our restore does.
    assert found == {"TABLE orders"}


def test_the_stock_client_restores_an_export_of_some_tables(shop: MemorySource, empty: Target, tmp_path: Path) -> None:
    finished = client(empty, b"".join(ENGINE.export(shop, ["orders", "Odd Name"])), tmp_path)
    assert (finished.returncode, finished.stderr) == (0, b"")
    assert tables(empty) == {"orders", "Odd Name"}
    assert execute(empty, "SELECT count(*) FROM orders") == [(2000,)]


HOSTILE = [
    pytest.param(b"CREATE TABLE `users`", b"\\! true\nCREATE TABLE `users`", id="a shell"),
    pytest.param(b"CREATE TABLE `users`", b"system true;\nCREATE TABLE `users`", id="a shell by name"),
    pytest.param(b"CREATE TABLE `users`", b"source x.sql;\nCREATE TABLE `users`", id="a file"),
    pytest.param(b"CREATE TABLE `users`", b"USE mysql;\nCREATE TABLE `users`", id="another schema"),
    pytest.param(b"CREATE TABLE `users`", b"CREATE TABLE `mysql`.`users`", id="a table elsewhere"),
    pytest.param(b"CREATE TABLE `users`", b"SET GLOBAL general_log = 1;\nCREATE TABLE `users`", id="the server"),
    pytest.param(b"CREATE TABLE `users`", b"GRANT ALL ON *.* TO x;\nCREATE TABLE `users`", id="a right"),
    pytest.param(b"CREATE TABLE `users`", b"INSTALL SONAME 'x';\nCREATE TABLE `users`", id="a library"),
    pytest.param(b"CREATE TABLE `users`", b"DROP DATABASE live;\nCREATE TABLE `users`", id="a schema gone"),
    pytest.param(b"VALUES\n(1,'user1", b"VALUES\n(1,LOAD_FILE('/etc/passwd')),\n(1,'user1", id="a call among rows"),
    pytest.param(b");\n", b");\nSELECT 1 INTO OUTFILE '/tmp/x';\n", id="a statement behind rows"),
    pytest.param(b"INSERT INTO `users`", b"INSERT INTO `products`", id="rows for another table"),
]


@pytest.mark.parametrize(("where", "what"), HOSTILE)
def test_what_the_dump_tool_never_writes_is_refused_and_does_nothing(
    shop: MemorySource, empty: Target, where: bytes, what: bytes
) -> None:
    hostile = shop.replaced(
        lambda member, text: text.replace(where, what, 1) if member.table in (None, "users") else text
    )
    assert hostile.text != shop.text
    before = execute(empty, "SHOW GLOBAL VARIABLES LIKE 'general_log'")
    with pytest.raises(Damaged):
        ENGINE.restore(hostile, empty, jobs=2)
    with pytest.raises(Damaged):
        list(ENGINE.export(hostile, None))
    assert execute(empty, "SHOW GLOBAL VARIABLES LIKE 'general_log'") == before
    assert "users" not in tables(empty) or execute(empty, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"\n(7,'product 7',7.00),", b"\n(7,'product 7',7.00),\n(51,'one more',1.00),", id="a row more"),
        pytest.param(b"\n(7,'product 7',7.00),", b"", id="a row less"),
        pytest.param(b"(50,'product 50',50.00);\n", b"(50,'product 50',50.00)", id="cut"),
    ],
)
def test_rows_that_are_not_what_the_manifest_says_are_found(
    shop: MemorySource, empty: Target, old: bytes, new: bytes
) -> None:
    with pytest.raises(Damaged, match="products"):
        ENGINE.restore(changed(shop, "products", old, new), empty)


def test_a_row_twice_is_an_error_that_names_the_table_and_shows_no_row(shop: MemorySource, empty: Target) -> None:
    """A file's row that is there already would be left out with a warning, and no word of it."""
    broken = changed(shop, "products", b"(7,'product 7',7.00)", b"(6,'secret',7.00)")
    with pytest.raises(RestoreFailed) as failed:
        ENGINE.restore(broken, empty)
    assert "rows of products" in str(failed.value)
    assert "secret" not in str(failed.value)


def test_an_error_names_the_entry(shop: MemorySource, empty: Target) -> None:
    broken = shop.replaced(lambda member, text: text.replace(b"from `products` where", b"from `gone` where"))
    with pytest.raises(RestoreFailed, match=r"VIEW dear: .*gone"):
        ENGINE.restore(broken, empty, jobs=2)


def test_a_statement_longer_than_the_server_takes_is_refused_before_it_is_sent(fresh_schema: FreshSchema) -> None:
    with server() as target:
        execute(target, "CREATE DATABASE live; CREATE DATABASE beside")
        execute(target.to("live"), "CREATE TABLE t (a longblob) ENGINE = MyISAM")
        execute(target.to("live"), "INSERT INTO t VALUES (REPEAT(0x00, 12000000))")
        source = taken(ENGINE, target.to("live"))
        execute(target, "SET GLOBAL max_allowed_packet = 16777216")
        assert [lack.name for lack in ENGINE.lacks(target.to("beside"), source.manifest)] == [
            f"max_allowed_packet of {source.manifest.tables[0].longest_statement_bytes} bytes"
        ]
        with pytest.raises(RestoreFailed, match="SET GLOBAL max_allowed_packet = 33554432"):
            ENGINE.restore(source, target.to("beside"))


def test_a_row_that_only_its_own_server_takes_is_known_before_a_restore(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    """It is as long as others together, so no member's length tells of it."""
    live = fresh_schema(mariadb, "CREATE TABLE t (id int PRIMARY KEY, a longtext)")
    execute(live, "INSERT INTO t SELECT seq, REPEAT('x', 1000) FROM seq_1_to_900")
    execute(live, "INSERT INTO t VALUES (1000, REPEAT('x', 2500000))")
    source = taken(ENGINE, live)
    [table] = source.manifest.tables
    assert 2_500_000 < (table.longest_statement_bytes or 0) < 2_501_000
    earlier = table.model_copy(update={"longest_statement_bytes": None})
    with server() as target:
        execute(target, "CREATE DATABASE beside; SET GLOBAL max_allowed_packet = 2097152, local_infile = 0")
        [lack] = ENGINE.lacks(target.to("beside"), source.manifest)
        assert lack.refuses
        assert lack.name == f"max_allowed_packet of {table.longest_statement_bytes} bytes"
        assert "SET GLOBAL max_allowed_packet = 4194304" in lack.remedy
        assert not ENGINE.lacks(target.to("beside"), source.manifest.model_copy(update={"tables": (earlier,)}))
        execute(target, "SET GLOBAL max_allowed_packet = 4194304")
        assert not ENGINE.lacks(target.to("beside"), source.manifest)


def test_the_first_error_stops_every_connection_promptly(mariadb: Target, fresh_schema: FreshSchema) -> None:
    live = fresh_schema(
        mariadb,
        "CREATE TABLE a (id int AUTO_INCREMENT PRIMARY KEY, t text); CREATE TABLE b (id int PRIMARY KEY, t text);"
        "INSERT INTO a SELECT seq, REPEAT('x', 900) FROM seq_1_to_60000;"
        "INSERT INTO b SELECT seq, REPEAT('x', 900) FROM seq_1_to_60000",
    )
    broken = changed(taken(ENGINE, live), "b", b"\n(2,", b"\n(1,")
    started = time.monotonic()
    with pytest.raises(RestoreFailed, match="rows of b"):
        ENGINE.restore(broken, beside := fresh_schema(mariadb), jobs=2)
    assert time.monotonic() - started < 30
    ours = "SELECT id FROM information_schema.processlist WHERE db = %s"
    # A session has let go of its client a moment before it is gone.
    eventually(lambda: execute(mariadb, ours, (beside.database,)) == [], 20, "no connection is left")


def test_a_server_that_dies_midway_is_a_lost_connection_and_no_hang() -> None:
    with server() as target:
        execute(target, "CREATE DATABASE live; CREATE DATABASE beside")
        script = (
            "CREATE TABLE t (i int PRIMARY KEY, a text); INSERT INTO t SELECT seq, REPEAT('x', 500) FROM seq_1_to_{}"
        )
        execute(target.to("live"), script.format(90000))
        source = taken(ENGINE, target.to("live"))
        [[file]] = execute(target, "SELECT @@pid_file")
        pid = int(Path(file).read_text())
        with pytest.raises(ConnectionLost):
            ENGINE.restore(source, target.to("beside"), jobs=2, progress=lambda _: os.kill(pid, signal.SIGKILL))


def test_many_foreign_keys_over_the_same_tables_do_not_deadlock(mariadb: Target, fresh_schema: FreshSchema) -> None:
    script = "".join(
        f"CREATE TABLE t{i} (id int PRIMARY KEY, a int, b int, c int, KEY (a), KEY (b), KEY (c));"
        f"INSERT INTO t{i} SELECT seq, seq, seq, seq FROM seq_1_to_3000;"
        for i in range(8)
    )
    script += "".join(
        f"ALTER TABLE t{i} ADD FOREIGN KEY ({column}) REFERENCES t{(i * 3 + k) % 8} (id);"
        for i in range(8)
        for k, column in enumerate("abc")
    )
    live = fresh_schema(mariadb, script)
    with round_trip(ENGINE, live, live.to(f"{live.database}_beside"), jobs=6) as returned:
        assert returned.differences == ()


def test_statistics_are_there_afterwards(shop: MemorySource, empty: Target) -> None:
    ENGINE.restore(shop, empty, jobs=2)
    sampled = "SELECT table_name, n_rows FROM mysql.innodb_table_stats WHERE database_name = database()"
    assert dict(execute(empty, sampled))["orders"] == 2000


def test_nothing_restored_beside_a_live_schema_reaches_it(mariadb: Target, fresh_schema: FreshSchema) -> None:
    """Defaults, qualified names in bodies, events: rows and the next number of the live schema stay as they are."""
    live = fresh_schema(mariadb, "CREATE TABLE log (a int); CREATE SEQUENCE s")
    name = live.database
    execute(
        live,
        [
            f"CREATE TABLE t (a bigint DEFAULT NEXTVAL({name}.s) PRIMARY KEY, b int)",
            f"CREATE TRIGGER tr AFTER INSERT ON {name}.t FOR EACH ROW INSERT INTO {name}.log VALUES (NEW.b)",
            f"CREATE PROCEDURE p() INSERT INTO `{name}` . `log` SELECT {name}.t.b FROM {name}.t",
            f"CREATE VIEW v AS SELECT a FROM {name}.log",
            f"CREATE EVENT e ON SCHEDULE EVERY 1 SECOND DO INSERT INTO {name}.log VALUES (0)",
        ],
    )
    source = taken(ENGINE, live)
    execute(live, ["ALTER EVENT e DISABLE", "DELETE FROM log"])
    time.sleep(1.1)
    execute(live, "DELETE FROM log")
    before = execute(live, "SELECT next_not_cached_value FROM s")
    beside = fresh_schema(mariadb)
    left_out = ENGINE.restore(source, beside, jobs=2)
    events = execute(beside, "SELECT count(*) FROM log WHERE a = 0")
    execute(beside, ["INSERT INTO t (b) VALUES (1), (2)", "CALL p()", "INSERT INTO v VALUES (3)"])
    time.sleep(2.5)
    assert execute(live, "SELECT count(*) FROM log") == [(0,)]
    assert execute(live, "SELECT next_not_cached_value FROM s") == before
    assert execute(beside, "SELECT count(*) FROM log WHERE a > 0") == [(5,)]
    assert execute(beside, "SELECT count(*) FROM log WHERE a = 0") == events
    assert left_out == ["EVENT e was restored disabled, since it would run beside the live schema"]
    with pytest.raises(CannotProve, match="events"):
        ENGINE.restore(source, fresh_schema(mariadb), keep_order=True)


def test_an_event_whose_time_has_passed_comes_back_in_a_proof(mariadb: Target, fresh_schema: FreshSchema) -> None:
    live = fresh_schema(mariadb)
    execute(
        live,
        [
            "CREATE EVENT soon ON SCHEDULE AT now() + INTERVAL 2 SECOND DISABLE DO SET @x = 1",
            "CREATE EVENT done ON SCHEDULE EVERY 1 HOUR ENDS now() + INTERVAL 2 SECOND DISABLE DO SET @x = 1",
        ],
    )
    source = taken(ENGINE, live)
    time.sleep(3)
    with workspace("events") as folder, ENGINE.scratch(source.manifest, folder) as target:
        assert ENGINE.restore(source, target, keep_order=True) == []
        assert compared(ENGINE, source, taken(ENGINE, target), target) == ()


def test_rights_go_to_who_is_there_and_nobody_else_is_made_by_them(mariadb: Target, fresh_schema: FreshSchema) -> None:
    """By default a GRANT to who is not there is refused; in another ``sql_mode`` it makes an open account."""
    live = fresh_schema(mariadb, "CREATE TABLE t (a int)")
    gone, role = f"gone_{os.getpid()}", f"role_{os.getpid()}"
    execute(
        mariadb,
        [
            f"CREATE USER {gone}@localhost IDENTIFIED BY 'x'",
            f"CREATE ROLE {role}",
            f"GRANT SELECT ON {live.database}.* TO {gone}@localhost",
            f"GRANT SELECT ON {live.database}.* TO {role}",
            f"GRANT {role} TO {gone}@localhost",
        ],
    )
    source = taken(ENGINE, live)
    accounts = f"SELECT User, Host FROM mysql.user WHERE User = '{gone}'"
    mode = execute(mariadb, "SELECT @@global.sql_mode")[0][0]
    beside = mariadb.to(f"{live.database}_beside")
    try:
        execute(mariadb, [f"DROP USER {gone}@localhost", "SET GLOBAL sql_mode = ''"])
        assert [lack.name for lack in ENGINE.lacks(beside, source.manifest) if lack.refuses] == [
            f"`{gone}`@`localhost`"
        ]
        ENGINE.create(beside, source.manifest)
        told = ENGINE.apply_globals(beside, source.manifest)
        assert len(told) == 1
        assert gone in told[0]
        assert execute(mariadb, accounts) == []
        ENGINE.provide(beside, source.manifest, ENGINE.lacks(beside, source.manifest))
        assert ENGINE.apply_globals(beside, source.manifest) == []
        described = "SELECT json_value(priv, '$.account_locked'), json_value(priv, '$.authentication_string') <> '' "
        assert execute(mariadb, f"{described} FROM mysql.global_priv WHERE User = '{gone}'") == [("1", 1)]
        assert execute(mariadb, f"SELECT User FROM mysql.roles_mapping WHERE Role = '{role}' AND User = '{gone}'")
        # Who lost a role since then does not get it back by a restore beside.
        execute(mariadb, f"REVOKE {role} FROM {gone}@localhost")
        assert ENGINE.apply_globals(beside, source.manifest) == []
        assert not execute(mariadb, f"SELECT User FROM mysql.roles_mapping WHERE Role = '{role}' AND User = '{gone}'")
    finally:
        execute(mariadb, f"SET GLOBAL sql_mode = '{mode}'")
        ENGINE.drop(beside)
        execute(mariadb, [f"DROP USER IF EXISTS {gone}@localhost", f"DROP ROLE {role}"])


def test_functions_that_a_binary_log_forbids_are_told_before_anything_is_made(
    mariadb: Target, mariadb_plain: Target, fresh_schema: FreshSchema
) -> None:
    live = fresh_schema(mariadb_plain, "CREATE FUNCTION f() RETURNS int RETURN 1")
    source = taken(ENGINE, live)
    lacking = ENGINE.lacks(mariadb.to("not there"), source.manifest)
    assert [lack.name for lack in lacking] == ["log_bin_trust_function_creators"]
    with pytest.raises(ConfigurationError, match=r"FUNCTION f.*SET GLOBAL log_bin_trust_function_creators"):
        ENGINE.restore(source, fresh_schema(mariadb))


def test_an_existing_empty_schema_is_used_and_a_full_one_refused(shop: MemorySource, empty: Target) -> None:
    assert ENGINE.create(empty, shop.manifest) is False
    execute(empty, "CREATE PROCEDURE precious() SELECT 1")
    with pytest.raises(AlreadyExists, match="not empty"):
        ENGINE.create(empty, shop.manifest)


def test_a_schema_is_dropped_with_its_sessions_and_nothing_else_is(
    shop: MemorySource, mariadb: Target, empty: Target
) -> None:
    target = mariadb.to(f"{empty.database}_to_be_dropped")
    assert ENGINE.create(target, shop.manifest) is True
    with closing(connection(target)) as busy, busy.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a int)")
        cursor.execute("START TRANSACTION")
        cursor.execute("INSERT INTO t VALUES (1)")
        started = time.monotonic()
        ENGINE.drop(target)
        assert time.monotonic() - started < 10
    assert ENGINE.create(empty, shop.manifest) is False


def test_the_server_shows_each_table_as_before_whatever_its_keys(mariadb: Target, fresh_schema: FreshSchema) -> None:
    """Random tables: made as the archive has them and made in two steps, they look the same."""
    whole, steps = fresh_schema(mariadb), fresh_schema(mariadb)
    compared_tables = deferred_keys = 0
    chosen = random.Random(3)
    with connected(whole) as first, connected(steps) as second:
        for each in (first, second):
            rows(each, "SET SESSION foreign_key_checks = 0")
            rows(each, "CREATE TABLE parent (i int PRIMARY KEY, u bigint unsigned, UNIQUE KEY (u))")
        for number in range(250):
            try:
                rows(first, _random_table(chosen, f"t{number}"))
            except pymysql.Error:
                continue  # what no server makes
            shown = rows(first, f"SHOW CREATE TABLE t{number}")[0][1]
            rows(first, f"DROP TABLE t{number}")
            rows(first, shown)
            if rows(first, f"SHOW CREATE TABLE t{number}")[0][1] != shown:
                continue  # nor does the stock client bring it back
            later = deferred(divided(shown.encode()))
            for sql in (later.create, *later.keys, *([later.links] if later.links else [])):
                second.query(sql)
            assert rows(second, f"SHOW CREATE TABLE t{number}")[0][1] == shown
            compared_tables += 1
            deferred_keys += len(later.keys)
    assert compared_tables > 150
    assert deferred_keys > 100


_NAMES = ["a", "b`c", "d,e", "f(g", "h)i", "j'k", "KEY", "n\no", "ü"]
_TYPES = ["int", "bigint unsigned", "varchar(40)", "text", "datetime(3)", "varbinary(20)", "enum('a,b','c)d')"]


def _random_table(chosen: random.Random, name: str) -> str:
    columns = {each: chosen.choice(_TYPES) for each in chosen.sample(_NAMES, chosen.randint(3, 8))}
    whole = [each for each, kind in columns.items() if "int" in kind]
    counted = chosen.choice(whole) if whole and chosen.random() < 0.5 else None
    parts = [_column(chosen, each, kind, each == counted) for each, kind in columns.items()]
    if chosen.random() < 0.3:
        columns["made"] = "int"
        kind = chosen.choice(["VIRTUAL", "STORED"])
        parts.append(f"made int GENERATED ALWAYS AS (char_length({quote_ident(next(iter(columns)))})) {kind}")
    keys = [f"KEY counted ({quote_ident(counted)})"] if counted else []
    if chosen.random() < 0.8:
        keys.append(f"PRIMARY KEY ({_of(columns, counted or next(iter(columns)))})")
    for number in range(chosen.randint(0, 5)):
        kind = chosen.choice(["KEY", "KEY", "UNIQUE KEY", "FULLTEXT KEY"])
        held = chosen.sample(list(columns), chosen.randint(1, 3)) if kind != "FULLTEXT KEY" else [next(iter(columns))]
        listed = ", ".join(_of(columns, each) if kind != "FULLTEXT KEY" else quote_ident(each) for each in held)
        said = chosen.choice(["", " COMMENT 'k, )'", " USING BTREE", " USING HASH"]) if kind != "FULLTEXT KEY" else ""
        keys.append(f"{kind} {quote_ident(f'k{number}' + chosen.choice(_NAMES))} ({listed}){said}")
    # SHOW CREATE TABLE forgets to double a backtick in a foreign key: no dump of such a table can be restored.
    if whole and "`" not in whole[0]:
        target = "u" if "bigint" in columns[whole[0]] else "i"
        link = f"FOREIGN KEY ({quote_ident(whole[0])}) REFERENCES parent ({target})"
        keys.append(f"CONSTRAINT {name}_l {link}{chosen.choice([' ON DELETE CASCADE', ''])}")
    chosen.shuffle(keys)
    return f"CREATE TABLE {name} ({', '.join(parts + keys)}) ENGINE = InnoDB"


def _column(chosen: random.Random, name: str, kind: str, counted: bool) -> str:
    words = [quote_ident(name), kind, "NOT NULL" if counted or chosen.random() < 0.6 else ""]
    return " ".join([*words, "AUTO_INCREMENT" * counted, chosen.choice(["", "COMMENT 'c, ) FOREIGN KEY (`'"])])


def _of(columns: dict[str, str], name: str) -> str:
    return quote_ident(name) + ("(10)" if columns[name] == "text" else "")
