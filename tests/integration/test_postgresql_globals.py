"""What lies beside the SQL stream: roles, owner, privileges, settings, locale, tablespaces; on another server."""

from collections.abc import Iterator

import pytest

from backproof.engines import Engine, find
from backproof.engines.postgresql.server import private_server
from backproof.errors import ConfigurationError
from backproof.records import Lack, Target
from backproof.scratch import workspace
from tests.support.postgres_fixtures import MAJORS, FreshDatabase, execute, server
from tests.support.round_trip import compared, round_trip, taken

ROLES = """
DO $$ BEGIN
  IF to_regrole('globals_owner') IS NULL THEN
    CREATE ROLE globals_owner LOGIN PASSWORD 'never in a backup' NOINHERIT CREATEDB;
    CREATE ROLE "Globals ""Reader"; CREATE ROLE globals_team; CREATE ROLE globals_top SUPERUSER;
    GRANT globals_team TO "Globals ""Reader" WITH ADMIN OPTION; GRANT pg_monitor TO globals_team;
  END IF;
END $$;
"""

FURNISHED = """
ALTER DATABASE {name} OWNER TO globals_owner;
REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC;
GRANT CONNECT ON DATABASE {name} TO "Globals ""Reader" WITH GRANT OPTION;
ALTER DATABASE {name} SET search_path = '$user', public, "Odd, one";
ALTER DATABASE {name} SET work_mem = '5MB';
ALTER DATABASE {name} SET myapp.setting = 'it''s, "so"';
ALTER DATABASE {name} SET timezone = 'Europe/Berlin';
ALTER DATABASE {name} SET bytea_output = 'escape';
ALTER ROLE globals_team IN DATABASE {name} SET statement_timeout = '7s';
ALTER DATABASE {name} CONNECTION LIMIT 17;
COMMENT ON DATABASE {name} IS E'the shop''s\\nown';
CREATE TABLE t (at timestamptz, b bytea, i interval);
INSERT INTO t VALUES ('2025-07-01 12:00+00', '\\x00ff41', '1 day 2 hours');
ALTER TABLE t OWNER TO globals_owner; GRANT SELECT ON t TO globals_team;
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watching ON sql_drop EXECUTE FUNCTION watch(); ALTER EVENT TRIGGER watching OWNER TO globals_top;
"""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return find("postgresql")


@pytest.fixture(scope="module", params=MAJORS)
def elsewhere(request: pytest.FixtureRequest) -> Iterator[tuple[int, Target]]:
    """A scratch server: a Unix socket only, no role of ours, another time zone than the live one's databases."""
    with workspace("globals") as folder, private_server(request.param, folder) as target:
        yield request.param, target


def furnished(request: pytest.FixtureRequest, fresh_database: FreshDatabase, major: int) -> Target:
    live: Target = request.getfixturevalue(f"postgres{major}")
    execute(live, ROLES)
    database = fresh_database(live)
    execute(database, FURNISHED.format(name=database.database))
    return database


def test_a_database_comes_back_on_a_server_that_knows_none_of_its_roles(
    engine: Engine, request: pytest.FixtureRequest, fresh_database: FreshDatabase, elsewhere: tuple[int, Target]
) -> None:
    major, scratch = elsewhere
    live = furnished(request, fresh_database, major)
    with round_trip(engine, live, scratch.to(live.database)) as returned:
        assert returned.differences == ()
        assert returned.left_out == ()
        assert returned.again.manifest.database.globals == returned.source.manifest.database.globals
        roles = dict(execute(scratch, "SELECT rolname::text, rolcanlogin FROM pg_roles WHERE rolname ~* '^globals'"))
        assert roles == {"globals_owner": False, 'Globals "Reader': False, "globals_team": False, "globals_top": False}
        with_password = "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL AND rolname ~* '^globals'"
        assert execute(scratch, with_password) == [(0,)]


def test_what_a_server_lacks_is_told_by_name_before_anything_is_made(
    engine: Engine, request: pytest.FixtureRequest, fresh_database: FreshDatabase
) -> None:
    live = furnished(request, fresh_database, 18)
    source = taken(engine, live)
    facts = {
        **source.manifest.database.server,
        "extensions": {"plpgsql": "1.0", "not_made_anywhere": "2.0"},
    }
    database = source.manifest.database.model_copy(
        update={
            "server": facts,
            "settings": {**source.manifest.database.settings, "collate": "xx_XX.UTF-8", "ctype": "xx_XX.UTF-8"},
            "globals": {**source.manifest.database.globals, "tablespaces": ["fast"]},
        }
    )
    manifest = source.manifest.model_copy(update={"database": database})
    with server(18) as other:
        found = engine.lacks(other.to("not there yet"), manifest)
        assert {(lack.kind, lack.name) for lack in found} == {
            ("role", "globals_owner"),
            ("role", 'Globals "Reader'),
            ("role", "globals_team"),
            ("role", "globals_top"),
            ("extension", "not_made_anywhere"),
            ("tablespace", "fast"),
            ("locale", "xx_XX.UTF-8"),
        }
        assert all(lack.remedy for lack in found)
        assert execute(other, "SELECT count(*) FROM pg_roles WHERE rolname ~* 'globals'") == [(0,)]


def test_on_a_server_that_is_no_scratch_server_nobody_becomes_powerful(
    engine: Engine, request: pytest.FixtureRequest, fresh_database: FreshDatabase
) -> None:
    live = furnished(request, fresh_database, 16)
    source = taken(engine, live)
    with server(16) as other:
        beside = other.to("beside")
        roles = [lack for lack in engine.lacks(beside, source.manifest) if lack.kind == "role"]
        engine.provide(beside, source.manifest, roles)
        assert execute(
            other,
            "SELECT bool_or(rolsuper OR rolcreatedb OR rolcreaterole OR rolcanlogin), count(*) FROM pg_roles"
            " WHERE rolname ~* 'globals'",
        ) == [(False, 4)]
        with pytest.raises(ConfigurationError, match="tablespace fast"):
            engine.provide(beside, source.manifest, [Lack(kind="tablespace", name="fast", remedy="CREATE it.")])


def test_who_may_not_create_databases_is_told_so(
    engine: Engine, request: pytest.FixtureRequest, fresh_database: FreshDatabase, postgres18: Target
) -> None:
    source = taken(engine, furnished(request, fresh_database, 18))
    if not execute(postgres18, "SELECT FROM pg_roles WHERE rolname = 'powerless'"):
        execute(postgres18, "CREATE ROLE powerless LOGIN")
    execute(postgres18, "ALTER ROLE powerless PASSWORD 'x'")
    weak = postgres18.model_copy(update={"user": "powerless", "password": type(postgres18.password)("x")})
    found = engine.lacks(weak.to("not there yet"), source.manifest)
    assert [(lack.kind, lack.name) for lack in found] == [("privilege", "CREATEDB")]


@pytest.mark.parametrize("major", MAJORS)
def test_tablespaces_come_back_by_name_on_a_scratch_server(
    engine: Engine, request: pytest.FixtureRequest, fresh_database: FreshDatabase, major: int
) -> None:
    live: Target = request.getfixturevalue(f"postgres{major}")
    if not execute(live, "SELECT FROM pg_tablespace WHERE spcname = 'Fast disk'"):
        execute(live, "CREATE TABLESPACE \"Fast disk\" LOCATION ''")
    database = fresh_database(
        live,
        """CREATE TABLE here (a int); CREATE TABLE there (a int) TABLESPACE "Fast disk"; CREATE INDEX i ON here (a)
        TABLESPACE "Fast disk"; CREATE TABLE also_here (a int PRIMARY KEY); INSERT INTO there VALUES (1);""",
    )
    where = (
        "SELECT relname::text, spcname::text FROM pg_class JOIN pg_tablespace t ON t.oid = reltablespace"
        " WHERE pg_class.oid >= 16384 ORDER BY 1"
    )
    with (
        workspace("spaces") as folder,
        private_server(major, folder) as scratch,
        round_trip(engine, database, scratch.to("beside")) as returned,
    ):
        assert returned.differences == ()
        assert execute(returned.target, where) == [("i", "Fast disk"), ("there", "Fast disk")]


@pytest.mark.parametrize(
    ("options", "script"),
    [
        ("ENCODING 'LATIN1' LOCALE 'C'", 'CREATE TABLE "größe" ("é" text); INSERT INTO "größe" VALUES (\'äöüß\');'),
        ("ENCODING 'SQL_ASCII' LOCALE 'C'", "CREATE TABLE t (a text); INSERT INTO t VALUES (E'\\xff\\xfe'), ('x');"),
        ("ENCODING 'EUC_JP' LOCALE 'C'", 'CREATE TABLE "表" (a text); INSERT INTO "表" VALUES (\'日本語\');'),
        ("ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'", "CREATE TABLE t (a text); INSERT INTO t VALUES ('é');"),
    ],
    ids=["LATIN1", "SQL_ASCII", "EUC_JP", "C.UTF-8"],
)
def test_every_encoding_and_locale_comes_back(
    engine: Engine, postgres: Target, fresh_database: FreshDatabase, options: str, script: str
) -> None:
    live = fresh_database(postgres, script, options=options)
    with round_trip(engine, live, live.to(f"{live.database} beside")) as returned:
        assert returned.differences == ()
        shown = "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname = %s"
        assert execute(postgres, shown, (returned.target.database,)) == execute(postgres, shown, (live.database,))


def test_a_server_in_another_time_zone_with_other_ways_of_writing_values_is_proven_all_the_same(
    engine: Engine, elsewhere: tuple[int, Target]
) -> None:
    major, scratch = elsewhere
    ways = {
        "timezone": "Asia/Tokyo",
        "bytea_output": "escape",
        "datestyle": "SQL, DMY",
        "intervalstyle": "sql_standard",
    }
    with server(major, settings=ways) as far:
        execute(far, "CREATE DATABASE far")
        live = far.to("far")
        execute(live, "CREATE TABLE t (a timestamptz, b bytea, c interval, d date DEFAULT '2025-02-01', e float8)")
        execute(live, "INSERT INTO t VALUES ('2025-07-01 12:00+00', '\\x00ff41', '1 day 2 hours', '2025-02-01', 0.1)")
        with round_trip(engine, live, scratch.to("far beside")) as returned:
            assert returned.differences == ()


def test_a_trigger_on_login_does_not_change_what_is_being_proven(
    engine: Engine, postgres18: Target, fresh_database: FreshDatabase
) -> None:
    live = fresh_database(
        postgres18,
        """CREATE TABLE logins (who text); CREATE FUNCTION seen() RETURNS event_trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO public.logins VALUES (session_user); END';
        CREATE EVENT TRIGGER seen ON login EXECUTE FUNCTION seen();""",
    )
    source = taken(engine, live)
    with workspace("login") as folder, engine.scratch(source.manifest, folder) as target:
        engine.restore(source, target, keep_order=True)
        for _ in range(2):
            found = compared(engine, source, taken(engine, target), target)
            assert [each for each in found if "GLOBAL" not in each.object] == []


def test_money_is_read_as_it_was_written(engine: Engine, postgres15: Target, fresh_database: FreshDatabase) -> None:
    live = fresh_database(postgres15, "CREATE TABLE t (a money); INSERT INTO t VALUES (1234.56::numeric::money)")
    source = taken(engine, live)
    parameters = source.manifest.database.server["parameters"]
    assert isinstance(parameters, dict)
    assert parameters["lc_monetary"]
    with workspace("money") as folder, engine.scratch(source.manifest, folder) as target:
        engine.restore(source, target)
        assert execute(target, "SHOW lc_monetary") == [(parameters["lc_monetary"],)]
        assert execute(target, "SELECT a::numeric::text FROM t") == [("1234.56",)]


def test_the_builtin_locale_provider_comes_back(
    engine: Engine, postgres18: Target, fresh_database: FreshDatabase
) -> None:
    live = fresh_database(postgres18, "CREATE TABLE t (a text)", options="LOCALE_PROVIDER builtin LOCALE 'C.UTF-8'")
    with round_trip(engine, live, live.to(f"{live.database} beside")) as returned:
        assert returned.differences == ()


def test_an_icu_locale_comes_back_where_the_server_has_icu(
    engine: Engine, postgres15: Target, fresh_database: FreshDatabase
) -> None:
    options = "LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk' LOCALE 'C.UTF-8'"
    live = fresh_database(postgres15, "CREATE TABLE t (a text); INSERT INTO t VALUES ('ä')", options=options)
    with round_trip(engine, live, live.to(f"{live.database} beside")) as returned:
        assert returned.differences == ()


@pytest.mark.parametrize(
    ("major", "extension", "script"),
    [
        (15, "hstore", "CREATE TABLE t (a kept.hstore); INSERT INTO t VALUES ('a=>1, \"b\"=>NULL');"),
        (16, "vector", "CREATE TABLE t (a kept.vector(3)); INSERT INTO t VALUES ('[1,2,3]');"),
        (18, "vector", "CREATE TABLE t (a kept.vector(3)); INSERT INTO t VALUES ('[1,2,3]');"),
    ],
)
def test_extensions_come_back(
    engine: Engine,
    request: pytest.FixtureRequest,
    fresh_database: FreshDatabase,
    major: int,
    extension: str,
    script: str,
) -> None:
    made = f"CREATE SCHEMA kept; CREATE EXTENSION {extension} SCHEMA kept; COMMENT ON EXTENSION {extension} IS 'ours';"
    live = fresh_database(request.getfixturevalue(f"postgres{major}"), made + script)
    with round_trip(engine, live, live.to(f"{live.database} beside")) as returned:
        assert returned.differences == ()
        assert execute(returned.target, "SELECT a::text FROM t") == execute(live, "SELECT a::text FROM t")


def test_a_table_is_digested_over_the_columns_of_the_backup_whatever_their_order(
    engine: Engine, postgres18: Target, fresh_database: FreshDatabase
) -> None:
    first = fresh_database(
        postgres18, "CREATE TABLE t (a int, \"B b\" text); INSERT INTO t VALUES (1, E'x\\ty'), (2, NULL)"
    )
    second = fresh_database(
        postgres18,
        """CREATE TABLE t ("B b" text, extra int, a int); INSERT INTO t (a, "B b") VALUES (1, E'x\\ty'), (2, NULL)""",
    )
    (table,) = taken(engine, first).manifest.tables
    assert engine.digest(second, table) == table
    execute(second, "UPDATE t SET a = 3 WHERE a = 2")
    assert engine.digest(second, table) != table
