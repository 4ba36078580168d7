"""docs/disaster.md, command by command: four disasters on real servers, and the database is back after each."""

import base64
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pymysql
import pytest
import yaml
from click.testing import CliRunner, Result
from pydantic import SecretStr

from backproof.engines import Engine, find
from backproof.operations.copy import copy
from backproof.operations.prove import prove
from backproof.operations.seal import seal
from backproof.records import Target
from backproof.recovery.context import surroundings
from backproof.recovery.opening import begin, propose
from deployments.cli import main
from tests.support import kinds, mariadb_fixtures, postgres_fixtures
from tests.support.archives import escrow_pair
from tests.support.documents import check_keys, example
from tests.support.fleets import PLAN, built, described
from tests.support.kinds import Kind
from tests.support.pages_of_commands import blocks
from tests.support.postgres_fixtures import execute
from tests.support.round_trip import taken

PAGE = (Path(__file__).parents[2] / "docs" / "disaster.md").read_text()
SECTIONS = list(dict.fromkeys(block.heading for block in blocks(PAGE)))


@dataclass(frozen=True)
class Shop:
    """A shop on one kind of database, and a clerk who has rights there."""

    kind: Kind
    title: str
    """As the page calls the kind."""
    script: str
    password: str
    """Of the servers' administrator."""
    dismissed: str
    """The clerk."""
    sum_as_clerk: str

    @property
    def engine(self) -> Engine:
        return find(self.kind.engine)


POSTGRESQL = Shop(
    kind=kinds.POSTGRESQL,
    title="PostgreSQL",
    script="""
        CREATE TABLE orders (id int PRIMARY KEY, price int);
        INSERT INTO orders SELECT i, i FROM generate_series(1, 500) i;
        CREATE ROLE disaster_clerk; GRANT SELECT ON orders TO disaster_clerk""",
    password=postgres_fixtures.PASSWORD,
    dismissed="DROP ROLE disaster_clerk",
    sum_as_clerk="SELECT sum(price)::int FROM orders",
)
MARIADB = Shop(
    kind=kinds.MARIADB,
    title="MariaDB",
    script="""
        CREATE TABLE orders (id int PRIMARY KEY, price int); CREATE TABLE log (id int);
        INSERT INTO orders SELECT seq, seq FROM seq_1_to_500;
        CREATE USER disaster_clerk@'%' IDENTIFIED BY 'x'; GRANT SELECT ON orders TO disaster_clerk@'%';
        CREATE DEFINER = disaster_clerk@'%' TRIGGER noted AFTER DELETE ON orders FOR EACH ROW
            INSERT INTO log VALUES (OLD.id);
        CREATE DEFINER = disaster_clerk@'%' VIEW dear AS SELECT * FROM orders WHERE price > 400;
        CREATE DEFINER = disaster_clerk@'%' PROCEDURE tidy() DELETE FROM log;
        CREATE DEFINER = disaster_clerk@'%' EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 03:00:00'
            DO CALL tidy()""",
    password=mariadb_fixtures.PASSWORD,
    dismissed="DROP USER disaster_clerk@'%'",
    sum_as_clerk="SELECT CAST(sum(price) AS int) FROM orders",
)


@dataclass
class Machine:
    """A machine with Backproof, a fleet, and a server that the fleet names."""

    shop: Shop
    folder: Path
    database: Target
    description: dict[str, Any]
    backup: str
    environment: dict[str, str] = field(default_factory=dict)
    recovery: str = ""
    """The id of the last one that has begun."""

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.write()

    def write(self) -> None:
        (self.folder / "fleet.yaml").write_text(yaml.safe_dump(self.description))

    def run(self, line: str) -> Result:
        """One command of the page, as it stands but for its examples."""
        command, _, comment = line.partition("  #")
        words = shlex.split(command)
        assert words.pop(0) == "backproof", line
        now = datetime.now(UTC).isoformat(sep=" ")
        words = [now if before == "--before" else word for before, word in zip(["", *words], words, strict=False)]
        examples = {"recovery_2025-11-07_141500": self.recovery, "backup_2025-11-07_020000": self.backup}
        words = [examples.get(word, word) for word in words]
        environment = {"XDG_STATE_HOME": str(self.folder / "state"), **self.environment}
        done = CliRunner().invoke(main, words, env=environment, prog_name="backproof")
        wanted = (int(comment.split("status ")[1][0]),) if "status" in comment else (0, 3) if "ready" in words else (0,)
        assert done.exit_code in wanted, f"{line}\n{done.output}{done.exception!r}"
        assert self.shop.password not in done.output
        if begun := re.search(r"(recovery_\S+) has begun", done.output):
            self.recovery = begun[1]
        return done

    def follow(self, section: str) -> list[str]:
        """Every command of a section; what they said, one after the other."""
        lines = [line for block in blocks(PAGE) if block.heading == section for line in block.lines.splitlines()]
        assert all(line.startswith("$ ") for line in lines)
        return [self.run(line[2:]).output for line in lines]

    def content(self) -> dict[str, str]:
        """Digests of what the database holds."""
        found = taken(self.shop.engine, self.database).manifest
        return {**found.entries, **{table.name: table.sha256 for table in found.tables}}


@pytest.fixture(scope="module")
def first(postgres18: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The machine on which all is well, with a proven backup in two stores."""
    with _first(POSTGRESQL, postgres18, tmp_path_factory.mktemp("disaster")) as machine:
        yield machine


@contextmanager
def _first(shop: Shop, shared: Target, folder: Path) -> Iterator[Machine]:
    database = shared.to("disaster_shop")
    shop.kind.execute(shared, "CREATE DATABASE disaster_shop")
    try:
        shop.kind.execute(database, shop.script)
        description = described(database, folder, engine=shop.engine.name)
        (folder / "escrow.pem").write_bytes(escrow_pair()[0])
        description["keys"]["main"]["escrow_public_key"] = str(folder / "escrow.pem")
        fleet = built(description, folder)
        backup = seal(fleet, PLAN, "daily").manifest.id
        copy(fleet, PLAN, backup, "near", "far")
        assert prove(fleet, PLAN, backup, "far").verdict == "passed"
        yield Machine(shop, folder, database, description, backup)
    finally:
        for left in shop.kind.databases(shared):
            if left.startswith(("disaster_shop", "shop_rescued")):
                shop.engine.drop(shared.to(left))
        shop.kind.execute(shared, shop.dismissed)


@pytest.fixture
def machine(first: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The same, with somebody at it."""
    monkeypatch.chdir(first.folder)
    return first


def ticked(shown: str) -> list[str]:
    return re.findall(r"^x +(\S+) ", shown, re.MULTILINE)


def test_the_page_has_a_section_for_each_disaster() -> None:
    assert SECTIONS == [
        "Today, while all is well",
        "The data is wrong",
        "Something was deleted",
        "The server is gone",
        "Ransomware",
        "If it stops in the middle",
    ]


def test_today_while_all_is_well(machine: Machine) -> None:
    ready, shown, _, _ = machine.follow("Today, while all is well")
    assert "could be recovered now" in ready
    assert "disaster_shop" in shown
    assert (machine.folder / "shop-kit" / "README.md").exists()


def test_the_data_is_wrong(machine: Machine) -> None:
    whole = machine.content()
    execute(machine.database, "UPDATE orders SET price = 0")
    said = machine.follow("The data is wrong")
    assert machine.content() == whole
    assert ticked(said[5]) == ["assess", "stop"]
    answer = machine.run(f"backproof recovery tick {machine.recovery} cause --by grace --json")
    check_keys(json.loads(answer.stdout), example("recovery tick"))
    shown = json.loads(machine.run(f"backproof recovery show {machine.recovery} --json").stdout)
    assert shown["human_steps"] == json.loads(answer.stdout)["human_steps"]
    assert "2025-11-07 14:07" in said[5]
    left = execute(machine.database, "SELECT datname::text FROM pg_database WHERE datname ~ '^disaster_shop_'")
    assert left == [], "what was set aside is gone"


def test_something_was_deleted(machine: Machine) -> None:
    execute(machine.database, "DROP TABLE orders")
    lost = machine.content()
    machine.follow("Something was deleted")
    assert execute(machine.database.to("shop_rescued"), "SELECT sum(price) FROM orders") == [(125250,)]
    assert machine.content() == lost, "it was taken back in the end"


def test_it_stops_in_the_middle(machine: Machine) -> None:
    fleet = built(machine.description, machine.folder)
    around = surroundings(machine.folder / "state" / "backproof")
    begun = begin(fleet, propose(fleet, PLAN, datetime.now(UTC)), around, reason="a test that dies", by="ada")
    machine.recovery = begun.journal.recovery
    with machine.shop.engine.recovery_lock(machine.database, PLAN):
        tick = machine.run("backproof recovery note recovery_2025-11-07_141500 'a cause'  # status 1: it is under way")
        assert "is being carried out" in tick.output
    listed, _ = machine.follow("If it stops in the middle")
    assert re.search(rf"{machine.recovery} .*under way", listed)
    assert execute(machine.database, "SELECT sum(price) FROM orders") == [(125250,)]


@pytest.mark.parametrize("shop", [POSTGRESQL, MARIADB], ids=["postgresql", "mariadb"])
def test_the_server_is_gone_and_then_somebody_breaks_in(
    shop: Shop, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shop is POSTGRESQL:
        _is_gone_and_broken_into(request.getfixturevalue("first"), tmp_path, monkeypatch)
        return
    (tmp_path / "first").mkdir()
    (tmp_path / "new").mkdir()
    with _first(shop, request.getfixturevalue(shop.kind.server), tmp_path / "first") as first:
        _is_gone_and_broken_into(first, tmp_path / "new", monkeypatch)


def _is_gone_and_broken_into(first: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, whole = first.shop, first.content()
    monkeypatch.chdir(folder)
    backups = {path: path.read_bytes() for path in Path(first.description["stores"]["far"]["path"]).rglob("*.enc")}
    stores = {"far": {"type": "local", "path": str(folder / "what is left")}}
    shutil.copytree(first.description["stores"]["far"]["path"], folder / "what is left")
    for name, half in zip(("escrow.pem", "escrow-private.pem"), escrow_pair(), strict=True):
        (folder / name).write_bytes(half)
    with shop.kind.private() as fresh:
        database = fresh.to("disaster_shop")
        description = described(database, folder, stores, engine=shop.engine.name)
        [words] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
        public = base64.b64encode(built(first.description, folder).signer.public_key).decode()
        description |= yaml.safe_load(words.replace("the earlier public key", public))
        new = Machine(shop, folder, database, description, first.backup)
        lines = [block.lines.splitlines() for block in blocks(PAGE) if block.heading == "The server is gone"]
        new.run(lines[0][0].removeprefix("$ "))
        new.environment = dict(line.split("=", 1) for line in Path("new.env").read_text().splitlines())
        assert "--create-missing-roles makes them" in new.run("backproof recover shop --show").output
        said = [new.run(line.removeprefix("$ ")).output for line in lines[1]]
        assert "disaster_clerk" in said[1]
        assert "Made" in said[2], "it says who has no password yet"
        assert ticked(said[-1]) == ["provision", "passwords", "dns"]
        assert new.content() == whole
        _can_log_in_once_the_page_is_followed(shop, database)

        shop.engine.drop(database)
        said = new.follow("Ransomware")
        assert ticked(said[-1]) == ["isolate", "keys"]
        assert new.content() == whole
    assert backups == {path: path.read_bytes() for path in backups}


def _can_log_in_once_the_page_is_followed(shop: Shop, database: Target) -> None:
    clerk = database.model_copy(update={"user": "disaster_clerk", "password": SecretStr("a new one")})
    with pytest.raises((psycopg2.OperationalError, pymysql.OperationalError)):
        shop.kind.execute(clerk, shop.sum_as_clerk)
    [statements] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    [statement] = [line for line in statements.splitlines() if line.endswith(shop.title)]
    words = statement.partition(";")[0].replace("clerk", "disaster_clerk").replace("…", "a new one")
    shop.kind.execute(database, words)
    assert shop.kind.execute(clerk, shop.sum_as_clerk) == [(125250,)]
