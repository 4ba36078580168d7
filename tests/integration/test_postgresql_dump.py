"""A dump of a real server is of one moment and complete, or it is an error; whatever happens meanwhile."""

import hashlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
from pydantic import SecretStr

from backproof import subprocesses
from backproof.engines import Piece
from backproof.engines.postgresql import ENGINE, pgdump
from backproof.engines.postgresql import dump as dump_module
from backproof.engines.postgresql.connect import connect, connected
from backproof.engines.postgresql.dump import PostgresDump, open_dump
from backproof.engines.postgresql.lock import lock
from backproof.engines.postgresql.point import consistent_point
from backproof.errors import AccessDenied, BackproofError, Busy, ConnectionLost, DumpFailed, NotFound
from backproof.records import Target
from tests.support.aftermath import programs
from tests.support.postgres_fixtures import PASSWORD, FreshDatabase, connection, execute, server

ZOO = (Path(__file__).parent.parent / "support" / "postgres_zoo.sql").read_text()

WITHOUT_INVENTORY = (
    "ACL", "COMMENT", "PREAMBLE", "CLOSING", "SEQUENCE OWNED BY", "DEFAULT ", "TABLE ATTACH", "INDEX ATTACH", "BLOB",
    "OPERATOR FAMILY", "MATERIALIZED VIEW DATA",
)  # fmt: skip
"""Entries that hang on others, or that nothing silently loses."""

BIG = "CREATE TABLE big AS SELECT i, repeat('x', 1000) AS t FROM generate_series(1, 50000) i"
"""More than fits into the buffers of pipe and sockets: its pg_dump and backend still run when the dump is open."""


TERMINATE = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s AND datname = %s
"""


def drained(dump: PostgresDump) -> list[Piece]:
    data = [piece for stream in dump.data() for piece in stream]
    return [*dump.schema(), *data, *dump.finish()]


def keys(pieces: list[Piece]) -> Counter[str]:
    texts = (piece.head for piece in pieces if piece.table is None)
    return Counter(entry.key for text in texts for entry in ENGINE.entries(text))


def rows(pieces: list[Piece]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for piece in pieces:
        if piece.table is not None:
            counted[piece.table] += piece.rows
    return dict(counted)


def body(pieces: list[Piece], table: str) -> bytes:
    return b"".join(piece.body for piece in pieces if piece.table == table)


def ours(target: Target) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'backproof%'"
    return int(execute(target.to("postgres"), query)[0][0])


@contextmanager
def meanwhile(target: Target, sql: str) -> Iterator[threading.Thread]:
    """Somebody runs a statement, which may have to wait, while the context lasts; it must have been done after it."""
    failures: list[str] = []

    def work() -> None:
        try:
            execute(target, sql)
        except psycopg2.Error as error:
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


def test_the_dump_holds_exactly_what_the_catalogue_lists(postgres: Target, fresh_database: FreshDatabase) -> None:
    target = fresh_database(postgres, ZOO)
    with ENGINE.dump(target) as dump:
        inventory = dump.inventory()
        found = drained(dump)  # type: ignore[arg-type]
    execute(target, "DROP SUBSCRIPTION sub")  # it would keep its database from being dropped
    held = keys(found)
    assert set(inventory.objects) - set(held) == set()
    assert {key for key in set(held) - set(inventory.objects) if not key.startswith(WITHOUT_INVENTORY)} == set()
    assert rows(found) == inventory.rows
    assert inventory.rows["app.users"] == 1000
    assert inventory.rows["app.blank"] == 2
    assert sum(count for table, count in inventory.rows.items() if table.startswith("BLOBS")) == 2
    assert {key for needed in inventory.needs.values() for key in needed} <= set(held)
    assert set(inventory.needs["app.users"]) >= {
        "SCHEMA app",
        "TYPE app.mood",
        "DOMAIN app.positive",
        "TYPE app.pair",
        "TYPE app.spans",
        "FUNCTION app.is_fine(integer)",
        "FUNCTION app.audit()",
        "SEQUENCE app.users_id_seq",
    }
    assert "TABLE app.parent" in inventory.needs["app.child"]
    assert not any(key.startswith("TABLE") for key in inventory.needs["app.orders"])
    assert ours(target) == 0
    assert programs("pg_dump") == []


def test_the_pieces_joined_are_a_script_that_psql_restores(
    postgres: Target, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    from backproof.engines.postgresql import binaries

    script = (
        "SET search_path = public; CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t SELECT i, repeat('y', 9)"
    )
    target = fresh_database(postgres, f"{script} FROM generate_series(1, 5000) i; SELECT lo_from_bytea(7, '\\x01')")
    with open_dump(target) as dump:
        major = int(dump.database.server_version.partition(".")[0])
        text = b"".join(piece.head + piece.body + piece.tail for piece in drained(dump))
    other = fresh_database(postgres)
    with pgdump.environment(other) as environment:
        program = str(binaries.find("pg_dump", major).parent / "psql")
        finished = (
            subprocesses.run(
                [program, "-X", "-q", "-v", "ON_ERROR_STOP=1"], deadline_seconds=60, env=environment, input=text
            )
            if Path(program).exists()
            else None
        )
    assert finished is not None
    assert finished.returncode == 0, finished.stderr
    assert execute(other, "SELECT count(*), (SELECT count(*) FROM pg_largeobject_metadata) FROM t") == [(5000, 1)]


def test_names_that_look_like_options_or_connection_strings_are_names(
    postgres18: Target, fresh_database: FreshDatabase
) -> None:
    name = "-d host=elsewhere dbname=postgres user=x"
    target = fresh_database(postgres18, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)", name=name)
    with open_dump(target) as dump:
        assert rows(drained(dump)) == {"public.t": 1}


@pytest.mark.parametrize(
    "ddl",
    [
        "TRUNCATE big",
        "ALTER TABLE big ALTER COLUMN i TYPE bigint",
        "DROP TABLE big, small",
        "ALTER TABLE big RENAME TO large",
        "DELETE FROM big; INSERT INTO small VALUES (2)",
        "CREATE TABLE another AS SELECT 1 AS a; DROP FUNCTION f(); CREATE FUNCTION g() RETURNS int RETURN 2",
        "ALTER TABLE small ADD CHECK (a > 0); CREATE INDEX ON small (a); DROP INDEX small_a_idx1",
    ],
    ids=lambda ddl: ddl.split(" big")[0][:30],
)
def test_what_changes_between_schema_and_data_loses_nothing(
    postgres: Target, fresh_database: FreshDatabase, ddl: str
) -> None:
    target = fresh_database(
        postgres,
        f"{BIG}; CREATE TABLE small (a int); INSERT INTO small VALUES (1); CREATE INDEX ON small (a);"
        "CREATE INDEX ON small (a); CREATE FUNCTION f() RETURNS int RETURN 1",
    )
    with open_dump(target) as dump:
        schema = list(dump.schema())
        # Part of it waits for the dump's locks, and everybody who comes later queues behind it.
        changing = meanwhile(target, ddl)
        changing.__enter__()
        inventory = dump.inventory()
        found = [*schema, *(piece for stream in dump.data() for piece in stream), *dump.finish()]
    changing.__exit__(None, None, None)
    assert rows(found) == inventory.rows == {"public.big": 50000, "public.small": 1}
    assert {"TABLE public.big", "TABLE public.small", "INDEX public.small_a_idx1", "FUNCTION public.f()"} <= set(
        keys(found)
    )
    assert set(inventory.objects) <= set(keys(found))
    assert "TABLE public.another" not in keys(found)


def test_who_gets_in_between_our_locks_and_those_of_pg_dump_makes_us_start_over(
    postgres18: Target, fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = fresh_database(postgres18, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    alterations = []
    original = pgdump.environment

    def environment(*given: Target) -> object:
        if not alterations:
            alterations.append(meanwhile(target, "ALTER TABLE t ADD COLUMN b int DEFAULT 7"))
            alterations[0].__enter__()
        return original(*given)

    monkeypatch.setattr(pgdump, "environment", environment)
    monkeypatch.setattr(dump_module, "_START_SECONDS", 1.0)
    with open_dump(target) as dump:
        assert body(drained(dump), "public.t") == b"1\t7\n"
    alterations[0].__exit__(None, None, None)


def test_a_lock_of_somebody_else_is_busy_and_names_table_and_process(
    postgres: Target, fresh_database: FreshDatabase
) -> None:
    target = fresh_database(postgres, 'CREATE SCHEMA app; CREATE TABLE app."Held" (a int)')
    with closing(connection(target)) as holder, holder.cursor() as cursor:
        cursor.execute('BEGIN; LOCK TABLE app."Held"')
        started = time.monotonic()
        with pytest.raises(Busy) as caught, consistent_point(target, lock_seconds=0.5):
            pass
        assert time.monotonic() - started < 10
        assert 'app."Held"' in caught.value.fact
        assert str(holder.info.backend_pid) in caught.value.fact
    with open_dump(target) as dump:
        assert rows(drained(dump)) == {'app."Held"': 0}


def test_tables_that_come_and_go_all_the_time_are_no_reason_for_half_a_dump(
    postgres18: Target, fresh_database: FreshDatabase
) -> None:
    target = fresh_database(postgres18, "CREATE TABLE steady (a int); INSERT INTO steady VALUES (1)")
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
        for _ in range(4):
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
    assert len(outcomes) == 4


Injury = Callable[[Target], None]


def _dump_and_injure(target: Target, injure: Injury, found: list[Piece]) -> None:
    with open_dump(target) as dump:
        for stream in dump.data():
            found.append(next(stream))
            injure(target)
            found.extend(stream)


def _killed_program(_: Target) -> None:
    (pid,) = programs("pg_dump")
    os.kill(pid, signal.SIGKILL)


def _terminated(application: str) -> Injury:
    def terminate(target: Target) -> None:
        assert execute(target.to("postgres"), TERMINATE, (application, target.database)) == [(True,)]

    return terminate


@pytest.mark.parametrize(
    ("injure", "errors"),
    [
        (_killed_program, (DumpFailed,)),
        (_terminated("backproof pg_dump"), (ConnectionLost,)),
        (_terminated("backproof snapshot"), (ConnectionLost,)),
    ],
    ids=["pg_dump killed", "its connection cut", "the holder's connection cut"],
)
def test_a_dump_that_was_injured_never_hands_over_its_last_piece(
    postgres: Target,
    fresh_database: FreshDatabase,
    injure: Injury,
    errors: tuple[type[BackproofError], ...],
) -> None:
    target = fresh_database(postgres, BIG)
    found: list[Piece] = []
    with pytest.raises(errors):
        _dump_and_injure(target, injure, found)
    assert not any(b"database dump complete" in piece.head for piece in found)
    assert programs("pg_dump") == []
    assert ours(target) == 0
    with open_dump(target) as dump:
        assert rows(drained(dump)) == {"public.big": 50000}


@pytest.mark.parametrize("major", [15, 18])
def test_a_server_killed_during_the_dump_is_a_lost_connection(major: int) -> None:
    with server(major) as target:
        execute(target, BIG)
        [[data]] = execute(target, "SHOW data_directory")
        postmaster = int((Path(data) / "postmaster.pid").read_text().split()[0])
        with pytest.raises(ConnectionLost):
            _dump_and_injure(target, lambda *_: os.kill(postmaster, signal.SIGQUIT), [])
        assert programs("pg_dump") == []


def test_leaving_a_dump_early_leaves_nothing_behind(postgres18: Target, fresh_database: FreshDatabase) -> None:
    target = fresh_database(postgres18, BIG)
    with open_dump(target) as dump:
        next(dump.data()[0])
    assert programs("pg_dump") == []
    assert ours(target) == 0


def test_the_same_rows_give_the_same_bytes_whatever_database_and_role_are_set_to(
    postgres: Target, fresh_database: FreshDatabase
) -> None:
    table = (
        "CREATE TABLE t (a timestamptz, b bytea, c interval, d date, e float8, f text, PRIMARY KEY (a));"
        "INSERT INTO t VALUES ('2025-11-07 02:00+00', '\\x00ff5c', '1 mon -3 days', '2025-11-07', 1.1, E'a\\\\b''')"
    )
    plain = fresh_database(postgres, table)
    odd = fresh_database(postgres, table)
    for setting in (
        "timezone = 'Asia/Kathmandu'",
        "bytea_output = 'escape'",
        "datestyle = 'German'",
        "intervalstyle = 'iso_8601'",
        "extra_float_digits = -5",
        "standard_conforming_strings = off",
        "quote_all_identifiers = on",
        "client_encoding = 'LATIN1'",
        "search_path = 'public'",
        "statement_timeout = '30ms'",
    ):
        execute(odd.to("postgres"), f'ALTER DATABASE "{odd.database}" SET {setting}')
    dumps = []
    for target in (plain, odd):
        with open_dump(target) as dump:
            found = drained(dump)
            assert dump.inventory().rows == rows(found) == {"public.t": 1}
            entries = [entry for piece in found if not piece.table for entry in ENGINE.entries(piece.head)]
            dumps.append((body(found, "public.t"), [ENGINE.canonical(entry) for entry in entries]))
    assert dumps[0] == dumps[1]


@pytest.mark.parametrize(
    ("encoding", "name", "value"),
    [("LATIN1", "tablé", "é"), ("WIN1251", "табл", "я"), ("EUC_JP", "表", "日本"), ("UTF8", "t🐘", "🐘")],
)
def test_names_and_values_in_any_encoding_are_dumped_as_they_lie(
    postgres: Target, fresh_database: FreshDatabase, encoding: str, name: str, value: str
) -> None:
    script = f'CREATE TABLE "{name}" ("{name}" text); INSERT INTO "{name}" VALUES (\'{value}\')'
    target = fresh_database(postgres, script, options=f"ENCODING '{encoding}' LOCALE 'C'")
    with open_dump(target) as dump:
        assert dump.database.settings["encoding"] == encoding
        found = drained(dump)
        inventory = dump.inventory()
    assert rows(found) == inventory.rows
    assert set(inventory.objects) <= set(keys(found))
    codec = {"LATIN1": "latin-1", "WIN1251": "cp1251", "EUC_JP": "euc_jp", "UTF8": "utf-8"}[encoding]
    assert body(found, next(iter(rows(found)))) == value.encode(codec) + b"\n"


def test_bytes_that_are_no_text_at_all_are_dumped_as_they_lie(
    postgres18: Target, fresh_database: FreshDatabase
) -> None:
    target = fresh_database(postgres18, options="ENCODING 'SQL_ASCII' LOCALE 'C'")
    with closing(connection(target)) as raw, raw.cursor() as cursor:
        cursor.execute(b"SET client_encoding = 'SQL_ASCII'; CREATE TABLE \"t\xe9\" (a text)")
        cursor.execute(b"INSERT INTO \"t\xe9\" VALUES ('\xff\xe9')")
    with open_dump(target) as dump:
        found = drained(dump)
        assert rows(found) == dump.inventory().rows
    assert body(found, next(iter(rows(found)))) == b"\xff\xe9\n"


def test_sequence_values_and_large_objects_are_part_of_what_is_compared(
    postgres: Target, fresh_database: FreshDatabase
) -> None:
    script = "CREATE SEQUENCE s; SELECT setval('s', %s); SELECT lo_from_bytea(7, decode(repeat('%s', 90000), 'hex'))"
    seen = []
    for value, byte in ((41, "ab"), (42, "ab"), (41, "ac")):
        target = fresh_database(postgres, script % (value, byte))
        with open_dump(target) as dump:
            found = drained(dump)
        (objects,) = {piece.table for piece in found if piece.table}
        texts = [entry for piece in found if not piece.table for entry in ENGINE.entries(piece.head)]
        sequence = {entry.key: ENGINE.canonical(entry) for entry in texts}["SEQUENCE SET public.s"]
        seen.append((sequence, hashlib.sha256(body(found, objects)).hexdigest(), objects))
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] == seen[1][1] != seen[2][1]
    assert len({objects for _, _, objects in seen}) == 1


def test_two_runs_of_one_plan_exclude_each_other_and_a_dead_one_does_not(
    postgres: Target, fresh_database: FreshDatabase
) -> None:
    target = fresh_database(postgres)
    with lock(target, "shop"):
        with lock(target, "other"), pytest.raises(Busy, match="plan shop"), lock(target, "shop"):
            pass
        query = (
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s AND datname = %s"
        )
        # The session that was refused may not have ended yet.
        assert (True,) in execute(postgres, query, ("backproof lock shop", target.database))
        with lock(target, "shop"):
            pass


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"password": SecretStr("wrong canary")}, AccessDenied),
        ({"user": "nobody_here"}, AccessDenied),
        ({"database": "no such thing"}, NotFound),
        ({"port": 1}, ConnectionLost),
        ({"host": "/nowhere"}, ConnectionLost),
    ],
)
def test_who_can_not_connect_is_told_why_without_the_password(
    postgres: Target, change: dict[str, object], kind: type[BackproofError]
) -> None:
    with pytest.raises(kind) as caught:
        connect(postgres.model_copy(update=change))
    assert "canary" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_an_error_of_the_server_is_told_without_rows(postgres: Target) -> None:
    with pytest.raises(BackproofError) as caught, connected(postgres) as session, session.cursor() as cursor:
        cursor.execute("SELECT 'a customer'::integer")
    assert "customer" not in str(caught.value)
    with pytest.raises(BackproofError) as caught, connected(postgres) as session, session.cursor() as cursor:
        cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'a customer'; END $$")
    assert "customer" not in str(caught.value)


def test_a_role_without_rights_is_refused_by_name(postgres: Target, fresh_database: FreshDatabase) -> None:
    target = fresh_database(postgres, "CREATE TABLE secret (a int)")
    role = f"poor_{os.getpid()}"
    execute(target, f"CREATE ROLE {role} LOGIN PASSWORD 'x y'")
    try:
        with (
            pytest.raises(AccessDenied, match="secret"),
            open_dump(target.model_copy(update={"user": role, "password": SecretStr("x y")})),
        ):
            pass
    finally:
        execute(target, f"DROP ROLE {role}")


def test_what_lies_beside_the_dump_is_read_with_it(postgres: Target, fresh_database: FreshDatabase) -> None:
    names = [f"{name}_{os.getpid()}" for name in ("owner", "reader", "Group")]
    owner, reader, group = names
    target = fresh_database(postgres, "".join(f'CREATE ROLE "{name}";' for name in names))
    try:
        execute(
            target,
            f'GRANT "{group}" TO {owner} WITH ADMIN OPTION; ALTER DATABASE "{target.database}" OWNER TO {owner};'
            f'REVOKE ALL ON DATABASE "{target.database}" FROM PUBLIC;'
            f'GRANT CONNECT ON DATABASE "{target.database}" TO {reader} WITH GRANT OPTION;'
            f'ALTER DATABASE "{target.database}" SET search_path = app, public;'
            f"ALTER DATABASE \"{target.database}\" SET work_mem = '8MB';"
            f"ALTER ROLE {reader} IN DATABASE \"{target.database}\" SET statement_timeout = '5s';"
            f'ALTER DATABASE "{target.database}" CONNECTION LIMIT 77;'
            f"COMMENT ON DATABASE \"{target.database}\" IS 'it''s ours'",
        )
        with open_dump(target) as dump:
            database = dump.database
    finally:
        execute(postgres, f'ALTER DATABASE "{target.database}" OWNER TO postgres')
        execute(target, "".join(f'DROP OWNED BY "{name}"; DROP ROLE "{name}";' for name in names))
    found = database.globals
    assert found["owner"] == owner
    assert found["connection_limit"] == 77
    assert found["comment"] == "it's ours"
    assert found["settings"] == {"search_path": "app, public", "work_mem": "8MB"}
    assert found["role_settings"] == {reader: {"statement_timeout": "5s"}}
    assert {"grantee": reader, "privilege": "CONNECT", "grantable": True} in found["acl"]  # type: ignore[operator]
    assert not any(entry["grantee"] == "PUBLIC" for entry in found["acl"])  # type: ignore[union-attr, call-overload, index]
    assert {owner, reader, group} <= set(found["roles"])  # type: ignore[arg-type]
    assert found["roles"][owner]["member_of"][0]["role"] == group  # type: ignore[index, call-overload]
    assert database.server["system_identifier"]
    assert database.live_bytes > 1_000_000
    assert database.taken_at.utcoffset() is not None
    assert "assword" not in database.model_dump_json().replace("Passwords of roles", "")
