"""A fleet with a past: an earlier backup that is proven, and a live database to seal again while things break."""

import copy
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backproof import catalog
from backproof.engines import Progress
from backproof.fleet import Fleet
from backproof.operations.prove import prove
from backproof.operations.seal import Sealed, seal
from backproof.records import Target
from tests.support.aftermath import Holdings, expect_no_sessions, expect_whole, programs, unfinished_files
from tests.support.fleets import PLAN, built, described
from tests.support.postgres_fixtures import FreshDatabase, databases

MIB = 1024 * 1024

SHOP = """
CREATE TABLE orders (id serial PRIMARY KEY, note text);
INSERT INTO orders (note) SELECT 'note ' || n FROM generate_series(1, 500) n;
CREATE TABLE big AS SELECT i, repeat('x', 1000) AS t FROM generate_series(1, 20000) i;
CREATE INDEX ON big (i);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER touch_orders BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
"""
"""``big`` is more than fits into pipes and buffers: its pg_dump still runs when the first piece comes."""

INCOMPRESSIBLE = """
CREATE TABLE files (id serial PRIMARY KEY, blob bytea);
INSERT INTO files (blob) SELECT decode((
    SELECT string_agg(md5(n::text || i::text), '') FROM generate_series(1, 256) i), 'hex')
    FROM generate_series(1, 2500) n;
"""
"""Ten megabytes: more than a small disk holds, and two parts of an upload."""


@dataclass(frozen=True)
class Past:
    """A description of a fleet whose store ``near`` holds a proven backup."""

    description: dict[str, Any]
    near: Path
    backup: str


@dataclass
class Shop:
    """A plan with a past, its live database, and what must hold whatever happens."""

    target: Target
    description: dict[str, Any]
    folder: Path
    earlier: str

    def __post_init__(self) -> None:
        self.fleet: Fleet = built(self.description, self.folder)
        self.before = Holdings.of(self.fleet, PLAN, ["near"])

    @property
    def near(self) -> Path:
        return self.folder / "near"

    def seal(self, progress: Progress = lambda _: None, **more: Any) -> Sealed:
        return seal(self.fleet, PLAN, "manual", progress=progress, **more)

    def changed(self, **database: Any) -> "Shop":
        """The same with another host, password and so on."""
        description = copy.deepcopy(self.description)
        description["databases"]["shop-db"].update(database)
        return Shop(self.target, description, self.folder, self.earlier)

    def expect_nothing_happened(self) -> None:
        """No archive, no manifest, no child, no session; the earlier backup is there, and proven still."""
        self.before.expect_nothing_new(self.fleet, PLAN)
        self.expect_nothing_left()

    def expect_nothing_left(self) -> None:
        self.before.expect_untouched(self.fleet, PLAN)
        assert self.is_proven()
        assert programs("pg_dump") == []
        assert unfinished_files(self.near) == []
        expect_no_sessions(self.target)

    def expect_a_second_run_succeeds(self) -> Sealed:
        sealed = self.seal()
        assert expect_whole(self.fleet, PLAN) == 2
        assert sealed.manifest.id in [backup.id for backup in catalog.backups(self.fleet, PLAN)]
        assert self.is_proven()
        return sealed

    def is_proven(self) -> bool:
        (backup,) = (each for each in catalog.listing(self.fleet, PLAN).backups if each.id == self.earlier)
        return backup.proven_at is not None


class Once:
    """A progress callback that does something once, when so many bytes have passed; the test asks whether it did."""

    def __init__(self, act: Any, after: int = 0) -> None:
        self._act = act
        self._after = after
        self._passed = 0
        self.fired = False

    def __call__(self, size: int) -> None:
        self._passed += size
        if self._passed > self._after and not self.fired:
            self.fired = True
            self._act()


@pytest.fixture(scope="session")
def past(postgres18: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    """Made once: a backup and its proof."""
    folder = tmp_path_factory.mktemp("past")
    with databases() as fresh:
        target = fresh(postgres18, SHOP.replace("20000", "20"))
        description = described(target, folder, {"near": {"type": "local", "path": str(folder / "near")}})
        fleet = built(description, folder)
        backup = seal(fleet, PLAN, "daily").manifest.id
        assert prove(fleet, PLAN, backup, "near").verdict == "passed"
        yield Past(description, folder / "near", backup)


def shop_of(past: Past, target: Target, folder: Path, stores: dict[str, Any] | None = None, **plan: Any) -> Shop:
    """A plan of that past over a live database; its own store ``near`` comes first unless ``stores`` says more."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(past.near, folder / "near", symlinks=True)
    near = {"near": {"type": "local", "path": str(folder / "near")}}
    description = described(target, folder, near | (stores or {}), **plan)
    for kept in ("signing", "keys"):
        description[kept] = past.description[kept]
    return Shop(target, description, folder, past.backup)


@pytest.fixture
def shop(past: Past, postgres18: Target, fresh_database: FreshDatabase, tmp_path: Path) -> Shop:
    return shop_of(past, fresh_database(postgres18, SHOP), tmp_path / "shop")


@pytest.fixture(scope="session")
def live(postgres18: Target) -> Iterator[Target]:
    """A database that tests only read."""
    with databases() as fresh:
        yield fresh(postgres18, INCOMPRESSIBLE)
