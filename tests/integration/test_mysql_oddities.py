"""What MariaDB takes and its own tools stumble over, found among the objects of its own test suite."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from backproof.engines.mysql import ENGINE
from backproof.engines.mysql.connect import connected, rows, translate
from backproof.engines.mysql.load import Filling
from backproof.engines.mysql.names import quote_account
from backproof.engines.mysql.server import private_server
from backproof.engines.mysql.sessions import make
from backproof.errors import CannotProve, ConfigurationError, DumpFailed, RestoreFailed
from backproof.records import Target
from backproof.scratch import make_folder, workspace
from tests.support.debian_samples import MARIADB_PLUGINS
from tests.support.mariadb_fixtures import FreshAccount, FreshSchema, connection, execute, server
from tests.support.round_trip import round_trip, taken


@pytest.fixture(scope="module")
def scratch(mariadb: Target) -> Iterator[Target]:
    execute(mariadb, "CREATE DATABASE oddities")
    try:
        manifest = taken(ENGINE, mariadb.to("oddities")).manifest
    finally:
        execute(mariadb, "DROP DATABASE oddities")
    with workspace("zoo") as folder, ENGINE.scratch(manifest, folder) as target:
        yield target


def said(target: Target, word: str) -> list[str]:
    return [each for each in taken(ENGINE, target).manifest.database.not_carried if word in each]


@pytest.mark.parametrize(
    "event",
    [
        "`odd;;name` ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1",
        "tick ON SCHEDULE EVERY 1 DAY DISABLE COMMENT 'a;;b' DO SELECT 1",
        "tick ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT ';;'",
    ],
)
def test_an_event_on_which_the_dump_tool_never_ends_is_refused_by_name(
    mariadb: Target, fresh_schema: FreshSchema, event: str
) -> None:
    live = fresh_schema(mariadb, f"CREATE EVENT {event}")
    begun = time.monotonic()
    with pytest.raises(DumpFailed, match=r"never ends on .* (tick|`odd;;name`|odd;;name)"):
        taken(ENGINE, live)
    assert time.monotonic() - begun < 30
    [finding] = [each for each in ENGINE.findings(live) if each.check == "events"]
    assert finding.status == "failed"
    assert "procedure" in finding.remedy


def test_two_semicolons_elsewhere_do_no_harm(mariadb: Target, scratch: Target, fresh_schema: FreshSchema) -> None:
    live = fresh_schema(mariadb, "CREATE TABLE t (a text COMMENT ';;' DEFAULT ';;'); INSERT INTO t VALUES (';;')")
    execute(live, "CREATE PROCEDURE p() SELECT ';;'")
    execute(live, "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.a = ';;'")
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()


def test_tables_in_folders_of_their_own_come_back_where_a_server_keeps_its_tables(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema
) -> None:
    with workspace("test") as folder:
        place = folder / "elsewhere"
        make_folder(place)
        place.chmod(0o777)
        live = fresh_schema(mariadb, f"CREATE TABLE t (a int) DATA DIRECTORY = '{place}'; INSERT INTO t VALUES (1)")
        execute(
            live,
            "CREATE TABLE p (a int) PARTITION BY RANGE (a)"
            f" (PARTITION p0 VALUES LESS THAN (5) DATA DIRECTORY '{place}')",
        )
        execute(live, "CREATE TABLE here (a int COMMENT 'DATA DIRECTORY=''/x''')")
        assert len(list(place.rglob("*.ibd"))) == 2
        with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
            assert returned.differences == ()
            assert "DIRECTORY" not in execute(returned.target, "SHOW CREATE TABLE t")[0][1]
            assert "DIRECTORY=''/x''" in execute(returned.target, "SHOW CREATE TABLE here")[0][1]
        assert len(list(place.rglob("*.ibd"))) == 2
        [sentence] = said(live, "folders")
        assert sentence.endswith(": TABLE p, TABLE t.")


def test_tables_that_name_another_server_are_named(mariadb: Target, scratch: Target, fresh_schema: FreshSchema) -> None:
    live = fresh_schema(
        mariadb, "CREATE TABLE far (a int) CONNECTION = 'mysql://u:secret@host/d/t'; CREATE TABLE t (a int)"
    )
    [sentence] = said(live, "CONNECTION")
    assert sentence.endswith(": TABLE far.")
    assert "secret" not in sentence
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()


def test_foreign_keys_to_other_schemas_come_back_and_are_named(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema
) -> None:
    other = fresh_schema(mariadb, "CREATE TABLE parent (a int PRIMARY KEY); INSERT INTO parent VALUES (1)")
    live = fresh_schema(
        mariadb,
        "CREATE TABLE own (a int PRIMARY KEY COMMENT 'REFERENCES `x`.`y` (`a`)');"
        " CREATE TABLE child (a int, FOREIGN KEY (a) REFERENCES own (a))",
    )
    execute(live, f"CREATE TABLE far (a int, FOREIGN KEY (a) REFERENCES `{other.database}`.parent (a))")
    [sentence] = said(live, "other schemas")
    assert sentence.endswith(": TABLE far.")
    [finding] = [each for each in ENGINE.findings(live) if each.check == "foreign keys"]
    assert finding.status == "warning"
    assert "far" in finding.found
    assert "child" not in finding.found
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()
        assert f"REFERENCES `{other.database}`.`parent`" in execute(returned.target, "SHOW CREATE TABLE far")[0][1]


def test_a_primary_key_that_came_after_unique_ones_is_no_difference(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema
) -> None:
    live = fresh_schema(
        mariadb, "CREATE TABLE t (a int, b int, UNIQUE KEY of_b (b), UNIQUE KEY of_a (a)); INSERT INTO t VALUES (1, 2)"
    )
    execute(live, "ALTER TABLE t ADD PRIMARY KEY (a)")
    shown = execute(live, "SHOW CREATE TABLE t")[0][1]
    assert shown.index("of_b") < shown.index("of_a"), "the server itself sorts them: this test is of no use any more"
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()
        made = execute(returned.target, "SHOW CREATE TABLE t")[0][1]
        assert made.index("of_a") < made.index("of_b")
        assert {line.strip(" ,") for line in made.splitlines()} == {line.strip(" ,") for line in shown.splitlines()}


def test_dates_and_times_as_mariadb_5_3_wrote_them_come_back_in_the_format_of_today(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema
) -> None:
    live = fresh_schema(mariadb)
    old = "/* mariadb-5.3 */"
    execute(live, "SET GLOBAL mysql56_temporal_format = OFF")
    try:
        execute(
            live,
            f"CREATE TABLE t (a datetime, b timestamp(3), c time(2), e int COMMENT '{old}', `{old}` int);"
            " CREATE TABLE dated (d date)".split(";"),
        )
    finally:
        execute(live, "SET GLOBAL mysql56_temporal_format = ON")
    execute(live, "INSERT INTO t VALUES ('2020-01-02 03:04:05', '2021-01-02 03:04:05.678', '-01:02:03.45', 1, 2)")
    assert execute(live, "SHOW CREATE TABLE t")[0][1].count(old) == 5
    [sentence] = said(live, "MariaDB 5.3")
    assert sentence.endswith(": TABLE t.")
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()
        assert execute(returned.target, "SHOW CREATE TABLE t")[0][1].count(old) == 2
        stored, came = (execute(each, "SELECT a, c, e FROM t") for each in (live, returned.target))
        assert stored == came


def test_days_that_the_calendar_lacks_come_back(mariadb: Target, scratch: Target, fresh_schema: FreshSchema) -> None:
    live = fresh_schema(mariadb)
    execute(
        live,
        [
            "SET sql_mode = 'ALLOW_INVALID_DATES'",
            "CREATE TABLE t (a date DEFAULT '2008-02-31', b datetime)",
            "INSERT INTO t VALUES ('2009-02-30', '2009-04-31 10:00:00')",
        ],
    )
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()
        assert execute(returned.target, "SELECT concat(a, ' ', b) FROM t") == [("2009-02-30 2009-04-31 10:00:00",)]


def test_since_when_a_row_is_valid_comes_back_where_a_table_shows_it(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema
) -> None:
    live = fresh_schema(
        mariadb,
        "CREATE TABLE t (a int, s timestamp(6) GENERATED ALWAYS AS ROW START,"
        " e timestamp(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING;"
        " INSERT INTO t (a) VALUES (1), (2); DELETE FROM t LIMIT 1",
    )
    since = "SELECT unix_timestamp(s) FROM t"
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()
        assert execute(returned.target, since) == execute(live, since)


def test_an_event_whose_time_is_long_over_comes_back(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema
) -> None:
    live = fresh_schema(mariadb)
    execute(
        live,
        [
            "SET timestamp = 1000000000",
            "CREATE EVENT once ON SCHEDULE AT '2001-09-10 00:00:00' DISABLE DO SELECT 1",
            "CREATE EVENT often ON SCHEDULE EVERY 1 DAY STARTS '2001-09-09 12:00:00' ENDS '2002-01-01 00:00:00' DISABLE"
            " DO SELECT \"AT '2000-13-77 '\"",
        ],
    )
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()
        assert {"EVENT once", "EVENT often"} <= returned.again.manifest.entries.keys()


def test_a_sequence_may_have_the_options_of_a_table(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema
) -> None:
    live = fresh_schema(mariadb, "CREATE SEQUENCE s COMMENT = 'it''s; a \\\\ sequence'")
    execute(live, "CREATE SEQUENCE o ENGINE = InnoDB PAGE_COMPRESSED = 'ON'")
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()


@pytest.mark.parametrize(
    ("options", "change", "following"),
    [("START WITH 5", "START 100", 5), ("START WITH 100", "RESTART 7", 7), ("INCREMENT BY -1", "RESTART -9", -9)],
)
def test_a_sequence_that_goes_on_before_its_start_comes_back(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema, options: str, change: str, following: int
) -> None:
    live = fresh_schema(mariadb, f"CREATE SEQUENCE s {options}; ALTER SEQUENCE s {change}")
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()
        assert execute(returned.target, "SELECT NEXTVAL(s)") == [(following,)]


def test_what_a_role_defines_comes_back_on_a_scratch_server_of_the_same_machine_and_port() -> None:
    identity = "SELECT @@server_uid"
    with workspace("test") as folder, workspace("test") as place, private_server(folder) as home:
        execute(home, "CREATE DATABASE live; CREATE ROLE clerk")
        live = home.to("live")
        execute(live, "CREATE TABLE t (a int); CREATE DEFINER = clerk VIEW v AS SELECT * FROM t")
        execute(live, "CREATE DEFINER = clerk PROCEDURE p() SELECT 1")
        execute(live, "CREATE DEFINER = clerk TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1")
        with ENGINE.scratch(taken(ENGINE, live).manifest, place) as scratch:
            assert execute(scratch, identity) == execute(home, identity)
            with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
                assert returned.differences == ()


def test_views_of_definers_without_rights_or_long_gone_come_back(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema, fresh_account: FreshAccount
) -> None:
    live = fresh_schema(mariadb, "CREATE TABLE t (a int, `b``.c` int)")
    execute(live, "CREATE FUNCTION f(i int) RETURNS int DETERMINISTIC RETURN i")
    definers = [quote_account(fresh_account(mariadb).user, "localhost"), "`gone`@`%`"]
    for number, definer in enumerate(definers):
        view = f"CREATE DEFINER = {definer} SQL SECURITY DEFINER VIEW"
        execute(live, f"{view} v{number} AS SELECT a, f(a + 1) AS b, `b``.c` FROM t WHERE a IN (SELECT t.a FROM t)")
        execute(live, f"{view} mixed{number} AS SELECT t.a, User FROM t, mysql.db")
    assert "`.`t`.`a` AS `a`" in execute(live, "SHOW CREATE VIEW v0")[0][1]
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()
        assert "select `t`.`a` AS `a`" in execute(returned.target, "SHOW CREATE VIEW v0")[0][1]


def test_rows_that_aria_puts_wherever_there_is_room_come_back(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema
) -> None:
    definition = (
        "CREATE TABLE t (id int PRIMARY KEY, a varchar(3000), b varchar(3000)) ENGINE = Aria CHARACTER SET latin1"
    )
    live = fresh_schema(mariadb, definition)
    values = "seq, repeat('x', seq * 7919 % 3000), repeat('y', seq * 104729 % 3000)"
    execute(live, f"INSERT INTO t SELECT {values} FROM seq_1_to_2000; DELETE FROM t WHERE id % 3 = 0")
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert execute(live, "SELECT * FROM t") != execute(returned.target, "SELECT * FROM t")
        assert returned.differences == ()


def test_rights_on_what_is_gone_are_named_and_no_difference(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema, fresh_account: FreshAccount
) -> None:
    live = fresh_schema(mariadb, "CREATE TABLE t (a int, b int); CREATE TABLE left_over (a int)")
    schema = live.database
    both = fresh_account(
        mariadb, f"SELECT ON {schema}.t", f"SELECT ON {schema}.left_over", f"UPDATE (a, b) ON {schema}.t"
    )
    alone = fresh_account(mariadb, f"SELECT (a) ON {schema}.left_over")
    execute(live, "DROP TABLE left_over; ALTER TABLE t DROP COLUMN b")
    gone = ((both, "left_over"), (both, "t.b"), (alone, "left_over.a"))
    [sentence] = said(live, "gone")
    names = sorted((f"`{each.user}`@`localhost`", what) for each, what in gone)
    assert sentence.endswith(f": {', '.join(f'{account} on {what}' for account, what in names)}.")
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()
        assert returned.left_out == ()


def test_rights_on_packages_come_back_and_go_with_their_schema(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema, fresh_account: FreshAccount
) -> None:
    live = fresh_schema(mariadb)
    account = f"`{fresh_account(mariadb).user}`@`localhost`"
    kinds = ("PACKAGE", "PACKAGE BODY")
    bodies = ("PROCEDURE a(); END", "PROCEDURE a() AS BEGIN NULL; END; END")
    packages = [f"CREATE {kind} `p k` AS {body}" for kind, body in zip(kinds, bodies, strict=True)]
    rights = [f"GRANT EXECUTE ON {kind} {live.database}.`p k` TO {account}" for kind in kinds]
    execute(live, ["SET sql_mode = ORACLE", *packages, *rights])
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()
        assert returned.left_out == ()
    execute(live.to(""), f"DROP DATABASE {live.database}")
    ENGINE.drop(live)
    assert execute(mariadb, "SELECT Db FROM mysql.procs_priv WHERE Db = %s", (live.database,)) == []


def test_a_table_that_the_server_can_not_open_is_named(mariadb: Target, fresh_schema: FreshSchema) -> None:
    live = fresh_schema(mariadb, "CREATE TABLE part (a int) ENGINE = MyISAM")
    execute(live, ["CREATE TABLE whole (a int) ENGINE = MERGE UNION = (part)", "DROP TABLE part"])
    with pytest.raises(DumpFailed, match=r"can't be opened: whole \(Unable to open underlying table"):
        taken(ENGINE, live)


PLACELESS = "(1, _eucjpms 0xA1C1, 'x'), (2, _eucjpms 0x8FA2B7, 'あ'), (3, NULL, '')"


def test_characters_without_a_place_in_unicode_are_counted_and_named(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    live = fresh_schema(
        mariadb, "CREATE TABLE t (id int PRIMARY KEY, a varchar(20), b varchar(20), c uuid) CHARACTER SET eucjpms"
    )
    with connection(live) as connected, connected.cursor() as cursor:
        cursor.execute(f"INSERT INTO t (id, a, b) VALUES {PLACELESS}")
    [sentence] = said(live, "Unicode")
    assert sentence.startswith("1 values of t.a hold characters of eucjpms ")


@pytest.mark.parametrize("local", [True, False], ids=["LOAD DATA", "INSERT"])
def test_characters_without_a_place_in_unicode_come_back_where_rows_are_bytes(
    mariadb: Target, fresh_schema: FreshSchema, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    live = fresh_schema(
        mariadb, "CREATE TABLE t (id int PRIMARY KEY, a varchar(20), b varchar(20)) CHARACTER SET eucjpms"
    )
    with connection(live) as connected, connected.cursor() as cursor:
        cursor.execute(f"INSERT INTO t VALUES {PLACELESS}")
    assert said(live, "Unicode") == []
    if not local:
        filling = Filling.of
        monkeypatch.setattr(Filling, "of", lambda definition: filling(definition).by_insert())
    content = "SELECT id, hex(a), hex(b) FROM t"
    with round_trip(ENGINE, live, live.to(f"{live.database}_beside")) as returned:
        assert returned.differences == ()
        assert execute(returned.target, content) == execute(live, content)
        assert execute(returned.target, content)[0] == (1, "A1C1", "78")


def test_text_that_has_its_place_is_not_named(mariadb: Target, fresh_schema: FreshSchema) -> None:
    columns = "a char(9) CHARACTER SET sjis, b text CHARACTER SET ucs2, c enum('é') CHARACTER SET latin2, d inet4"
    live = fresh_schema(mariadb, f"CREATE TABLE t ({columns})")
    execute(live, "INSERT INTO t VALUES ('日本 ', 'ñ日', 'é', '127.0.0.1'), ('', '', NULL, NULL)")
    assert said(live, "Unicode") == []


def test_tables_of_the_time_before_strict_mode_come_back(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema
) -> None:
    live = fresh_schema(mariadb, "CREATE TABLE p (id int PRIMARY KEY)")
    wide = ", ".join(f"c{number} char(100)" for number in range(200))
    execute(
        live,
        [
            "SET innodb_strict_mode = OFF",
            "CREATE TABLE fixed (id int PRIMARY KEY, a text, p int, KEY k (a(9)), FULLTEXT KEY f (a),"
            " FOREIGN KEY (p) REFERENCES p (id)) ROW_FORMAT = FIXED",
            f"CREATE TABLE wide ({wide}) CHARACTER SET latin1",
            "INSERT INTO fixed SELECT seq, repeat('x', 100), NULL FROM seq_1_to_2000",
            "INSERT INTO wide (c0) VALUES ('here')",
        ],
    )
    for beside in (scratch.to("elsewhere"), live.to(f"{live.database}_beside")):
        with round_trip(ENGINE, live, beside) as returned:
            assert returned.differences == ()
            assert [each.partition(" was made with ")[0] for each in returned.left_out] == ["TABLE fixed", "TABLE wide"]
            assert execute(beside.to(""), "SELECT @@innodb_strict_mode") == [(1,)]


def test_what_strict_mode_is_not_to_blame_for_is_refused_in_the_first_words(mariadb: Target) -> None:
    with connected(mariadb) as session:
        with pytest.raises(RestoreFailed, match=r"cannot restore TABLE t: .*errno: 150.* 1005"):
            make(session, b"CREATE TABLE t (a int, FOREIGN KEY (a) REFERENCES nowhere (a))", "TABLE t")
        assert rows(session, "SELECT @@SESSION.innodb_strict_mode") == [(1,)]


def test_rows_just_written_to_an_archive_table_are_no_change_of_the_table() -> None:
    with workspace("test") as folder:
        shutil.copy(MARIADB_PLUGINS / "ha_archive.so", folder)
        with server(settings={"plugin_dir": str(folder), "plugin_load_add": "ha_archive"}) as archiving:
            execute(archiving, "CREATE DATABASE log")
            live = archiving.to("log")
            execute(live, "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, a text) ENGINE = ARCHIVE")
            execute(live, "CREATE TABLE p (a int) ENGINE = ARCHIVE PARTITION BY HASH (a) PARTITIONS 2")
            for _ in range(2):
                execute(live, ["INSERT INTO t (a) VALUES ('one'), ('two')", "INSERT INTO p VALUES (1), (2)"])
                with round_trip(ENGINE, live, live.to("log_beside")) as returned:
                    assert returned.differences == ()
                    assert execute(returned.target, "SELECT * FROM t") == execute(live, "SELECT * FROM t")


def test_encrypted_tables_are_refused_by_a_server_without_keys_before_anything_is_restored(tmp_path: Path) -> None:
    with workspace("test") as folder:
        keys = folder / "keys"
        keys.write_text(f"1;{'a7' * 32}\n")
        keys.chmod(0o644)
        shutil.copy(MARIADB_PLUGINS / "file_key_management.so", folder)
        settings = {
            "plugin_dir": str(folder),
            "plugin_load_add": "file_key_management",
            "file_key_management_filename": str(keys),
        }
        with server(settings=settings) as encrypting:
            execute(encrypting, "CREATE DATABASE vault")
            vault = encrypting.to("vault")
            execute(vault, "CREATE TABLE open (a int); CREATE TABLE secret (a int) ENCRYPTED = YES")
            manifest = taken(ENGINE, vault).manifest
            assert manifest.database.server["encrypted"] == ["secret"]
            assert [lack for lack in ENGINE.lacks(vault, manifest) if "key" in lack.name] == []
        place = folder / "scratch"
        make_folder(place)
        with pytest.raises(CannotProve, match="secret say that they are encrypted"), ENGINE.scratch(manifest, place):
            pass


def test_a_server_without_keys_lacks_them_for_encrypted_tables(mariadb: Target, fresh_schema: FreshSchema) -> None:
    manifest = taken(ENGINE, fresh_schema(mariadb)).manifest
    facts = {**manifest.database.server, "encrypted": ["secret"]}
    database = manifest.database.model_copy(update={"server": facts})
    [lack] = ENGINE.lacks(mariadb.to("nowhere"), manifest.model_copy(update={"database": database}))
    assert lack.name == "a key management plugin"
    assert "secret" in lack.remedy


def test_code_that_a_binary_log_refuses_is_told_with_the_setting_that_lets_it_pass() -> None:
    error = translate(pymysql.OperationalError(1418, "This function has none of DETERMINISTIC, NO SQL"))
    assert isinstance(error, ConfigurationError)
    assert "log_bin_trust_function_creators = 1" in error.remedy
