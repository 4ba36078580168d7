"""A scratch server fits its archive, or says what is missing; it never runs on and never proves nothing quietly."""

import shutil

import psycopg2
import pytest

from backproof.engines.postgresql import ENGINE
from backproof.errors import CannotProve
from backproof.scratch import workspace
from tests.support.postgres_fixtures import execute
from tests.support.round_trip import taken


@pytest.fixture
def folder():
    with workspace("test") as path:
        yield path


def changed(manifest, **database):
    return manifest.model_copy(update={"database": manifest.database.model_copy(update=database)})


def settings(target):
    columns = "pg_encoding_to_char(encoding), datcollate, datctype, datlocprovider"
    return execute(target, f"SELECT {columns} FROM pg_database WHERE datname = current_database()")


@pytest.mark.parametrize("options", ["", "ENCODING 'LATIN1' LOCALE 'C'", "ENCODING 'SQL_ASCII' LOCALE 'C'"])
def test_the_database_has_major_version_encoding_and_locale_of_the_archive(postgres, fresh_database, folder, options):
    database = fresh_database(postgres, options=options)
    with ENGINE.scratch(taken(ENGINE, database).manifest, folder) as scratch:
        assert settings(scratch) == settings(database)
        major = "SELECT current_setting('server_version_num')::int / 10000"
        assert execute(scratch, major) == execute(database, major)
        assert execute(scratch, "SHOW listen_addresses") == [("",)]
        assert execute(scratch, "SELECT count(*) FROM pg_class WHERE oid >= 16384") == [(0,)]
    with pytest.raises(psycopg2.OperationalError):
        execute(scratch, "SELECT 1")


def test_icu_where_the_server_knows_it(postgres15, fresh_database, folder):
    options = "LOCALE_PROVIDER icu ICU_LOCALE 'sv-SE' LC_COLLATE 'C' LC_CTYPE 'C'"
    database = fresh_database(postgres15, options=options)
    with ENGINE.scratch(taken(ENGINE, database).manifest, folder) as scratch:
        ordered = "SELECT string_agg(x, '' ORDER BY x) FROM unnest(ARRAY['ö', 'z', 'a']) x"
        assert execute(scratch, ordered) == [("azö",)]


def test_icu_where_the_binaries_lack_it_can_not_be_proven(postgres15, fresh_database, folder):
    options = "LOCALE_PROVIDER icu ICU_LOCALE 'sv-SE' LC_COLLATE 'C' LC_CTYPE 'C'"
    manifest = taken(ENGINE, fresh_database(postgres15, options=options)).manifest
    with pytest.raises(CannotProve, match=r"lacks locale icu sv-SE\. Install what is missing here, or set verify_on"):
        ENGINE.scratch(changed(manifest, server_version="16.14"), folder).__enter__()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"server_version": "99.1"}, r"no postgres of PostgreSQL 99 here.*apt-get install postgresql-99.*verify_on"),
        ({"live_bytes": 10**18}, r"a proof needs 1300000000\.0 GB in .*Make room"),
        ({"settings": {"encoding": "UTF8", "collate": "tlh_QO.UTF-8"}}, r"lacks locale tlh_QO\.UTF-8.*Install"),
        ({"server": {"extensions": {"timescaledb": "2.1"}}}, r"lacks extension timescaledb.*Install"),
    ],
)
def test_what_is_missing_here_is_no_verdict_but_told_with_what_to_do(postgres16, fresh_database, folder, change, told):
    manifest = taken(ENGINE, fresh_database(postgres16)).manifest
    with pytest.raises(CannotProve, match=told):
        ENGINE.scratch(changed(manifest, **change), folder).__enter__()


def test_an_error_in_a_proof_leaves_no_server(postgres16, fresh_database, folder):
    manifest = taken(ENGINE, fresh_database(postgres16)).manifest
    with pytest.raises(ZeroDivisionError), ENGINE.scratch(manifest, folder) as scratch:  # noqa: PT012
        target = scratch
        raise ZeroDivisionError
    with pytest.raises(psycopg2.OperationalError):
        execute(target, "SELECT 1")
    shutil.rmtree(folder / "server")
