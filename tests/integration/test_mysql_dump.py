"""A dump of a real MariaDB server holds all there is, spelled so that it can be divided and restored."""

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from backproof import subprocesses
from backproof.engines.mysql import ENGINE, binaries, dumptool
from backproof.engines.mysql.dump import open_dump, whole_entries
from backproof.engines.mysql.names import quote_ident
from backproof.errors import (
    DumpFailed,
    NotFound,
)
from backproof.records import Target
from tests.support.mariadb_fixtures import FreshAccount, FreshSchema, execute
from tests.support.mysql_dumps import LATER, body, drained, expect_nothing_left, keys, rows
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
    # One more for the other of two kinds: read by key, and as they lie.
    assert (one[2], several[2]) == (2, jobs + 1)


def test_many_small_tables_are_read_by_one_run_that_names_none_of_them(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    script = "".join(f"CREATE TABLE t{n} (a int); INSERT INTO t{n} VALUES ({n});" for n in range(150))
    target = fresh_schema(mariadb, script + "CREATE TABLE link (a int, b int, PRIMARY KEY (a, b), KEY (b))")
    tables, _, streams = content(target, 4)
    assert streams == 2
    assert len(tables) == 151
    assert tables["t149"] == b"INSERT INTO `t149` VALUES\n(149);\n"


def test_rows_that_an_index_holds_too_come_in_the_order_of_the_primary_key(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    rows = "SELECT seq AS a, 1000 - seq AS b"
    target = fresh_schema(
        mariadb,
        f"CREATE TABLE link (a int, b int, PRIMARY KEY (a), KEY (b)); INSERT INTO link {rows} FROM seq_1_to_999;"
        f"CREATE TABLE wide (a int PRIMARY KEY, b int, c int, KEY (b)); INSERT INTO wide {rows}, 0 FROM seq_1_to_999;"
        "CREATE TABLE other (a int NOT NULL, b int, c int, UNIQUE KEY (a))",
    )
    tables, _, streams = content(target, 2)
    assert streams == 2
    with open_dump(target, 2) as dump:
        told = {piece.table for piece in drained(dump) if b"ORDER BY" in piece.head}
    assert told == {"link", "other"}  # the order of the others can be no other
    assert [tables[name].splitlines()[1][:7] for name in ("link", "wide")] == [b"(1,999)", b"(1,999,"]


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
    as_bytes = value.encode({"utf8mb4": "utf-8"}.get(charset, charset))
    assert body(found, "`ж é 日`") == "INSERT INTO `ж é 日` VALUES\n('".encode() + as_bytes + b"');\n"


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


def test_a_view_that_stands_on_what_is_gone_is_told_by_name(mariadb: Target, fresh_schema: FreshSchema) -> None:
    target = fresh_schema(mariadb, "CREATE TABLE t (a int); CREATE VIEW broken AS SELECT * FROM t; DROP TABLE t")
    with pytest.raises(DumpFailed, match="broken") as caught, open_dump(target):
        pass
    assert "Repair the view" in caught.value.remedy


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
