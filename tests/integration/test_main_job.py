"""The main job on real servers, without Prefect: seal, copy, prove, restore, export."""

import gzip
import subprocess
from pathlib import Path

import pytest

from backproof import catalog
from backproof.engines.postgresql import binaries
from backproof.errors import AlreadyExists, ConfigurationError, Damaged, NotFound
from backproof.fleet import Fleet
from backproof.operations.copy import copy
from backproof.operations.export import export
from backproof.operations.preflight import preflight, require
from backproof.operations.prove import prove
from backproof.operations.restore import readiness, restore
from backproof.operations.seal import seal
from backproof.records import Target
from deployments.servers.seaweedfs import S3Server
from tests.support.fleets import PLAN, fleet_of
from tests.support.postgres_fixtures import FreshDatabase, execute
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY

SHOP = """
CREATE TYPE state AS ENUM ('new', 'paid');
CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id integer REFERENCES users, state state, note text);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'touched'; RETURN NEW; END $$;
CREATE TRIGGER touch_orders BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
CREATE INDEX orders_by_user ON orders (user_id);
CREATE VIEW paid AS SELECT * FROM orders WHERE state = 'paid';
INSERT INTO users (name) SELECT 'user ' || n || E'\\t😀\\n\\\\.' FROM generate_series(1, 500) n;
INSERT INTO orders (user_id, state, note)
    SELECT 1 + n % 500, CASE WHEN n % 2 = 0 THEN 'new' ELSE 'paid' END::state, NULLIF(repeat('x', n % 5), '')
    FROM generate_series(1, 20000) n;
"""


@pytest.fixture
def shop(postgres: Target, fresh_database: FreshDatabase) -> Target:
    return fresh_database(postgres, SHOP)


@pytest.fixture
def fleet(shop: Target, tmp_path: Path) -> Fleet:
    return fleet_of(shop, tmp_path)


def test_a_backup_is_sealed_copied_to_two_regions_and_proven_from_the_farthest(
    shop: Target, tmp_path: Path, regions: tuple[S3Server, S3Server]
) -> None:
    stores = {"local": {"type": "local", "path": str(tmp_path / "local")}}
    for region, server in zip(REGIONS, regions, strict=True):
        stores[region] = {
            "type": "s3",
            "bucket": BUCKET,
            "region": region,
            "prefix": tmp_path.name.replace("_", "-"),
            "endpoint_url": server.endpoint_url,
        }
    fleet = fleet_of(shop, tmp_path, stores, credentials=(ACCESS_KEY, SECRET_KEY))
    require(preflight(fleet, PLAN))
    sealed = seal(fleet, PLAN, "daily")
    assert sealed.store == "local"
    for region in REGIONS:
        copied = copy(fleet, PLAN, sealed.manifest.id, "local", region)
        assert copied.stored_bytes == sealed.manifest.stored_bytes
    proof = prove(fleet, PLAN, sealed.manifest.id, REGIONS[1])
    assert (proof.verdict, proof.differences, proof.store) == ("passed", (), REGIONS[1])
    (backup,) = catalog.backups(fleet, PLAN)
    assert backup.proven_at is not None
    assert [(entry.store, entry.manifest, len(entry.proofs)) for entry in backup.copies] == [
        (store, True, 1) for store in stores
    ]


def test_a_second_copy_finds_the_first_and_changes_nothing(fleet: Fleet) -> None:
    sealed = seal(fleet, PLAN, "manual")
    first = copy(fleet, PLAN, sealed.manifest.id, "near", "far")
    again = copy(fleet, PLAN, sealed.manifest.id, "near", "far")
    assert (first.existed, again.existed) == (False, True)


def test_a_restore_makes_a_new_database_equal_to_the_live_one(fleet: Fleet, shop: Target) -> None:
    seal(fleet, PLAN, "manual")
    into = f"{shop.database}_restored"
    try:
        restored = restore(fleet, PLAN, "latest", into)
        assert restored.rows == 20_500
        query = "SELECT md5(string_agg(o::text, ',' ORDER BY id)) FROM orders o"
        assert execute(shop.to(into), query) == execute(shop, query)
        with pytest.raises(AlreadyExists):
            restore(fleet, PLAN, "latest", into)
    finally:
        execute(shop.to("postgres"), f'DROP DATABASE IF EXISTS "{into}" WITH (FORCE)')


def test_a_restore_of_one_table_brings_its_keys_and_nothing_else(fleet: Fleet, shop: Target) -> None:
    seal(fleet, PLAN, "manual")
    into = f"{shop.database}_table"
    try:
        restored = restore(fleet, PLAN, "latest", into, tables=["orders"])
        assert (restored.tables, restored.rows) == (("public.orders",), 20_000)
        assert any("users" in sentence for sentence in restored.left_out), (
            "the foreign key to users is told as left out"
        )
        tables = execute(
            shop.to(into),
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
        )
        assert tables == [("orders",)]
        keys = execute(shop.to(into), "SELECT count(*) FROM pg_index WHERE indrelid = 'orders'::regclass")
        assert keys == [(2,)]
    finally:
        execute(shop.to("postgres"), f'DROP DATABASE IF EXISTS "{into}" WITH (FORCE)')


def test_the_live_database_is_refused_as_a_place_to_restore(fleet: Fleet, shop: Target) -> None:
    seal(fleet, PLAN, "manual")
    with pytest.raises(ConfigurationError, match="live database"):
        restore(fleet, PLAN, "latest", shop.database)


@pytest.mark.parametrize("into", ["postgres", "template1", "x" * 64, " "])
def test_the_servers_own_databases_and_impossible_names_are_refused(fleet: Fleet, into: str) -> None:
    seal(fleet, PLAN, "manual")
    with pytest.raises((AlreadyExists, ConfigurationError)) as raised:
        restore(fleet, PLAN, "latest", into, tables=["users"])
    assert raised.value.remedy


@pytest.mark.parametrize("fault", ["changed", "cut", "gone"])
def test_a_copy_that_is_not_good_leads_to_the_next_one(shop: Target, tmp_path: Path, fault: str) -> None:
    stores = {name: {"type": "local", "path": str(tmp_path / name)} for name in ("near", "far")}
    fleet = fleet_of(shop, tmp_path, stores)
    backup = seal(fleet, PLAN, "manual").manifest.id
    copy(fleet, PLAN, backup, "near", "far")
    (archive,) = (tmp_path / "near").rglob("*.sql.gz*")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.unlink()
    if fault != "gone":
        archive.write_bytes(content if fault == "changed" else content[:-1])
    name = f"{shop.database}_again"
    try:
        restored = restore(fleet, PLAN, backup, name)
        assert restored.store == "far"
        exported = export(fleet, PLAN, backup, tmp_path / "export.sql.gz")
        assert exported.store == "far"
        if fault != "gone":  # a store that lost the archive comes last anyway
            assert "near" in restored.passed_over[0]
            assert "near" in exported.passed_over[0]
            assert [finding.status for finding in readiness(fleet, PLAN)][:2] == ["ok", "warning"] or fault == "changed"
        with pytest.raises((Damaged, NotFound)):
            restore(fleet, PLAN, backup, f"{name}_not", store="near")
        with pytest.raises((Damaged, NotFound)):
            export(fleet, PLAN, backup, tmp_path / "not.sql.gz", store="near")
        assert not (tmp_path / "not.sql.gz").exists()
    finally:
        fleet.engine(PLAN).drop(shop.to(name))


@pytest.mark.parametrize("tables", [None, ["orders", "users"]])
def test_stock_gzip_and_psql_restore_an_export(
    fleet: Fleet, shop: Target, fresh_database: FreshDatabase, tmp_path: Path, tables: list[str] | None
) -> None:
    seal(fleet, PLAN, "manual")
    to = tmp_path / "plain.sql.gz"
    export(fleet, PLAN, "latest", to, tables=tables)
    assert to.stat().st_mode & 0o777 == 0o600
    with pytest.raises(AlreadyExists):
        export(fleet, PLAN, "latest", to)
    other = fresh_database(shop.to("postgres"))
    [[version]] = execute(shop, "SELECT current_setting('server_version_num')::int / 10000")
    psql = binaries.find("psql", version)
    assert shop.password is not None
    passwords = tmp_path / "pgpass"
    passwords.write_text("*:*:*:*:" + shop.password.get_secret_value().replace("\\", "\\\\").replace(":", "\\:"))
    passwords.chmod(0o600)
    subprocess.run(
        [
            psql,
            "-qX",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            other.host,
            "-p",
            str(other.port),
            "-U",
            other.user,
            other.database,
        ],
        input=gzip.decompress(to.read_bytes()),
        env={
            "PGPASSFILE": str(passwords),
            "PGHOST": other.host,
            "PGPORT": str(other.port),
            "PGUSER": other.user,
            "PGDATABASE": other.database,
        },
        check=True,
        stdout=subprocess.DEVNULL,
    )
    query = "SELECT (SELECT count(*) FROM orders), (SELECT md5(string_agg(name, '' ORDER BY id)) FROM users)"
    assert execute(other, query) == execute(shop, query)


def test_the_plans_checks_run_on_the_restored_database(shop: Target, tmp_path: Path) -> None:
    checks = [
        {"name": "orders", "sql": "SELECT count(*) FROM orders", "expect": "= 20000"},
        {"name": "fresh", "sql": "SELECT :taken_at > now() - interval '1 hour'", "expect": "= 'True'"},
        {"name": "writes", "sql": "INSERT INTO users (name) VALUES ('x') RETURNING 1", "expect": "= 1"},
    ]
    fleet = fleet_of(shop, tmp_path, checks=checks)
    seal(fleet, PLAN, "manual")
    proof = prove(fleet, PLAN, "latest", "near")
    assert [check.passed for check in proof.checks] == [True, True, False]
    assert proof.verdict == "failed"
    assert "read-only" in proof.checks[2].found


def test_a_proof_on_the_plans_own_server_leaves_no_database_behind(shop: Target, tmp_path: Path) -> None:
    fleet = fleet_of(shop, tmp_path, verify_on="server")
    seal(fleet, PLAN, "manual")
    proof = prove(fleet, PLAN, "latest", "near")
    assert (proof.verdict, proof.proven_on) == ("passed", "server"), proof.reason
    assert execute(shop, "SELECT count(*) FROM pg_database WHERE datname LIKE 'backproof_verify%'") == [(0,)]


def test_what_is_not_there_is_told_with_what_is(fleet: Fleet) -> None:
    with pytest.raises(NotFound, match="no backup of plan shop"):
        catalog.manifest(fleet, PLAN)
    seal(fleet, PLAN, "manual")
    with pytest.raises(NotFound, match="backup_1999"):
        catalog.manifest(fleet, PLAN, "backup_1999-01-01_000000")


def test_a_public_schema_that_was_dropped_does_not_come_back(
    postgres: Target, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    schema = "DROP SCHEMA public; CREATE SCHEMA s; CREATE TABLE s.t (a int);"
    fleet = fleet_of(fresh_database(postgres, schema), tmp_path)
    seal(fleet, PLAN, "manual")
    proof = prove(fleet, PLAN, "latest", "near")
    assert proof.verdict == "passed", proof.reason
    into = "without_public"
    try:
        restore(fleet, PLAN, "latest", into)
        assert execute(postgres.to(into), "SELECT 1 FROM pg_namespace WHERE nspname = 'public'") == []
    finally:
        execute(postgres, f"DROP DATABASE IF EXISTS {into}")
