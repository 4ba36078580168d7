"""A staged application's login on PostgreSQL: what was done in others' names still is, and policies hold for it."""

import os
from collections.abc import Iterator

import pytest

from backproof.engines.postgresql import ENGINE
from backproof.records import Target
from tests.support.postgres_fixtures import execute

OWNER, CLERK = (f"staged_{who}_{os.getpid()}" for who in ("owner", "clerk"))
LOGIN = f"staged_app_{os.getpid()}"

SHOP = f"""
CREATE ROLE {OWNER}; CREATE ROLE {CLERK};
GRANT CREATE ON DATABASE "Staged {os.getpid()}" TO {OWNER};
SET ROLE {OWNER};
CREATE SCHEMA "The shop"; SET search_path = "The shop";
CREATE TYPE size AS ENUM ('small');
CREATE TABLE orders (id serial PRIMARY KEY, size size, number int GENERATED ALWAYS AS IDENTITY);
INSERT INTO orders (size) VALUES ('small');
CREATE TABLE parts (id int, order_id int REFERENCES orders) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE SEQUENCE numbers;
CREATE VIEW seen AS SELECT * FROM orders;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM orders;
CREATE FUNCTION how_many() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = "The shop"
    AS 'SELECT count(*) FROM orders';
REVOKE ALL ON FUNCTION how_many() FROM PUBLIC;
CREATE TABLE secured (id int, whose text); INSERT INTO secured VALUES (1, 'clerk'), (2, 'nobody');
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY "the clerk's" ON secured TO {CLERK} USING (whose = 'clerk');
RESET ROLE; RESET search_path;
SELECT lo_from_bytea(4711, 'large');
CREATE FUNCTION never() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''set off''; END';
CREATE EVENT TRIGGER never ON ddl_command_start WHEN TAG IN ('ALTER TABLE', 'ALTER SCHEMA', 'GRANT')
    EXECUTE FUNCTION never();
"""


@pytest.fixture
def copy(postgres16: Target) -> Iterator[Target]:
    target = postgres16.to(f"Staged {os.getpid()}")
    execute(postgres16, f'CREATE DATABASE "{target.database}"')
    try:
        execute(target, SHOP)
        yield target
    finally:
        ENGINE.drop(target)
        ENGINE.dismiss(target, LOGIN)
        execute(postgres16, f"DROP ROLE IF EXISTS {OWNER}; DROP ROLE IF EXISTS {CLERK}")


def test_an_application_works_as_it_does_with_a_login_that_owns_its_tables(copy: Target) -> None:
    own = ENGINE.admit(copy, LOGIN)
    execute(copy, "DROP EVENT TRIGGER never")
    at = 'SET search_path = "The shop"; '
    execute(own, f"{at}INSERT INTO orders (size) VALUES ('small'); INSERT INTO parts VALUES (1, 2)")
    assert execute(own, f"{at}SELECT how_many(), count(*) FROM seen") == [(2, 2)], "in its owner's name"
    assert execute(own, f"{at}SELECT id FROM secured") == [(1,)], "as the policy says"
    assert execute(own, "SELECT lo_get(4711)::text, lo_unlink(4711)") == [("\\x6c61726765", 1)]
    assert execute(own, f"{at}SELECT nextval('numbers')") == [(1,)]
    execute(own, f"{at}REFRESH MATERIALIZED VIEW counted; ALTER TABLE parts ADD COLUMN more int; TRUNCATE parts")
    execute(
        own, f"{at}DROP TABLE parts; DROP VIEW seen; ALTER TABLE orders DROP COLUMN size; CREATE TABLE new (id int)"
    )


def test_nothing_is_given_to_it_beside_the_database(copy: Target, postgres16: Target) -> None:
    ENGINE.admit(copy, LOGIN)
    asked = "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = "
    assert execute(postgres16, f"{asked}'{LOGIN}'") == [(False,) * 5]
    [(memberships,)] = execute(
        postgres16,
        f"SELECT count(*) FROM pg_auth_members WHERE member = '{LOGIN}'::regrole OR roleid = '{LOGIN}'::regrole",
    )
    elsewhere = execute(
        postgres16,
        "SELECT d.datname::text FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid"
        f" WHERE refobjid = '{LOGIN}'::regrole AND d.datname <> '{copy.database}'",
    )
    assert (memberships, elsewhere) == (0, [])


def test_an_administrator_who_is_no_superuser_can_let_it_in(copy: Target) -> None:
    execute(copy, "DROP EVENT TRIGGER never; ALTER LARGE OBJECT 4711 OWNER TO " + OWNER)
    execute(copy, f"CREATE ROLE {CLERK}_admin LOGIN CREATEROLE CREATEDB PASSWORD 'pw'; GRANT {OWNER} TO {CLERK}_admin")
    try:
        execute(copy, f'ALTER DATABASE "{copy.database}" OWNER TO {CLERK}_admin')
        admin = copy.model_copy(update={"user": f"{CLERK}_admin", "password": type(copy.password)("pw")})
        own = ENGINE.admit(admin, LOGIN)
        assert execute(own, 'SET search_path = "The shop"; SELECT how_many(), count(*) FROM orders') == [(1, 1)]
        execute(own, 'ALTER TABLE "The shop".orders ADD COLUMN more int; CREATE TABLE public.new (id int)')
    finally:
        ENGINE.drop(copy)
        ENGINE.dismiss(copy, LOGIN)
        execute(copy.to("postgres"), f"DROP ROLE {CLERK}_admin")
