"""An exchange of schemas on real MariaDB: all that can be in one, who is in the way, and what is not given up."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pymysql
import pytest

from backproof.engines.mysql import ENGINE, clearing, moving
from backproof.engines.mysql.names import quote_ident
from backproof.errors import AlreadyExists, Busy, ConfigurationError, RestoreFailed
from backproof.records import Target
from tests.support.mariadb_fixtures import FreshAccount, connection, execute, schemas
from tests.support.mysql_exchanges import RICH, Scene, events, found, scenes, state
from tests.support.round_trip import taken


@pytest.fixture
def rich(mariadb: Target) -> Iterator[Scene]:
    since = """
        DELETE FROM two; INSERT INTO t (b) VALUES ('later'); DROP VIEW m;
        CREATE VIEW m2 AS SELECT what FROM {schema}.log; DROP TRIGGER third;
        ALTER DATABASE CHARACTER SET latin1 COLLATE latin1_spanish_ci COMMENT 'as it was';
        CREATE TABLE later (id bigint DEFAULT (NEXTVAL({schema}.numbers)), a int); INSERT INTO later (a) VALUES (1);
    """
    with scenes(mariadb, RICH, since) as scene:
        yield scene


def hold(target: Target, *statements: str) -> pymysql.connections.Connection:
    """A session that has done something in a transaction, and leaves it open."""
    made = connection(target)
    with made.cursor() as cursor:
        for statement in ("SET autocommit = 0", *statements):
            cursor.execute(statement)
    return made


def gone(made: pymysql.connections.Connection) -> bool:
    try:
        made.ping(reconnect=False)
    except pymysql.Error:
        return True
    return False


def test_all_that_can_be_in_a_schema_is_live_as_it_was_and_back_as_it_was(rich: Scene) -> None:
    before = taken(ENGINE, rich.live)
    plan = rich.planned()
    ENGINE.exchange(rich.live, plan)
    rich.expect(rich.live, rich.source)
    assert events(rich.live) == [("off", "DISABLED"), ("tick", "ENABLED")]
    assert events(rich.outgoing) == [("off", "DISABLED"), ("tick", "DISABLED")]
    assert execute(rich.live, "INSERT INTO t (b) VALUES ('z') RETURNING id, b") == [(106, "z122")]
    assert execute(rich.live, "SELECT what FROM log ORDER BY at DESC LIMIT 1") == [("z122",)], "in its own table"
    assert execute(rich.live, "SELECT twice FROM m WHERE b = 'z122'") == [(212,)]
    assert execute(rich.outgoing, "SELECT count(*) FROM v FOR SYSTEM_TIME ALL") == [(2,)]
    assert execute(rich.outgoing, "SELECT count(*) FROM m2") == [(1,)]
    default = "SELECT COLUMN_DEFAULT FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND COLUMN_NAME = 'id'"
    for target in (rich.live, rich.outgoing):
        drawn = execute(target, f"{default} AND TABLE_NAME = 't'", (target.database,))
        assert drawn == [(f"nextval(`{target.database}`.`numbers`)",)], "each counts for itself"
    with pytest.raises(pymysql.IntegrityError):
        execute(rich.live, "INSERT INTO two VALUES (2, 77)")
    ENGINE.undo(rich.live, plan)
    rich.expect(rich.live, before)
    assert events(rich.live) == [("off", "DISABLED"), ("tick", "ENABLED")]
    assert events(rich.incoming) == [("off", "DISABLED"), ("tick", "DISABLED")]
    assert execute(rich.live, "SELECT count(*) FROM v FOR SYSTEM_TIME ALL") == [(2,)]
    assert execute(rich.incoming, "SELECT count(*) FROM t") == [(3,)]


def test_rights_stay_with_the_name_and_no_other_schema_is_opened(
    small: Scene, mariadb: Target, fresh_account: FreshAccount
) -> None:
    name = quote_ident(small.live.database)
    app = fresh_account(
        small.live, f"SELECT (b), INSERT ON {name}.t", f"EXECUTE ON PROCEDURE {name}.pr", f"SELECT ON {name}.w"
    )
    before = taken(ENGINE, small.live)
    plan = small.planned()
    ENGINE.exchange(small.live, plan)
    assert execute(app, "SELECT b FROM t") == [(1,), (2,)]
    assert execute(app, "CALL pr()") == [(1,)]
    for closed in (small.outgoing, small.incoming):
        with pytest.raises(pymysql.Error, match="denied"):
            execute(app.to(closed.database), "SELECT 1")
    ENGINE.undo(small.live, plan)
    assert execute(app, "CALL pr()") == [(1,)]
    assert taken(ENGINE, small.live).manifest.database.globals == before.manifest.database.globals


def test_rights_on_packages_come_back_with_them(small: Scene, fresh_account: FreshAccount) -> None:
    name, account = quote_ident(small.live.database), f"`{fresh_account(small.live).user}`@`localhost`"
    bodies = {
        "PACKAGE": "FUNCTION one RETURN int; END",
        "PACKAGE BODY": "FUNCTION one RETURN int AS BEGIN RETURN 1; END; END",
    }
    for kind, body in bodies.items():
        rights = f"GRANT EXECUTE ON {kind} {name}.pk TO {account}"
        execute(small.live, ["SET sql_mode = ORACLE", f"CREATE {kind} pk AS {body}", rights])
    before = taken(ENGINE, small.live).manifest.database.globals
    plan = small.planned()
    ENGINE.exchange(small.live, plan)
    ENGINE.undo(small.live, plan)
    assert taken(ENGINE, small.live).manifest.database.globals == before
    assert set(before["accounts"][account]["routines"]) == {"PACKAGE pk", "PACKAGE BODY pk"}


def test_our_own_sessions_stay_and_those_of_other_schemas(small: Scene, mariadb: Target) -> None:
    plan = small.planned()
    with (
        closing(hold(small.live, "UPDATE t SET b = 9")) as theirs,
        closing(hold(mariadb.to("mysql"), "SELECT 1")) as elsewhere,
        ENGINE.lock(small.live, "a plan"),
    ):
        ENGINE.exchange(small.live, plan)
        assert gone(theirs)
        assert not gone(elsewhere)
        with pytest.raises(Busy), ENGINE.lock(small.live, "a plan"):
            pass


def test_a_transaction_of_another_schema_s_session_is_waited_for_and_named(
    small: Scene, mariadb: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who holds a table is not to be seen on every server; nobody is ended on a suspicion."""
    monkeypatch.setattr(clearing, "PATIENCE", (1, 1))
    plan, before = small.planned(), state(small.live)
    name = quote_ident(small.live.database)
    with closing(hold(mariadb.to("mysql"), f"INSERT INTO {name}.t (b) VALUES (1)")) as made:
        with pytest.raises(Busy, match=f"in use.*{made.thread_id()} of root in mysql"):
            ENGINE.exchange(small.live, plan)
        assert ENGINE.exchanged(small.live, plan) == "before"
        assert not gone(made)
    assert state(small.live) == before


def test_whoever_reads_meanwhile_sees_one_schema_or_the_other(small: Scene) -> None:
    execute(
        small.live, "CREATE TABLE a (g int); CREATE TABLE z (g int); INSERT INTO a VALUES (1); INSERT INTO z VALUES (1)"
    )
    execute(
        small.incoming,
        "CREATE TABLE a (g int); CREATE TABLE z (g int); INSERT INTO a VALUES (2); INSERT INTO z VALUES (2)",
    )
    plan = small.planned()
    ended = threading.Event()
    seen: set[object] = set()

    def read() -> None:
        while not ended.is_set():
            try:
                with closing(connection(small.live)) as made, made.cursor() as cursor:
                    for _ in range(20):
                        cursor.execute("SELECT a.g, z.g FROM a, z")
                        seen.update(cursor.fetchall())
            except pymysql.Error:
                continue

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            ENGINE.exchange(small.live, plan)
            ENGINE.undo(small.live, plan)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert seen
    assert seen <= {(1, 1), (2, 2)}


def test_code_that_nobody_has_the_text_of_is_never_dropped(small: Scene) -> None:
    plan = small.planned()
    execute(small.live, "CREATE VIEW unheard_of AS SELECT 1 AS a")
    with pytest.raises(Busy, match="VIEW unheard_of"):
        ENGINE.exchange(small.live, plan)
    assert ENGINE.exchanged(small.live, plan) == "before"
    execute(small.live, "DROP VIEW unheard_of")
    ENGINE.exchange(small.live, plan)
    execute(small.outgoing, "CREATE VIEW unheard_of AS SELECT 1 AS a")
    with pytest.raises(AlreadyExists, match="VIEW unheard_of"):
        ENGINE.undo(small.live, plan)
    assert ENGINE.exchanged(small.live, plan) == "after"
    execute(small.outgoing, "DROP VIEW unheard_of")
    execute(small.live, "CREATE VIEW unheard_of AS SELECT 1 AS a")
    ENGINE.undo(small.live, plan)
    assert execute(small.incoming, "SELECT * FROM unheard_of") == [(1,)]


def test_a_schema_that_is_not_whole_takes_nobody_s_place(small: Scene) -> None:
    with pytest.raises(KeyError), ENGINE.unfinished(small.incoming, small.source.manifest):
        raise KeyError("whatever kills a restore")
    with pytest.raises(ConfigurationError, match="has not finished"):
        small.planned()


def test_a_trigger_that_was_broken_keeps_nothing_from_its_place(small: Scene) -> None:
    """A dropped column may be why somebody recovers: then a trigger that names it can't be made again anywhere."""
    execute(small.live, "ALTER TABLE t DROP COLUMN b")
    plan = small.planned()
    ENGINE.exchange(small.live, plan)
    small.expect(small.live, small.source)
    assert ENGINE.exchanged(small.live, plan) == "after"
    with pytest.raises(RestoreFailed, match="TRIGGER r"):
        ENGINE.undo(small.live, plan)
    assert ENGINE.exchanged(small.live, plan) == "before"
    assert execute(small.live, "SELECT * FROM w") == []
    assert events(small.live) == [("e", "ENABLED")]


def test_a_trigger_that_writes_to_a_table_that_was_dropped_comes_back_as_it_was(small: Scene) -> None:
    execute(small.live, "CREATE TABLE log (a int); CREATE TRIGGER noted AFTER INSERT ON t FOR EACH ROW DELETE FROM log")
    execute(small.live, "DROP TABLE log")
    plan, before = small.planned(), state(small.live)
    ENGINE.exchange(small.live, plan)
    small.expect(small.live, small.source)
    ENGINE.undo(small.live, plan)
    assert state(small.live) == before


def test_a_table_whose_file_is_damaged_is_named_and_a_schema_that_was_dropped_for_it_comes_back(small: Scene) -> None:
    """As by ransomware. The server can't move it, and can drop it."""
    [[folder]] = execute(small.live, "SELECT @@datadir")
    (Path(folder) / small.live.database / "t.frm").write_bytes(bytes(range(256)) * 4)
    execute(small.live, "FLUSH TABLES")
    there = found(small.live)["table t"]
    assert not there.acceptable
    assert "Incorrect information in file" in there.what
    assert "DROP DATABASE" in there.remedy
    execute(small.live.to(""), f"DROP DATABASE {small.live.database}")
    assert ENGINE.obstacles(small.live) == []
    ENGINE.exchange(small.live, small.planned())
    small.expect(small.live, small.source)


def test_a_session_that_is_lost_says_nothing_of_tables(small: Scene) -> None:
    with closing(connection(small.live)) as made:
        execute(small.live, f"KILL {made.thread_id()}")
        with pytest.raises(pymysql.Error):
            list(moving.unopenable(made, small.live.database, ["t"]))


@pytest.mark.parametrize("lost", [False, True], ids=["there", "lost"])
def test_who_has_the_rights_that_are_named_can_move_a_schema(
    small: Scene, mariadb: Target, fresh_account: FreshAccount, lost: bool
) -> None:
    if lost:
        execute(mariadb, f"DROP DATABASE {small.live.database}")
    mover = fresh_account(mariadb).to(small.live.database)
    assert {each.kind for each in ENGINE.obstacles(mover)} == {"privilege"}
    for _ in ("all but what is seen with them", "the rest"):
        execute(mariadb, [each.remedy for each in ENGINE.obstacles(mover) if each.kind == "privilege"])
    assert ENGINE.obstacles(mover) == []
    plan = ENGINE.plan_exchange(mover, small.incoming.database, small.outgoing.database, small.source)
    ENGINE.exchange(mover, plan)
    assert taken(ENGINE, small.live).manifest.entries == small.source.manifest.entries


def test_a_view_on_a_table_that_was_dropped_keeps_nothing_from_its_place(small: Scene) -> None:
    """No dump of the live schema can be taken then; another must take its place all the same."""
    execute(small.live, "DROP TABLE t")
    assert [(each.kind, each.name) for each in ENGINE.obstacles(small.live)] == [("view", "w")]
    plan = small.planned()
    ENGINE.exchange(small.live, plan)
    small.expect(small.live, small.source)
    assert ENGINE.exchanged(small.live, plan) == "after"
    ENGINE.undo(small.live, plan)
    assert ENGINE.exchanged(small.live, plan) == "before"
    assert execute(small.live, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()") == [
        ("s",)
    ]


def test_what_breaks_after_an_exchange_does_not_keep_the_former_from_coming_back(small: Scene) -> None:
    plan, before = small.planned(), state(small.live)
    ENGINE.exchange(small.live, plan)
    execute(small.live, "ALTER TABLE t DROP COLUMN b")  # a view and a trigger of it can't be read, and not be made
    ENGINE.undo(small.live, plan)
    assert ENGINE.exchanged(small.live, plan) == "before"
    assert state(small.live) == before


def test_what_stands_in_the_way_is_named(small: Scene, mariadb: Target) -> None:
    live = small.live.database
    with schemas() as fresh:
        other = fresh(mariadb, f"CREATE TABLE c (id bigint, CONSTRAINT up FOREIGN KEY (id) REFERENCES {live}.t (id))")
        execute(other, f"CREATE VIEW seen AS SELECT * FROM {live}.w; CREATE PROCEDURE does() SELECT * FROM {live}.t")
        execute(other, "CREATE TABLE parent (id int PRIMARY KEY)")
        execute(
            small.live,
            f"CREATE TABLE kid (id int, CONSTRAINT `of` FOREIGN KEY (id) REFERENCES {other.database}.parent (id))",
        )
        told = found(small.live)
        assert {key: each.acceptable for key, each in told.items()} == {
            f"foreign key {live}.kid of": True,
            f"foreign key {other.database}.c up": False,
            f"view {other.database}.seen": True,
            f"procedure {other.database}.does": True,
        }
        execute(small.live, "DROP TABLE kid")
    assert found(small.live) == {}


def test_an_account_is_told_which_rights_it_lacks_and_with_them_it_can(
    small: Scene, mariadb: Target, fresh_account: FreshAccount
) -> None:
    names = [quote_ident(each.database) for each in (small.live, small.incoming, small.outgoing)]
    poor = fresh_account(small.live, f"REFERENCES ON {names[0]}.*")
    told = found(poor)
    assert {each.kind for each in told.values()} == {"privilege"}
    assert not any(each.acceptable for each in told.values())
    account = next(iter(told.values())).remedy.partition(" TO ")[2].rstrip(";")
    for each in told.values():
        execute(mariadb.to(""), each.remedy)
        for name in names[1:]:
            if f" ON {names[0]}" in each.remedy:
                execute(mariadb.to(""), each.remedy.replace(names[0], name))
    execute(mariadb.to(""), f"GRANT RELOAD ON *.* TO {account}")
    assert found(poor) == {}
    rich = Scene(poor, poor.to(small.incoming.database), poor.to(small.outgoing.database), small.source)
    plan, before = rich.planned(), state(small.live)
    ENGINE.exchange(rich.live, plan)
    assert ENGINE.exchanged(rich.live, plan) == "after"
    ENGINE.undo(rich.live, plan)
    assert state(small.live) == before


def test_a_prepared_transaction_is_named(small: Scene) -> None:
    with closing(connection(small.live)) as made, made.cursor() as cursor:
        for statement in (
            "XA START 'theirs'",
            "INSERT INTO t (b) VALUES (7)",
            "XA END 'theirs'",
            "XA PREPARE 'theirs'",
        ):
            cursor.execute(statement)
        try:
            assert list(found(small.live)) == ["prepared transaction theirs"]
        finally:
            cursor.execute("XA ROLLBACK 'theirs'")
    assert found(small.live) == {}
