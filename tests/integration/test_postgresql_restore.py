"""Restoring on real servers: some tables, settings of other versions, faults, and what must never happen."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import closing

import psycopg2
import pytest

from backproof.engines import Engine, find
from backproof.engines.postgresql.binaries import find as find_program
from backproof.engines.postgresql.connect import connect
from backproof.engines.postgresql.pgdump import environment
from backproof.engines.postgresql.sending import bare_socket
from backproof.errors import (
    AlreadyExists,
    BackproofError,
    ConfigurationError,
    ConnectionLost,
    Damaged,
    NotFound,
    RestoreFailed,
)
from backproof.records import Member, Target
from backproof.scratch import workspace
from tests.support.certificates import certificates
from tests.support.postgres_fixtures import FreshDatabase, connection, execute, server
from tests.support.postgres_tls import tls
from tests.support.prefect_fixtures import eventually
from tests.support.round_trip import MemorySource, compared, round_trip, taken

SHOP = """
CREATE TYPE public.state AS ENUM ('open', 'paid');
CREATE FUNCTION public.positive(n numeric) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 >= 0';
CREATE FUNCTION public.stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'stamped'; RETURN NEW; END $$;
CREATE FUNCTION public.unrelated() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE DOMAIN public.price AS numeric CHECK (public.positive(VALUE));
CREATE TABLE users (id serial PRIMARY KEY, email text UNIQUE); COMMENT ON TABLE users IS 'people';
CREATE TABLE products (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, cost price);
CREATE TABLE orders (
  id serial PRIMARY KEY, user_id int NOT NULL REFERENCES users, state state DEFAULT 'open', note text);
CREATE TABLE items (
  order_id int REFERENCES orders, product_id int REFERENCES products, n int, PRIMARY KEY (order_id, product_id));
CREATE INDEX orders_by_state ON orders (state) WHERE state = 'open';
COMMENT ON INDEX orders_by_state IS 'the open ones';
CREATE TRIGGER stamp BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE VIEW dear AS SELECT * FROM products WHERE cost > 5; GRANT SELECT ON orders TO PUBLIC;
CREATE SCHEMA archive; CREATE TABLE archive.users (id int); CREATE TABLE archive."Odd Name" (id int);
CREATE TABLE log (id int, at date) PARTITION BY RANGE (at); CREATE INDEX ON log (id);
CREATE TABLE log_25 PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE log_rest PARTITION OF log DEFAULT;
INSERT INTO users (email) SELECT 'user' || i || '@example.org' FROM generate_series(1, 500) i;
INSERT INTO products (name, cost) SELECT 'product ' || i, i FROM generate_series(1, 50) i;
INSERT INTO orders (user_id) SELECT 1 + i % 500 FROM generate_series(1, 2000) i;
INSERT INTO items SELECT o.id, 1 + o.id % 50, 1 FROM orders o;
INSERT INTO log SELECT i, '2024-12-30'::date + i FROM generate_series(1, 10) i;
SELECT lo_from_bytea(0, 'a large object');
"""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return find("postgresql")


@pytest.fixture
def shop(engine: Engine, postgres: Target, fresh_database: FreshDatabase) -> MemorySource:
    return taken(engine, fresh_database(postgres, SHOP))


@pytest.fixture
def empty(engine: Engine, postgres: Target, fresh_database: FreshDatabase) -> Target:
    return fresh_database(postgres)


def tables(target: Target) -> set[str]:
    found = execute(target, "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p') AND oid >= 16384")
    return {name for (name,) in found}


def test_order_is_kept_where_it_is_asked_for_and_nothing_is_lost_where_it_is_not(
    engine: Engine, postgres18: Target, fresh_database: FreshDatabase
) -> None:
    live = fresh_database(
        postgres18, "CREATE TABLE t AS SELECT i, repeat(md5(i::text), 12) AS a FROM generate_series(1, 90000) i"
    )
    with round_trip(engine, live, live.to("kept beside"), keep_order=True, jobs=4) as returned:
        assert len([member for member in returned.source.manifest.members if member.table]) > 3
        assert returned.differences == ()
    with round_trip(engine, live, live.to("spread beside"), keep_order=False, jobs=4) as returned:
        spread = "SELECT count(*), sum(i), md5(string_agg(a, '' ORDER BY i)) FROM t"
        assert execute(returned.target, spread) == execute(live, spread)


def test_rows_are_frozen_as_they_are_loaded_unless_one_table_would_keep_the_other_connections_waiting(
    engine: Engine, postgres: Target, fresh_database: FreshDatabase, empty: Target
) -> None:
    big, *middling = (
        f"CREATE TABLE {name} AS SELECT i, repeat(md5(i::text), 12) AS a FROM generate_series(1, {rows}) i;"
        for name, rows in [("big", 30000), ("one", 4000), ("two", 4000), ("three", 4000)]
    )
    live = fresh_database(postgres, big + "".join(middling) + "CREATE TABLE small AS SELECT 1 AS i")
    engine.restore(taken(engine, live), empty, jobs=2)
    visible = "SELECT relname::text, relallvisible > relpages / 2 FROM pg_class WHERE relkind = 'r' AND oid >= 16384"
    assert dict(execute(empty, visible)) == {"big": False, "one": True, "two": True, "three": True, "small": False}


def test_some_tables_come_with_what_they_stand_on_and_nothing_else(
    engine: Engine, shop: MemorySource, empty: Target
) -> None:
    left_out = engine.restore(shop, empty, jobs=2, tables=["orders", "public.products"])
    assert tables(empty) == {"orders", "products"}
    assert execute(empty, "SELECT count(*) FROM orders WHERE note = 'stamped'") == [(2000,)]
    assert execute(empty, "INSERT INTO orders (user_id) VALUES (1) RETURNING id, note") == [(2001, "stamped")]
    assert execute(empty, "INSERT INTO products (cost) VALUES (1) RETURNING id") == [(51,)]
    with pytest.raises(psycopg2.errors.CheckViolation):
        execute(empty, "INSERT INTO products (cost) VALUES (-1)")
    assert execute(empty, "SELECT obj_description('orders_by_state'::regclass)") == [("the open ones",)]
    assert execute(empty, "SELECT has_table_privilege('pg_monitor', 'orders', 'SELECT')") == [(True,)]
    assert execute(empty, "SELECT to_regproc('unrelated')::text, to_regclass('dear')::text") == [(None, None)]
    assert (
        "foreign key orders_user_id_fkey of public.orders was left out, since public.users was not chosen" in left_out
    )
    assert any("large objects" in sentence for sentence in left_out)


def test_foreign_keys_between_chosen_tables_come_along(engine: Engine, shop: MemorySource, empty: Target) -> None:
    engine.restore(shop, empty, jobs=2, tables=["items", "orders", "public.users"])
    found = {name for (name,) in execute(empty, "SELECT conname::text FROM pg_constraint WHERE contype = 'f'")}
    assert found == {"items_order_id_fkey", "orders_user_id_fkey"}


def test_a_partitioned_table_comes_with_its_partitions_and_a_partition_alone_as_a_table(
    engine: Engine, shop: MemorySource, empty: Target, fresh_database: FreshDatabase, postgres: Target
) -> None:
    engine.restore(shop, empty, tables=["log"])
    assert tables(empty) == {"log", "log_25", "log_rest"}
    assert execute(empty, "SELECT count(*) FROM log") == [(10,)]
    assert execute(empty, "SELECT count(*) FROM pg_inherits") == [(4,)]
    other = fresh_database(postgres)
    left_out = engine.restore(shop, other, tables=["log_25"])
    assert tables(other) == {"log_25"}
    assert any("log_25 became a table of its own" in sentence for sentence in left_out)


def test_only_the_members_of_chosen_tables_are_read(engine: Engine, shop: MemorySource, empty: Target) -> None:
    engine.restore(shop, empty, tables=["products"])
    data = {member.table for member in shop.read_members if member.section == "data"}
    assert data <= {None, "public.products"}


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        ("order", NotFound, "public.orders"),
        ("users", ConfigurationError, "archive.users, public.users"),
        ("nothing like it", NotFound, "no table nothing like it"),
    ],
)
def test_a_table_that_is_not_there_or_not_clear_is_refused_before_anything_is_done(
    engine: Engine, shop: MemorySource, empty: Target, wanted: str, error: type[BackproofError], words: str
) -> None:
    with pytest.raises(error) as refused:
        engine.restore(shop, empty, tables=[wanted])
    assert words in str(refused.value)
    assert tables(empty) == set()


def test_an_odd_name_may_be_given_with_or_without_quotes(engine: Engine, shop: MemorySource, empty: Target) -> None:
    engine.restore(shop, empty, tables=["Odd Name"])
    assert tables(empty) == {'archive."Odd Name"'}


def psql(target: Target, text: bytes) -> "subprocess.CompletedProcess[bytes]":
    [[major]] = execute(target, "SELECT current_setting('server_version_num')::int / 10000")
    with environment(target) as variables:
        return subprocess.run(
            [find_program("psql", major, ()), "-X", "-q", "-v", "ON_ERROR_STOP=1"],
            input=text,
            env=variables,
            capture_output=True,
            check=False,
        )


def test_an_export_is_the_archive_s_text_and_psql_restores_it(
    engine: Engine, shop: MemorySource, empty: Target, postgres: Target
) -> None:
    text = b"".join(engine.export(shop, None))
    assert text == shop.text
    finished = psql(empty, text)
    assert (finished.returncode, finished.stderr) == (0, b"")
    entries_and_rows = [
        found for found in compared(engine, shop, taken(engine, empty), empty) if "GLOBAL" not in found.object
    ]
    assert entries_and_rows == []


@pytest.mark.parametrize("chosen", [None, ["public.users"]], ids=["all", "some"])
@pytest.mark.parametrize("where", [b"CREATE TABLE public.users", b"\n\\.\n", b"SELECT pg_catalog.setval("])
def test_an_export_never_holds_a_command_that_psql_would_run(
    engine: Engine, shop: MemorySource, chosen: list[str] | None, where: bytes
) -> None:
    commanded = shop.replaced(
        lambda member, text: text.replace(
            where, where + b"\\! true\n" if where.endswith(b"\n") else b"\\! true\n" + where, 1
        )
    )
    with pytest.raises(Damaged):
        list(engine.export(commanded, chosen))


def test_psql_restores_an_export_of_some_tables(engine: Engine, shop: MemorySource, empty: Target) -> None:
    finished = psql(empty, b"".join(engine.export(shop, ["orders", "log"])))
    assert (finished.returncode, finished.stderr) == (0, b"")
    assert tables(empty) == {"orders", "log", "log_25", "log_rest"}
    assert execute(empty, "INSERT INTO orders (user_id) VALUES (1) RETURNING id") == [(2001,)]


def test_settings_that_an_older_server_does_not_know_are_left_out_and_told(
    engine: Engine, postgres15: Target, fresh_database: FreshDatabase
) -> None:
    live = fresh_database(postgres15, "CREATE TABLE t AS SELECT 1 AS a")
    source = taken(engine, live)
    newer = source.replaced(
        lambda member, text: text.replace(
            b"SET lock_timeout = 0;", b"SET lock_timeout = 0;\nSET transaction_timeout = 0;"
        )
    )
    empty = fresh_database(postgres15)
    assert engine.restore(newer, empty) == [
        "the session setting transaction_timeout was left out, since this server does not know it"
    ]
    assert execute(empty, "SELECT a FROM t") == [(1,)]


def test_a_forged_entry_is_refused_and_does_nothing(engine: Engine, shop: MemorySource, empty: Target) -> None:
    forged = shop.replaced(
        lambda member, text: text.replace(
            b"ALTER TABLE public.users OWNER",
            b"ALTER SYSTEM SET application_name = 'x';\nALTER TABLE public.users OWNER",
        )
    )
    with pytest.raises(Damaged, match="ALTER SYSTEM"):
        engine.restore(forged, empty)


def test_a_copy_that_would_reach_a_program_is_refused(engine: Engine, shop: MemorySource, empty: Target) -> None:
    forged = shop.replaced(
        lambda member, text: text.replace(
            b"COPY public.users (id, email) FROM stdin;", b"COPY public.users FROM PROGRAM 'true';"
        )
    )
    with pytest.raises(Damaged):
        engine.restore(forged, empty)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.replace(b"\n\\.\n", b"\n501\tone more\n\\.\n", 1), id="a row more"),
        pytest.param(lambda text: text.replace(b"1\tuser1@example.org\n", b"", 1), id="a row less"),
        pytest.param(lambda text: text.replace(b"1\tuser1@", b"\\.\n1\tuser1@", 1), id="an end too early"),
        pytest.param(lambda text: text.replace(b"COPY public.users ", b"COPY archive.users ", 1), id="another table"),
    ],
)
def test_rows_that_are_not_what_the_manifest_says_are_found(
    engine: Engine, shop: MemorySource, empty: Target, change: Callable[[bytes], bytes]
) -> None:
    changed = shop.replaced(lambda member, text: change(text) if member.table == "public.users" else text)
    assert changed.text != shop.text
    with pytest.raises(Damaged, match=r"public\.users"):
        engine.restore(changed, empty)


def test_an_error_names_table_and_line_and_shows_no_row(engine: Engine, shop: MemorySource, empty: Target) -> None:
    broken = shop.replaced(
        lambda member, text: (
            text.replace(b"\n7\tproduct 7\t7\n", b"\n7\tsecret\tnot a number\n")
            if member.table == "public.products"
            else text
        )
    )
    with pytest.raises(RestoreFailed) as failed:
        engine.restore(broken, empty)
    assert "rows of public.products, line 7" in str(failed.value)
    assert "secret" not in str(failed.value)
    assert "not a number" not in str(failed.value)


def test_an_error_names_the_entry(engine: Engine, shop: MemorySource, empty: Target) -> None:
    broken = shop.replaced(
        lambda member, text: text.replace(b"ON public.orders USING btree (state)", b"ON public.orders USING btree (no)")
    )
    with pytest.raises(RestoreFailed, match=r"INDEX public\.orders_by_state: column \"no\" does not exist"):
        engine.restore(broken, empty, jobs=2)


def test_the_first_error_stops_every_connection_promptly(
    engine: Engine, shop: MemorySource, postgres: Target, empty: Target
) -> None:
    slow = b"CREATE INDEX slow ON public.orders USING btree (((pg_catalog.pg_sleep(60) IS NULL)));\n"

    def change(member: Member, text: bytes) -> bytes:
        text = text.replace(
            b"ADD CONSTRAINT users_email_key UNIQUE (email)", b"ADD CONSTRAINT users_email_key UNIQUE (gone)"
        )
        return text.replace(b"CREATE INDEX orders_by_state ON public.orders USING btree (state)", slow.strip(b";\n"))

    started = time.monotonic()
    with pytest.raises(RestoreFailed):
        engine.restore(shop.replaced(change), empty, jobs=2)
    assert time.monotonic() - started < 30
    ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'backproof%%'"
    # A server process has let go of its client a moment before it is gone.
    eventually(lambda: execute(postgres, ours, (empty.database,)) == [(0,)], 20, "no connection is left")


def test_rows_go_to_the_socket_themselves_unless_something_encrypts_on_the_way(
    engine: Engine, postgres: Target, fresh_database: FreshDatabase
) -> None:
    live = fresh_database(
        postgres, "CREATE TABLE t AS SELECT i, repeat(md5(i::text), 9) AS a FROM generate_series(1, 9000) i"
    )
    source = taken(engine, live)
    with workspace("test") as folder:
        certificates(folder)
        with tls(postgres.port, folder / "server.pem", folder / "server.key") as port:
            options = {"sslmode": "verify-full", "sslrootcert": f"{folder}/ca.pem"}
            guarded = fresh_database(postgres).model_copy(update={"port": port, "options": options})
            for target, bare in [(fresh_database(postgres), True), (guarded, False)]:
                with closing(connect(target)) as opened:
                    assert bare_socket(opened) == (opened.fileno() if bare else None)
                engine.restore(source, target, jobs=2)
                both = "SELECT count(*), md5(string_agg(a, '' ORDER BY i)) FROM t"
                assert execute(target, both) == execute(live, both)


def test_a_database_whose_functions_warn_at_every_row_is_restored(
    engine: Engine, postgres: Target, fresh_database: FreshDatabase
) -> None:
    live = fresh_database(
        postgres,
        """CREATE FUNCTION talks(n int) RETURNS bool LANGUAGE plpgsql SET client_min_messages = warning AS
           $$ BEGIN RAISE WARNING '%', repeat('words ', 100); RETURN true; END $$;
           CREATE TABLE t (i int CHECK (talks(i)), a text)""",
    )
    execute(live, "SET client_min_messages = error")
    execute(live, "INSERT INTO t SELECT i, repeat('x', 60) FROM generate_series(1, 50000) i")
    # A Unix socket has little room, and the server waits for some before it takes further rows.
    [[folder]] = execute(live, "SHOW unix_socket_directories")
    near = live.model_copy(update={"host": folder.strip('"'), "database": f"{live.database}_beside"})
    with round_trip(engine, live, near, keep_order=True, jobs=2) as returned:
        assert returned.differences == ()


def test_a_server_that_dies_midway_is_a_lost_connection_and_no_hang(engine: Engine) -> None:
    with server(18) as target:
        execute(target, "CREATE DATABASE live")
        live = target.to("live")
        execute(live, "CREATE TABLE t AS SELECT i, repeat('x', 500) AS a FROM generate_series(1, 200000) i")
        source = taken(engine, live)
        engine.create(target.to("beside"), source.manifest)
        [[postmaster]] = execute(target, "SELECT pg_read_file('postmaster.pid')")
        pid = int(postmaster.split()[0])

        def progress(done: int) -> None:
            os.kill(pid, signal.SIGQUIT)

        with pytest.raises(ConnectionLost):
            engine.restore(source, target.to("beside"), jobs=2, progress=progress)


def test_many_foreign_keys_over_the_same_tables_do_not_deadlock(
    engine: Engine, postgres18: Target, fresh_database: FreshDatabase
) -> None:
    script = "".join(f"CREATE TABLE t{i} (id int PRIMARY KEY, a int, b int, c int);" for i in range(8))
    script += "".join(f"INSERT INTO t{i} SELECT n, n, n, n FROM generate_series(1, 3000) n;" for i in range(8))
    script += "".join(
        f"ALTER TABLE t{i} ADD FOREIGN KEY ({column}) REFERENCES t{(i * 3 + k) % 8};"
        for i in range(8)
        for k, column in enumerate("abc")
    )
    live = fresh_database(postgres18, script)
    before = execute(postgres18, "SELECT sum(deadlocks) FROM pg_stat_database")
    with round_trip(engine, live, live.to(f"{live.database} beside"), jobs=6) as returned:
        assert returned.differences == ()
    assert execute(postgres18, "SELECT sum(deadlocks) FROM pg_stat_database") == before


def test_a_thousand_small_tables_come_back(engine: Engine, postgres18: Target, fresh_database: FreshDatabase) -> None:
    script = "".join(
        f"CREATE TABLE t{i} (id serial PRIMARY KEY, a int REFERENCES t{i // 2}); INSERT INTO t{i} (a) VALUES (1);"
        if i
        else "CREATE TABLE t0 (id serial PRIMARY KEY); INSERT INTO t0 DEFAULT VALUES;"
        for i in range(1000)
    )
    live = fresh_database(postgres18, script)
    with round_trip(engine, live, live.to(f"{live.database} beside")) as returned:
        assert returned.differences == ()


def test_statistics_are_there_afterwards_also_for_partitioned_tables(
    engine: Engine, shop: MemorySource, empty: Target
) -> None:
    engine.restore(shop, empty, jobs=2)
    analysed = {
        name for (name,) in execute(empty, "SELECT DISTINCT tablename::text FROM pg_stats WHERE schemaname = 'public'")
    }
    assert {"orders", "items", "log", "log_25"} <= analysed


def test_progress_adds_up_to_the_plain_bytes(engine: Engine, shop: MemorySource, empty: Target) -> None:
    done: list[int] = []
    engine.restore(shop, empty, jobs=2, progress=done.append)
    assert sum(done) == shop.manifest.plain_bytes


def test_an_existing_empty_database_is_used_and_a_full_one_refused(
    engine: Engine, shop: MemorySource, empty: Target
) -> None:
    assert engine.create(empty, shop.manifest) is False
    execute(empty, "CREATE TABLE precious (a int)")
    with pytest.raises(AlreadyExists, match="not empty"):
        engine.create(empty, shop.manifest)
    assert tables(empty) == {"precious"}


@pytest.mark.parametrize(
    "content",
    [
        "CREATE SCHEMA s",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT lo_create(0)",
        "CREATE TYPE e AS ENUM ('x')",
    ],
)
def test_whatever_a_person_made_is_not_empty(engine: Engine, shop: MemorySource, empty: Target, content: str) -> None:
    execute(empty, content)
    with pytest.raises(AlreadyExists):
        engine.create(empty, shop.manifest)


def test_an_empty_database_of_another_encoding_is_refused(
    engine: Engine, shop: MemorySource, postgres: Target, fresh_database: FreshDatabase
) -> None:
    other = fresh_database(postgres, options="ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(ConfigurationError, match="LATIN1"):
        engine.create(other, shop.manifest)


def test_a_new_database_lets_nobody_in_until_its_own_privileges_say_so(
    engine: Engine, shop: MemorySource, postgres: Target
) -> None:
    target = postgres.to("closed at first")
    assert engine.create(target, shop.manifest) is True
    try:
        mine = "SELECT has_database_privilege('pg_monitor', 'closed at first', 'CONNECT')"
        assert execute(postgres, mine) == [(False,)]
        engine.restore(shop, target)
        assert engine.apply_globals(target, shop.manifest) == []
        assert execute(postgres, mine) == [(True,)]
    finally:
        engine.drop(target)


def test_a_database_is_dropped_with_its_sessions_and_dropping_nothing_is_no_error(
    engine: Engine, shop: MemorySource, postgres: Target
) -> None:
    target = postgres.to("to be dropped")
    engine.create(target, shop.manifest)
    with closing(connection(target)) as open_session:
        engine.drop(target)
        with pytest.raises(psycopg2.Error):
            open_session.cursor().execute("SELECT 1")
    engine.drop(target)
    assert execute(postgres, "SELECT count(*) FROM pg_database WHERE datname = 'to be dropped'") == [(0,)]


def test_a_subscription_is_restored_disabled_and_without_the_live_slot(
    engine: Engine, postgres: Target, fresh_database: FreshDatabase
) -> None:
    live = fresh_database(postgres)
    execute(
        live,
        "CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p"
        " WITH (connect = false, slot_name = 'live_slot')",
    )
    try:
        with round_trip(engine, live, live.to(f"{live.database} beside")) as returned:
            assert returned.differences == ()
            assert any("SUBSCRIPTION feed" in sentence for sentence in returned.left_out)
            found = (
                "SELECT subenabled, subslotname::text FROM pg_subscription"
                " JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database()"
            )
            assert execute(returned.target, found) == [(False, None)]
            assert execute(live, found) == [(False, "live_slot")]
    finally:
        engine.drop(live)
