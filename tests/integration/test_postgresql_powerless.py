"""What belongs to no superuser is loaded by none on a scratch server: a hostile function in a CHECK gains nothing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backproof.engines.postgresql import ENGINE
from backproof.records import Target
from backproof.scratch import workspace
from tests.support.postgres_fixtures import FreshDatabase, execute
from tests.support.round_trip import MemorySource, compared, taken

OWNER = f"mallory_{os.getpid()}"

HOSTILE = """
CREATE SCHEMA own AUTHORIZATION {owner}; SET ROLE {owner}; SET search_path = own;
CREATE FUNCTION f(i int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN true; END $$;
CREATE DOMAIN odd AS int CHECK (f(VALUE));
CREATE TABLE checked (i int CHECK (f(i)), t text); CREATE TABLE by_domain (i odd);
CREATE FUNCTION g(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM own.f(i); RETURN i; END $$;
CREATE TABLE generated (i int, j int GENERATED ALWAYS AS (g(i)) STORED);
INSERT INTO checked SELECT i, repeat('x', i * 37 % 200) FROM generate_series(1, 300) i;
INSERT INTO by_domain VALUES (1); INSERT INTO generated VALUES (1);
-- Hostile only now: the rows are there, and here it was a superuser's session that made them.
CREATE OR REPLACE FUNCTION f(i int) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
    BEGIN EXECUTE 'ALTER ROLE {owner} SUPERUSER'; EXCEPTION WHEN OTHERS THEN NULL; END;
    BEGIN EXECUTE 'SET SESSION AUTHORIZATION postgres'; EXCEPTION WHEN OTHERS THEN NULL; END;
    BEGIN EXECUTE 'RESET SESSION AUTHORIZATION'; EXCEPTION WHEN OTHERS THEN NULL; END;
    BEGIN EXECUTE 'SET ROLE postgres'; EXCEPTION WHEN OTHERS THEN NULL; END;
    BEGIN EXECUTE $q$COPY (SELECT 1) TO PROGRAM 'touch {trace}'$q$; EXCEPTION WHEN OTHERS THEN NULL; END;
    RETURN true;
END $$;
"""

ORDINARY = """
CREATE SCHEMA own AUTHORIZATION {owner}; SET ROLE {owner}; SET search_path = own;
CREATE TABLE hidden (i int PRIMARY KEY, t text); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY nobody ON hidden USING (false); CREATE TABLE closed (i int); INSERT INTO closed VALUES (1);
REVOKE INSERT, SELECT ON closed FROM {owner}; CREATE TABLE "odd ""name" (i int GENERATED ALWAYS AS IDENTITY, t text);
INSERT INTO "odd ""name" (t) SELECT repeat('y', i * 53 % 300) FROM generate_series(1, 500) i;
CREATE TABLE p (i int, t text) PARTITION BY RANGE (i); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (100);
INSERT INTO p SELECT i, 'row' FROM generate_series(1, 50) i; CREATE UNLOGGED TABLE u (i int); INSERT INTO u VALUES (1);
CREATE TABLE parent (i int); CREATE TABLE child (j int) INHERITS (parent); INSERT INTO child VALUES (1, 2);
RESET ROLE; INSERT INTO own.hidden SELECT i, 'secret' FROM generate_series(1, 20) i;
CREATE TABLE public.ours (i int); INSERT INTO public.ours VALUES (7);
SELECT lo_from_bytea(0, 'large');
"""


@pytest.fixture
def owner(postgres: Target) -> Iterator[str]:
    execute(postgres, f"CREATE ROLE {OWNER}")
    yield OWNER
    execute(postgres, f"DROP ROLE {OWNER}")


def on_scratch(
    source: MemorySource, folder: Path, asked: str, reachable: bool = False
) -> tuple[object, list[tuple[object, ...]]]:
    """What a proof does, and the answer to a question afterwards."""
    with ENGINE.scratch(source.manifest, folder, reachable=reachable) as target:
        ENGINE.provide(target, source.manifest, ENGINE.lacks(target, source.manifest))
        assert ENGINE.restore(source, target, jobs=2, keep_order=True) == []
        ENGINE.apply_globals(target, source.manifest)
        found = compared(ENGINE, source, taken(ENGINE, target), target)
        assert execute(target, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'backproof%%'", ()) == []
        return found, execute(target, asked)


@pytest.mark.parametrize("reachable", [False, True], ids=["proof", "recovery test"])
def test_a_function_in_a_check_gains_nothing(
    postgres: Target, fresh_database: FreshDatabase, owner: str, reachable: bool
) -> None:
    with workspace("hostile") as folder:
        folder.chmod(0o777)
        trace = folder / "trace"
        live = fresh_database(postgres, HOSTILE.format(owner=owner, trace=trace))
        asked = f"SELECT rolsuper FROM pg_roles WHERE rolname = '{owner}'"
        found, powers = on_scratch(taken(ENGINE, live), folder, asked, reachable)
        assert found == ()
        assert powers == [(False,)]
        assert not trace.exists()
        execute(live, "DROP SCHEMA own CASCADE")


def test_what_owners_keep_from_others_and_from_themselves_comes_back_all_the_same(
    postgres: Target, fresh_database: FreshDatabase, owner: str
) -> None:
    live = fresh_database(postgres, ORDINARY.format(owner=owner))
    with workspace("ordinary") as folder:
        found, rows = on_scratch(taken(ENGINE, live), folder, "SELECT count(*) FROM own.hidden")
    assert found == ()
    assert rows == [(20,)]
    execute(live, "DROP SCHEMA own CASCADE")


def test_a_table_of_whoever_owns_the_database_comes_back(postgres: Target, fresh_database: FreshDatabase) -> None:
    live = fresh_database(
        postgres,
        """CREATE TABLE theirs (i int, t text); ALTER TABLE theirs OWNER TO pg_database_owner;
        INSERT INTO theirs SELECT i, repeat('z', i * 53 % 300) FROM generate_series(1, 500) i;""",
    )
    with workspace("ordinary") as folder:
        found, rows = on_scratch(taken(ENGINE, live), folder, "SELECT count(*) FROM theirs")
    assert found == ()
    assert rows == [(500,)]
