"""The main job on MariaDB: sealed, copied to two regions, proven, restored, exported; and what must fail, fails."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backproof import catalog
from backproof.engines.mysql import ENGINE, binaries
from backproof.errors import Busy, ConfigurationError, NotFound
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
from tests.support.mariadb_fixtures import PASSWORD, FreshSchema, execute
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY

SHOP = """
CREATE TABLE users (id int AUTO_INCREMENT PRIMARY KEY, name varchar(100) NOT NULL, KEY by_name (name));
CREATE TABLE orders (id bigint AUTO_INCREMENT PRIMARY KEY, user_id int, state enum('new', 'paid'), note text,
    placed_at timestamp NOT NULL DEFAULT current_timestamp(), FOREIGN KEY (user_id) REFERENCES users (id));
CREATE TRIGGER touch BEFORE UPDATE ON orders FOR EACH ROW SET NEW.note = 'touched; or not';
CREATE VIEW paid AS SELECT * FROM orders WHERE state = 'paid';
CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY DO DELETE FROM orders WHERE state = 'new' AND id < 0;
INSERT INTO users (name) SELECT concat('user ', seq, '\\t😀\\n);') FROM seq_1_to_500;
INSERT INTO orders (user_id, state, note) SELECT 1 + seq % 500, IF(seq % 2, 'paid', 'new'), repeat('x', seq % 50)
    FROM seq_1_to_20000;
"""


@pytest.fixture
def shop(mariadb: Target, fresh_schema: FreshSchema) -> Target:
    return fresh_schema(mariadb, SHOP)


@pytest.fixture
def fleet(shop: Target, tmp_path: Path) -> Fleet:
    return fleet_of(shop, tmp_path, engine="mariadb")


@pytest.fixture
def beside(shop: Target) -> Iterator[str]:
    name = f"{shop.database}_beside"
    yield name
    ENGINE.drop(shop.to(name))


def test_a_backup_is_sealed_copied_to_two_regions_and_proven_from_the_farthest(
    shop: Target, tmp_path: Path, regions: tuple[S3Server, S3Server]
) -> None:
    stores: dict[str, dict[str, str]] = {"local": {"type": "local", "path": str(tmp_path / "local")}}
    for region, server in zip(REGIONS, regions, strict=True):
        stores[region] = {
            "type": "s3",
            "bucket": BUCKET,
            "region": region,
            "prefix": tmp_path.name.replace("_", "-"),
            "endpoint_url": server.endpoint_url,
        }
    checks = [
        {"name": "paid", "sql": "SELECT count(*) FROM paid", "expect": "= 10000"},
        {
            "name": "recent",
            "sql": "SELECT count(*) FROM orders WHERE placed_at > :taken_at - INTERVAL 1 HOUR",
            "expect": "= 20000",
        },
    ]
    fleet = fleet_of(shop, tmp_path, stores, credentials=(ACCESS_KEY, SECRET_KEY), engine="mariadb", checks=checks)
    require(preflight(fleet, PLAN))
    sealed = seal(fleet, PLAN, "daily")
    for region in REGIONS:
        copy(fleet, PLAN, sealed.manifest.id, "local", region)
    proof = prove(fleet, PLAN, sealed.manifest.id, REGIONS[1])
    assert (proof.verdict, proof.differences) == ("passed", ()), proof.reason
    assert [check.passed for check in proof.checks] == [True, True]
    (backup,) = catalog.backups(fleet, PLAN)
    assert backup.proven_at is not None


def test_a_restore_makes_a_new_schema_equal_to_the_live_one(fleet: Fleet, shop: Target, beside: str) -> None:
    sealed = seal(fleet, PLAN, "manual")
    assert [finding.status for finding in readiness(fleet, PLAN)] == ["ok", "ok"]
    restored = restore(fleet, PLAN, "latest", beside)
    assert restored.rows == 20500
    assert [each for each in restored.left_out if "EVENT tidy" not in each] == []
    for table in sealed.manifest.tables:
        assert ENGINE.digest(shop.to(beside), table) == table
    assert execute(
        shop.to(beside), "SELECT STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s", (beside,)
    ) == [("DISABLED",)]


def test_a_restore_of_one_table_brings_its_triggers_and_says_what_it_leaves(
    fleet: Fleet, shop: Target, beside: str
) -> None:
    seal(fleet, PLAN, "manual")
    restored = restore(fleet, PLAN, "latest", beside, tables=["orders"])
    assert restored.tables == ("orders",)
    assert any("users" in sentence for sentence in restored.left_out)
    assert execute(shop.to(beside), "SHOW TABLES") == [("orders",)]
    assert [name for name, *_ in execute(shop.to(beside), "SHOW TRIGGERS")] == ["touch"]
    with pytest.raises(NotFound, match="oders"):
        restore(fleet, PLAN, "latest", f"{beside}_2", tables=["oders"])


@pytest.mark.parametrize("tables", [None, ["users"]])
def test_stock_gzip_and_mariadb_restore_an_export(
    fleet: Fleet, shop: Target, beside: str, tmp_path: Path, tables: list[str] | None
) -> None:
    sealed = seal(fleet, PLAN, "manual")
    file = tmp_path / "export.sql.gz"
    export(fleet, PLAN, "latest", file, tables=tables)
    execute(shop, f"CREATE DATABASE {beside}")
    defaults = tmp_path / "client.cnf"
    defaults.touch(mode=0o600)
    password = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    defaults.write_text(f'[client]\nhost=127.0.0.1\nport={shop.port}\nuser=root\npassword="{password}"\n')
    client = binaries.find("client", "mariadb")
    command = f"gzip -d < {file} | {client} --defaults-extra-file={defaults} --comments {beside}"
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True)
    for table in sealed.manifest.tables:
        if tables is None or table.name in tables:
            assert ENGINE.digest(shop.to(beside), table) == table
    found = {name for (name,) in execute(shop.to(beside), "SHOW TABLES")}
    assert found == ({"users", "orders", "paid"} if tables is None else {"users"})


def test_a_proof_on_the_plans_own_server_leaves_no_schema_and_no_rights_behind(shop: Target, tmp_path: Path) -> None:
    execute(shop, "DROP EVENT tidy")
    fleet = fleet_of(shop, tmp_path, engine="mariadb", verify_on="server")
    sealed = seal(fleet, PLAN, "manual")
    proof = prove(fleet, PLAN, sealed.manifest.id, "near")
    assert (proof.verdict, proof.proven_on) == ("passed", "server"), proof.reason
    assert execute(shop, "SHOW DATABASES LIKE 'backproof%%'") == []
    assert execute(shop, "SELECT Db FROM mysql.db WHERE Db LIKE 'backproof%%'") == []


def test_events_are_not_proven_where_they_would_run(shop: Target, tmp_path: Path) -> None:
    fleet = fleet_of(shop, tmp_path, engine="mariadb", verify_on="server")
    sealed = seal(fleet, PLAN, "manual")
    proof = prove(fleet, PLAN, sealed.manifest.id, "near")
    assert proof.verdict == "could-not-run"
    assert "verify_on: scratch" in proof.reason


def test_one_writer_a_plan(fleet: Fleet, shop: Target) -> None:
    with ENGINE.lock(shop, PLAN), pytest.raises(Busy):
        seal(fleet, PLAN, "manual")


@pytest.mark.parametrize("into", ["mysql", "sys", "x" * 65, " "])
def test_the_servers_own_schemas_and_impossible_names_are_refused(fleet: Fleet, into: str) -> None:
    seal(fleet, PLAN, "manual")
    with pytest.raises(Exception, match=r"server's own|can't be|no name") as raised:
        restore(fleet, PLAN, "latest", into)
    assert not isinstance(raised.value, AssertionError)


def test_the_live_schema_is_refused_as_a_place_to_restore(fleet: Fleet, shop: Target) -> None:
    seal(fleet, PLAN, "manual")
    with pytest.raises(ConfigurationError, match="live database"):
        restore(fleet, PLAN, "latest", shop.database)
