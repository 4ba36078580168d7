"""Everything MariaDB holds survives: restored under another name and in another time zone, dumped again, equal."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backproof.engines.mysql import ENGINE, writing
from backproof.errors import ConfigurationError
from backproof.records import Target
from backproof.scratch import workspace
from tests.support.mariadb_fixtures import FreshSchema, connection, execute
from tests.support.mariadb_zoo import ZOO
from tests.support.round_trip import compared, expect_complete, round_trip, taken

EMPTY = "CREATE TABLE nothing (a int)"


@pytest.fixture(scope="module")
def scratch(mariadb: Target) -> Iterator[Target]:
    """One scratch server for all cases, as a proof would start it."""
    execute(mariadb, "CREATE DATABASE zoo_scratch")
    try:
        execute(mariadb.to("zoo_scratch"), EMPTY)
        manifest = taken(ENGINE, mariadb.to("zoo_scratch")).manifest
    finally:
        execute(mariadb, "DROP DATABASE zoo_scratch")
    with workspace("zoo") as folder, ENGINE.scratch(manifest, folder) as target:
        yield target


def made(fresh_schema: FreshSchema, server: Target, case: str) -> Target:
    live = fresh_schema(server)
    script = ZOO[case]
    statements = [script] if isinstance(script, str) else script
    execute(live, [each.replace("{schema}", live.database) for each in statements])
    return live


@pytest.mark.parametrize("case", ZOO)
def test_it_survives_the_round_trip(mariadb: Target, scratch: Target, fresh_schema: FreshSchema, case: str) -> None:
    live = made(fresh_schema, mariadb, case)
    source = taken(ENGINE, live)
    expect_complete(source)
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()
        assert returned.left_out == ()


def test_all_of_it_in_one_schema(mariadb: Target, scratch: Target, fresh_schema: FreshSchema) -> None:
    """A thousand small tables."""
    live = fresh_schema(mariadb)
    with connection(live) as connected, connected.cursor() as cursor:
        for number in range(1000):
            cursor.execute(f"CREATE TABLE small_{number} (a int PRIMARY KEY, b int, KEY (b)) ENGINE = InnoDB")
        cursor.execute("INSERT INTO small_7 VALUES (1, 2)")
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()


def test_rows_that_were_written_as_text_are_compared_as_text(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an older version wrote all of them."""
    live = fresh_schema(mariadb, "CREATE TABLE t (a int PRIMARY KEY, b blob, c text) CHARACTER SET latin1")
    execute(live, "INSERT INTO t VALUES (1, 0x00FF, 'ä'), (2, NULL, '')")
    with monkeypatch.context() as patch:
        patch.setattr(writing, "takes_bytes", lambda _: False)
        source = taken(ENGINE, live)
    assert "(1,0x00FF,'ä')".encode() in source.text
    beside = scratch.to("elsewhere")
    ENGINE.create(beside, source.manifest)
    try:
        ENGINE.restore(source, beside, keep_order=True)
        assert compared(ENGINE, source, taken(ENGINE, beside), beside) == ()
        execute(beside, "UPDATE t SET b = 0x00FE WHERE a = 1")
        [found] = compared(ENGINE, source, taken(ENGINE, beside), beside)
        assert found.object == "TABLE DATA t"
    finally:
        ENGINE.drop(beside)


def test_a_routine_made_under_latin1_keeps_its_bytes(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema
) -> None:
    live = fresh_schema(mariadb)
    with connection(live, charset="latin1") as connected, connected.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a varchar(20))")
        cursor.execute("CREATE PROCEDURE p() SELECT 'äöü' AS `größe`".encode("latin-1"))
        cursor.execute("CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 'ß'".encode("latin-1"))
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()
        assert execute(returned.target, "CALL p()") == [("äöü",)]


def test_accounts_roles_and_definers_come_along(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema, tmp_path: Path
) -> None:
    live = fresh_schema(mariadb)
    execute(
        mariadb,
        [
            "CREATE USER IF NOT EXISTS zoo_clerk@'10.%' IDENTIFIED BY 'x'",
            "CREATE ROLE IF NOT EXISTS zoo_reader",
            f"GRANT SELECT, INSERT ON {live.database}.* TO zoo_clerk@'10.%'",
            f"GRANT SELECT ON {live.database}.* TO zoo_reader",
            "GRANT zoo_reader TO zoo_clerk@'10.%'",
        ],
    )
    try:
        execute(live, "CREATE TABLE t (a int, b int); CREATE DEFINER = zoo_clerk@'10.%' VIEW v AS SELECT a FROM t")
        execute(live, f"GRANT UPDATE (b) ON {live.database}.t TO zoo_clerk@'10.%'")
        with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
            assert returned.differences == ()
            accounts = returned.source.manifest.database.globals["accounts"]
            assert isinstance(accounts, dict)
            assert "`zoo_clerk`@`10.%`" in accounts
    finally:
        execute(mariadb, ["DROP USER zoo_clerk@'10.%'", "DROP ROLE zoo_reader"])


def test_the_history_of_versioned_tables_is_named_as_not_carried(
    mariadb: Target, scratch: Target, fresh_schema: FreshSchema
) -> None:
    live = fresh_schema(mariadb, "CREATE TABLE v (a int) WITH SYSTEM VERSIONING")
    execute(live, ["INSERT INTO v VALUES (1)", "UPDATE v SET a = 2"])
    source = taken(ENGINE, live)
    assert any("v" in sentence and "istor" in sentence for sentence in source.manifest.database.not_carried)
    with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
        assert returned.differences == ()


def test_one_changed_thing_is_found(mariadb: Target, scratch: Target, fresh_schema: FreshSchema) -> None:
    live = fresh_schema(mariadb, "CREATE TABLE t (a int PRIMARY KEY, b text, KEY (a)); INSERT INTO t VALUES (1, 'x')")
    execute(live, "CREATE SEQUENCE s; CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.b = 'y'")
    for change, objects in (
        ("UPDATE t SET b = 'y'", {"TABLE DATA t"}),
        ("INSERT INTO t VALUES (2, NULL)", {"TABLE DATA t"}),
        ("DROP TRIGGER tr", {"TRIGGER tr", "GLOBAL definers"}),
        ("DO NEXTVAL(s)", {"SEQUENCE s"}),
        ("ALTER TABLE t DROP KEY a", {"TABLE t"}),
        ("CREATE VIEW v AS SELECT 1 AS a", {"VIEW v", "VIEW COLUMNS v"}),
    ):
        with round_trip(ENGINE, live, scratch.to("elsewhere")) as returned:
            assert returned.differences == ()
            execute(returned.target, change)
            found = compared(ENGINE, returned.source, taken(ENGINE, returned.target), returned.target)
            assert {difference.object for difference in found} == objects, change


def test_events_and_sequences_restored_beside_a_live_schema_never_reach_it(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    live = fresh_schema(mariadb, "CREATE TABLE log (a int); CREATE SEQUENCE s")
    execute(live, "CREATE TABLE t (a bigint DEFAULT NEXTVAL(s), b int); INSERT INTO t (b) VALUES (1)")
    execute(live, f"CREATE EVENT tick ON SCHEDULE EVERY 1 SECOND DISABLE DO INSERT INTO {live.database}.log VALUES (1)")
    source = taken(ENGINE, live)
    execute(live, "ALTER EVENT tick ENABLE")
    enabled = taken(ENGINE, live)
    execute(live, ["ALTER EVENT tick DISABLE", "TRUNCATE log"])
    beside = mariadb.to(f"{live.database}_beside")
    try:
        ENGINE.create(beside, source.manifest)
        left_out = ENGINE.restore(enabled, beside)
        assert any("EVENT tick" in sentence for sentence in left_out)
        before = execute(live, "SELECT NEXT_NOT_CACHED_VALUE FROM s")
        execute(beside, "INSERT INTO t (b) VALUES (2)")
        execute(beside, "SELECT SLEEP(2.5)")
        assert execute(live, "SELECT count(*) FROM log") == [(0,)]
        assert execute(live, "SELECT NEXT_NOT_CACHED_VALUE FROM s") == before
    finally:
        ENGINE.drop(beside)


def test_a_trigger_beside_writes_into_its_own_schema(mariadb: Target, fresh_schema: FreshSchema) -> None:
    live = fresh_schema(mariadb, "CREATE TABLE t (a int); CREATE TABLE log (a int)")
    execute(live, f"CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW INSERT INTO {live.database}.log VALUES (NEW.a)")
    source = taken(ENGINE, live)
    beside = mariadb.to(f"{live.database}_beside")
    try:
        ENGINE.create(beside, source.manifest)
        ENGINE.restore(source, beside)
        execute(beside, "INSERT INTO t VALUES (1)")
        assert execute(live, "SELECT count(*) FROM log") == [(0,)]
        assert execute(beside, "SELECT count(*) FROM log") == [(1,)]
    finally:
        ENGINE.drop(beside)


def test_sql_built_of_strings_that_names_the_live_schema_is_refused_beside_it(
    mariadb: Target, fresh_schema: FreshSchema
) -> None:
    live = fresh_schema(mariadb, "CREATE TABLE t (a int)")
    execute(live, f"CREATE PROCEDURE p() EXECUTE IMMEDIATE 'DELETE FROM {live.database}.t'")
    source = taken(ENGINE, live)
    beside = mariadb.to(f"{live.database}_beside")
    try:
        ENGINE.create(beside, source.manifest)
        with pytest.raises(ConfigurationError, match="PROCEDURE p"):
            ENGINE.restore(source, beside)
        assert ENGINE.create(beside, source.manifest) is False  # nothing was made in it
        ENGINE.restore(source, beside, accept_mentions=True)
    finally:
        ENGINE.drop(beside)
