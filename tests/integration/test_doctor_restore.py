"""``doctor --restore`` compares the newest backup with the server it would go to: what decides is told before."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backproof.errors import Permanent
from backproof.operations.restore import restore
from backproof.operations.seal import seal
from backproof.records import Target
from tests.support import mariadb_fixtures, postgres_fixtures
from tests.support.doctor import Description, findings
from tests.support.fleets import PLAN, built, described
from tests.support.mariadb_fixtures import FreshSchema
from tests.support.postgres_fixtures import FreshDatabase

SHOP = """
CREATE TABLE Orders (id int PRIMARY KEY, note longtext, day date DEFAULT '0000-00-00');
INSERT INTO Orders VALUES (1, repeat('x', 3000000), '0000-00-00');
CREATE FUNCTION doubled(a int) RETURNS int NOT DETERMINISTIC MODIFIES SQL DATA RETURN a * 2;
CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY DO DELETE FROM Orders WHERE id < 0;
"""

ALIKE = {"event_scheduler": "ON", "max_allowed_packet": "16777216"}

OTHERWISE = {
    "server_id": "9",
    "log_bin": "binlog",
    "log_bin_trust_function_creators": "0",
    "max_allowed_packet": "1048576",
    "local_infile": "0",
    "lower_case_table_names": "1",
    "innodb_page_size": "8192",
    "event_scheduler": "OFF",
    "sql_mode": "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE",
}


@pytest.fixture(scope="module")
def alike() -> Iterator[Target]:
    with mariadb_fixtures.server(settings=ALIKE) as target:
        yield target


@pytest.fixture(scope="module")
def otherwise() -> Iterator[Target]:
    with mariadb_fixtures.server(settings=OTHERWISE) as target:
        yield target


@pytest.fixture
def shop(alike: Target, fresh_schema: FreshSchema, tmp_path: Path) -> Description:
    """A plan with a backup."""
    description = described(fresh_schema(alike, SHOP), tmp_path, engine="mysql")
    seal(built(description, tmp_path), PLAN, "manual")
    return description


def moved(description: Description, there: Target) -> Description:
    """The plan's server is another one now, of the same password."""
    database = {**description["databases"]["shop-db"], "host": there.host, "port": there.port}
    return {**description, "databases": {"shop-db": database}}


def told(description: Description, folder: Path) -> dict[str, str]:
    found = findings(description, folder, "--restore")
    assert found[0].check == "archive"
    return {each.found.removeprefix("the server lacks "): each.status for each in found[1:]}


def test_a_mariadb_server_of_the_same_settings_lacks_nothing(shop: Description, tmp_path: Path) -> None:
    [(found, status)] = told(shop, tmp_path).items()
    assert (status, found.startswith("has all that backup_")) == ("ok", True)


def test_every_setting_of_a_mariadb_server_that_decides_is_named(
    shop: Description, otherwise: Target, tmp_path: Path
) -> None:
    there = moved(shop, otherwise)
    found = told(there, tmp_path)
    assert {name.split(" of ")[0]: status for name, status in found.items()} == {
        "lower_case_table_names=0": "failed",
        "max_allowed_packet": "failed",
        "log_bin_trust_function_creators": "failed",
        "innodb_page_size=16384": "warning",
        "event_scheduler=ON": "warning",
        next(name for name in found if name.startswith("sql_mode=")): "warning",
    }
    with pytest.raises(Permanent, match="max_allowed_packet") as refused:
        restore(built(there, tmp_path), PLAN, "latest", "elsewhere")
    assert "sql_mode" not in str(refused.value)
    assert ("elsewhere",) not in mariadb_fixtures.execute(otherwise, "SHOW DATABASES")


def test_a_strict_sql_mode_alone_is_in_no_restores_way(alike: Target, shop: Description, tmp_path: Path) -> None:
    before = mariadb_fixtures.execute(alike, "SELECT @@GLOBAL.sql_mode")[0]
    mariadb_fixtures.execute(alike, "SET GLOBAL sql_mode = %s", (OTHERWISE["sql_mode"],))
    try:
        found = told(shop, tmp_path)
        restored = restore(built(shop, tmp_path), PLAN, "latest", "elsewhere")
    finally:
        mariadb_fixtures.execute(alike, "SET GLOBAL sql_mode = %s", before)
        day = mariadb_fixtures.execute(alike, "SELECT CAST(day AS char) FROM elsewhere.Orders")
        mariadb_fixtures.execute(alike, "DROP DATABASE IF EXISTS elsewhere")
    assert sorted(found.values()) == ["ok", "warning"]
    assert restored.rows == 1
    assert day == [("0000-00-00",)]


def test_what_a_postgresql_server_lacks_is_named(
    postgres18: Target, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    live = fresh_database(postgres18, "CREATE TABLE orders (id int)")
    postgres_fixtures.execute(live, "CREATE ROLE clerk_of_the_shop; GRANT SELECT ON orders TO clerk_of_the_shop")
    description = described(live, tmp_path)
    try:
        seal(built(description, tmp_path), PLAN, "manual")
        assert list(told(description, tmp_path).values()) == ["ok"]
    finally:
        postgres_fixtures.execute(live, "DROP OWNED BY clerk_of_the_shop; DROP ROLE clerk_of_the_shop")
    assert told(description, tmp_path) == {"clerk_of_the_shop": "failed"}
