"""What stands in a backup's way is told apart, on both engines, in words and to programs; a backup ends on the same."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backproof.engines.mysql import binaries as mysql_binaries
from backproof.engines.mysql import findings as mysql_findings
from backproof.engines.postgresql import binaries as postgresql_binaries
from backproof.engines.postgresql import findings as postgresql_findings
from backproof.errors import Permanent, Transient
from backproof.operations import preflight as preflights
from backproof.operations.seal import seal
from backproof.records import Target
from tests.support import mariadb_fixtures, postgres_fixtures
from tests.support.doctor import Description, examine, refusal
from tests.support.fleets import PLAN, built, described
from tests.support.mariadb_fixtures import FreshAccount, FreshSchema
from tests.support.postgres_fixtures import FreshDatabase


@dataclass(frozen=True)
class World:
    """One engine, a database of it, and a fleet of that database."""

    engine: str
    target: Target
    folder: Path
    poor: tuple[str, str]
    """An account that can connect and may read nothing: user and password."""

    def described(self, stores: dict[str, Any] | None = None, **database: Any) -> Description:
        description = described(self.target, self.folder, stores, engine=self.engine)
        description["databases"]["shop-db"].update(database)
        return description

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Somebody else's, and it does not end."""
        connect: Any = postgres_fixtures.connection if self.engine == "postgresql" else mariadb_fixtures.connection
        with closing(connect(self.target)) as other, other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT count(*) FROM orders")
            yield


SHOP = "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1), (2);"


@pytest.fixture
def postgresql_world(postgres18: Target, fresh_database: FreshDatabase, tmp_path: Path) -> Iterator[World]:
    target, poor = fresh_database(postgres18, SHOP), f"poor_{os.getpid()}"
    postgres_fixtures.execute(target, f"CREATE ROLE {poor} LOGIN PASSWORD 'canary of the poor'")
    yield World("postgresql", target, tmp_path, (poor, "canary of the poor"))
    postgres_fixtures.execute(target, f"DROP ROLE {poor}")


@pytest.fixture
def mysql_world(mariadb_plain: Target, fresh_schema: FreshSchema, fresh_account: FreshAccount, tmp_path: Path) -> World:
    target = fresh_schema(mariadb_plain, SHOP)
    poor = fresh_account(target, f"SHOW VIEW ON `{target.database}`.*", password="canary of the poor")
    return World("mysql", target, tmp_path, (poor.user, "canary of the poor"))


@pytest.fixture(params=["postgresql", "mysql"])
def world(request: pytest.FixtureRequest) -> World:
    made: World = request.getfixturevalue(f"{request.param}_world")
    return made


def failed(description: Description, folder: Path) -> dict[str, str]:
    """What failed, and how; a backup says the same, and whether another try may help."""
    findings = [each for each in examine(description, folder).values() if each.status == "failed"]
    error = refusal(description, folder)
    assert error is not None
    assert isinstance(error, Transient if all(each.passing for each in findings) else Permanent)
    assert all(each.check in error.fact for each in findings)
    assert error.remedy
    return {each.check: f"{each.found}. {each.remedy}" for each in findings}


def test_nothing_stands_in_the_way_of_a_healthy_one(world: World) -> None:
    found = examine(world.described(), world.folder)
    assert {each.status for each in found.values()} <= {"ok", "warning"}
    assert (found["database"].live_bytes or 0) > 0
    assert refusal(world.described(), world.folder) is None


def test_a_server_that_can_not_be_reached_may_come_back(world: World) -> None:
    told = failed(world.described(port=1), world.folder)
    assert told.keys() == {"database"}
    assert "refused" in told["database"]
    assert "Check that the server runs" in told["database"]
    assert isinstance(refusal(world.described(port=1), world.folder), Transient)


def test_a_wrong_password_is_for_a_person(world: World) -> None:
    told = failed(world.described(password="wrong canary"), world.folder)
    assert told.keys() == {"database"}
    assert "Check user, password" in told["database"]
    assert isinstance(refusal(world.described(password="wrong canary"), world.folder), Permanent)


def test_a_database_that_is_not_there_is_named(world: World) -> None:
    told = failed(world.described(name="no_such_shop"), world.folder)
    assert told.keys() == {"database"}
    assert "no_such_shop" in told["database"]
    assert "Check the name of the database" in told["database"]


def test_a_missing_right_is_named_with_its_grant(world: World) -> None:
    user, password = world.poor
    told = failed(world.described(user=user, password=password), world.folder)
    assert "tables" in told
    assert "no SELECT" in told["tables"]
    assert "GRANT " in told["tables"]
    assert "database" not in told


@pytest.fixture
def no_tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without any program of either, but for what a fleet's tool folders name."""
    monkeypatch.setattr(postgresql_binaries, "DEBIAN", tmp_path / "no-debian")
    monkeypatch.setattr(postgresql_binaries, "_WHEEL", "no_such_wheel")
    monkeypatch.setattr(mysql_binaries, "DIRECTORIES", ())
    monkeypatch.setenv("PATH", str(tmp_path / "no-path"))


def tool(folder: Path, name: str, says: str) -> Path:
    """A program that says which version it is."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.mark.usefixtures("no_tools")
def test_a_missing_tool_is_told_with_the_package_that_has_it(world: World) -> None:
    told = failed(world.described(), world.folder)
    [(check, text)] = told.items()
    assert check in ("pg_dump", "dump tool")
    assert "found: none" in text
    assert "apt-get install" in text


@pytest.mark.usefixtures("no_tools")
def test_a_postgresql_tool_older_than_the_server_is_refused_as_pg_dump_itself_would(postgresql_world: World) -> None:
    folder = tool(postgresql_world.folder / "tools", "pg_dump", "pg_dump (PostgreSQL) 15.20")
    told = failed({**postgresql_world.described(), "tool_folders": [str(folder)]}, postgresql_world.folder)
    assert told.keys() == {"pg_dump"}
    assert "no pg_dump of PostgreSQL 18 here; found: 15.20" in told["pg_dump"]
    assert "apt-get install postgresql-client-18" in told["pg_dump"]


@pytest.mark.usefixtures("no_tools")
def test_a_mariadb_tool_older_than_the_server_is_a_warning(mysql_world: World) -> None:
    says = "mariadb-dump  Ver 10.19 Distrib 10.6.25-MariaDB, for Linux"
    folder = tool(mysql_world.folder / "tools", "mariadb-dump", says)
    description = {**mysql_world.described(), "tool_folders": [str(folder)]}
    finding = examine(description, mysql_world.folder)["dump tool"]
    assert (finding.status, "10.6.25" in finding.found) == ("warning", True)
    assert "older than the server" in finding.found
    assert refusal(description, mysql_world.folder) is None


@pytest.mark.usefixtures("no_tools")
@pytest.mark.parametrize(
    ("engine", "name", "says", "found"),
    [
        ("postgresql", "pg_dump", "pg_dump (PostgreSQL) 18.4 (Debian)", ("18.4", "before 18.7", "CVE-2026-18408")),
        (
            "mysql",
            "mariadb-dump",
            "mariadb-dump  Ver 10.19 Distrib 10.11.6-MariaDB, for debian-linux-gnu",
            ("10.11.6", "before 10.11.8", "CVE-2024-21096"),
        ),
    ],
)
def test_a_tool_with_a_known_security_hole_is_named_with_the_hole_and_the_version_that_has_none(
    request: pytest.FixtureRequest, engine: str, name: str, says: str, found: tuple[str, ...]
) -> None:
    world: World = request.getfixturevalue(f"{engine}_world")
    folder = tool(world.folder / "tools", name, says)
    description = {**world.described(), "tool_folders": [str(folder)]}
    [finding] = [
        each for check, each in examine(description, world.folder).items() if check in ("pg_dump", "dump tool")
    ]
    assert finding.status == "warning"
    assert all(word in finding.found for word in found)
    assert "Update" in finding.remedy
    assert "\n" not in finding.line()
    assert refusal(description, world.folder) is None


def test_a_disk_too_small_for_another_backup_is_told_before_it_is_dumped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    description = world.described()
    seal(built(description, world.folder), PLAN, "manual")
    monkeypatch.setattr(preflights, "STORE_SHARE", 1e12)  # as if the last had been as large
    told = failed(description, world.folder)
    assert told.keys() == {"store near", "store far"}
    assert re.search(r"\d [GT]B free, a backup needs [\d.]+ TB", told["store near"])
    assert "Make room" in told["store near"]
    monkeypatch.undo()
    monkeypatch.setattr(preflights, "_SCRATCH_SHARE", 1e12)
    finding = examine(description, world.folder)["scratch folder"]
    assert (finding.status, "a proof needs" in finding.found) == ("warning", True)
    assert refusal(description, world.folder) is None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"old": ["A" * 43 + "="]}, "no current key"),
        ({"aes256": "A" * 43 + "=", "escrow_public_key": "nowhere/escrow.pem"}, "nowhere/escrow.pem"),
    ],
)
def test_a_missing_key_is_named(world: World, keys: dict[str, Any], said: str) -> None:
    description = world.described()
    description["keys"]["main"] = keys
    told = failed(description, world.folder)
    assert told.keys() == {"key"}
    assert said in told["key"]


def test_a_long_transaction_is_a_warning_that_names_its_owner(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_findings, "LONG_TRANSACTION", "0 seconds")
    monkeypatch.setattr(mysql_findings, "LONG_TRANSACTION_HOURS", -1)
    with world.transaction():
        finding = examine(world.described(), world.folder)["transactions"]
        assert finding.status == "warning"
        assert f" of {world.target.user}" in finding.found
        assert refusal(world.described(), world.folder) is None


def test_who_may_not_see_the_transactions_of_others_is_told_so(world: World) -> None:
    user, password = world.poor
    finding = examine(world.described(user=user, password=password), world.folder)["transactions"]
    assert finding.status == "ok"
    assert "can't be seen without" in finding.found
