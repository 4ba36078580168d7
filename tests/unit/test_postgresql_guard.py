"""What an archive may say to a server."""

import pytest

from backproof.engines.postgresql.guard import permitted
from backproof.errors import Damaged

WRITTEN_BY_PG_DUMP = [
    b"CREATE UNLOGGED TABLE public.t (\n    a integer\n);",
    b"CREATE OR REPLACE VIEW public.v AS\n SELECT 1 AS one;",
    b"CREATE UNIQUE INDEX i ON public.t USING btree (a);",
    b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT k PRIMARY KEY (a);",
    b"ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA s GRANT SELECT ON TABLES TO b;",
    b'GRANT SELECT(a, "odd) ON DATABASE"),UPDATE(b) ON TABLE public.t TO b WITH GRANT OPTION;',
    b"REVOKE GRANT OPTION FOR ALL ON FUNCTION public.f(integer) FROM PUBLIC;",
    b"GRANT USAGE ON FOREIGN SERVER s TO b;",
    b"SET SESSION AUTHORIZATION b;",
    b"RESET SESSION AUTHORIZATION;",
    b"COMMENT ON COLUMN public.t.a IS 'DROP TABLE x; ALTER SYSTEM';",
    b"CREATE USER MAPPING FOR b SERVER s OPTIONS (\n    password 'x'\n);",
    b"CREATE SUBSCRIPTION s CONNECTION 'host=x' PUBLICATION p WITH (connect = false, slot_name = 's');",
    b"SELECT pg_catalog.setval('public.\"it''s\"', -5, true);",
    b"SELECT pg_catalog.lo_create('16495');",
    b"SELECT pg_catalog.set_config('search_path', '', false);",
    b"REFRESH MATERIALIZED VIEW public.mv;",
    b"CREATE FUNCTION public.f() RETURNS text\n    LANGUAGE sql\n    AS $$DROP DATABASE x; ALTER SYSTEM SET a = 1;$$;",
    b"CREATE FUNCTION public.f() RETURNS integer\n    BEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 END;\nEND;",
]

FORGED = [
    b"ALTER SYSTEM SET archive_command = 'x';",
    b"alter system set archive_command = 'x';",
    b"ALTER  SYSTEM SET archive_command = 'x';",
    b"ALTER/**/SYSTEM SET archive_command = 'x';",
    b"ALTER DATABASE shop RENAME TO gone;",
    b"ALTER ROLE postgres PASSWORD 'x';",
    b"CREATE ROLE intruder SUPERUSER;",
    b"CREATE DATABASE x;",
    b"CREATE TABLESPACE x LOCATION '/etc';",
    b"GRANT postgres TO intruder;",
    b'GRANT "TABLE" TO intruder;',
    b"GRANT ALL ON DATABASE shop TO intruder;",
    b"GRANT SET ON PARAMETER archive_command TO intruder;",
    b"DROP TABLE public.t;",
    b"TRUNCATE public.t;",
    b"DO $$ BEGIN END $$;",
    b"CALL public.p();",
    b"COPY public.t TO PROGRAM 'sh';",
    b"COPY public.t FROM PROGRAM 'sh';",
    b"COPY public.t FROM '/etc/passwd';",
    b"INSERT INTO public.t VALUES (1);",
    b"DELETE FROM live.t;",
    b"LOAD 'x';",
    b"SET ROLE postgres;",
    b"SET search_path = evil;",
    b"SELECT pg_catalog.set_config('search_path', 'evil', false);",
    b"SELECT pg_catalog.pg_terminate_backend(1);",
    b"SELECT pg_catalog.lo_export(1, '/tmp/x');",
    b"SELECT pg_catalog.setval('public.s', (SELECT 1), true);",
    b"SELECT pg_catalog.lo_create('1'), pg_catalog.lo_import('/etc/passwd');",
    b"CREATE SUBSCRIPTION s CONNECTION 'host=evil' PUBLICATION p;",
    b"ALTER SUBSCRIPTION s ENABLE;",
    b"BEGIN;",
    b"PREPARE TRANSACTION 'x';",
    b"VACUUM;",
]


@pytest.mark.parametrize("statement", WRITTEN_BY_PG_DUMP, ids=lambda text: text[:40].decode())
def test_what_pg_dump_writes_may_pass(statement: bytes) -> None:
    assert permitted(b"--\n-- Name: x\n--\n\n" + statement + b"\n\n") == [statement]


@pytest.mark.parametrize("statement", FORGED, ids=lambda text: text[:40].decode())
def test_what_pg_dump_never_writes_is_refused_wherever_it_stands(statement: bytes) -> None:
    before, after = b"CREATE TABLE public.t (\n    a integer\n);\n", b"\nALTER TABLE public.t OWNER TO b;\n"
    with pytest.raises(Damaged, match="pg_dump does not write"):
        permitted(before + statement + after)


def test_a_statement_cannot_hide_behind_the_end_of_a_function_body() -> None:
    head = b"CREATE FUNCTION public.f() RETURNS int LANGUAGE sql BEGIN ATOMIC "
    body = head + b"SELECT 1 AS case; END; ALTER SYSTEM SET a = 1; END;"
    with pytest.raises(Damaged):
        permitted(body)


def test_a_refused_statement_is_named_but_not_shown() -> None:
    with pytest.raises(Damaged) as refused:
        permitted(b"INSERT INTO public.customers VALUES ('Ada', 'secret');")
    assert "INSERT INTO" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_transactions_belong_to_large_objects_alone() -> None:
    around = b"BEGIN;\nSELECT pg_catalog.lo_open('1', 131072);\nSELECT pg_catalog.lowrite(0, '\\x00ff');\nCOMMIT;\n"
    assert len(permitted(around, large_objects=True)) == 4
    with pytest.raises(Damaged):
        permitted(around)
    with pytest.raises(Damaged):
        permitted(b"BEGIN;\nDROP TABLE public.t;\nCOMMIT;\n", large_objects=True)
