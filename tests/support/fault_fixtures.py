"""A fleet with a past: an earlier backup that is proven, and a live database to seal again while things break."""

import copy
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backproof import catalog
from backproof.engines import Progress
from backproof.errors import AlreadyExists
from backproof.fleet import Fleet
from backproof.operations.prove import prove
from backproof.operations.restore import restore
from backproof.operations.seal import Sealed, seal
from backproof.records import Target
from tests.support.aftermath import Holdings, expect_no_sessions, expect_whole, programs, unfinished_files
from tests.support.fleets import PLAN, built, described
from tests.support.kinds import KINDS, POSTGRESQL, Kind

MIB = 1024 * 1024

both_kinds = pytest.mark.parametrize("kind", KINDS, indirect=True, scope="session", ids=str)
"""A test that is run on every kind of database. Others run on PostgreSQL: what they test knows no kind."""


@dataclass(frozen=True)
class Past:
    """A description of a fleet whose store ``near`` holds a proven backup."""

    kind: Kind
    description: dict[str, Any]
    near: Path
    backup: str


@dataclass
class Shop:
    """A plan with a past, its live database, and what must hold whatever happens."""

    kind: Kind
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
        return Shop(self.kind, self.target, description, self.folder, self.earlier)

    def expect_nothing_happened(self) -> None:
        """No archive, no manifest, no child, no session; the earlier backup is there, and proven still."""
        self.before.expect_nothing_new(self.fleet, PLAN)
        self.expect_nothing_left()

    def expect_nothing_left(self) -> None:
        self.before.expect_untouched(self.fleet, PLAN)
        assert self.is_proven()
        assert programs(self.kind.tool) == []
        assert unfinished_files(self.near) == []
        expect_no_sessions(self.kind, self.target)

    def expect_a_second_run_succeeds(self) -> Sealed:
        sealed = self.seal()
        assert expect_whole(self.fleet, PLAN) == 2
        assert sealed.manifest.id in [backup.id for backup in catalog.backups(self.fleet, PLAN)]
        assert self.is_proven()
        return sealed

    @property
    def beside(self) -> Target:
        """Where its backups are restored to."""
        return self.target.to(f"{self.target.database}_beside")

    def expect_an_unfinished_restore_is_told_and_can_be_begun_anew(self, may_be_gone: bool = False) -> None:
        """A restore was cut off from its server: what it left, where that server kept it, is no whole database."""
        again = partial(restore, self.fleet, PLAN, "latest", self.beside.database)
        try:
            if not may_be_gone or self._holds_an_unfinished_restore():
                with pytest.raises(AlreadyExists, match="has not finished"):
                    again()
                self.kind.remove(self.beside)
            restored = again()
            assert restored.rows == 20500
        finally:
            self.kind.remove(self.beside)

    def _holds_an_unfinished_restore(self) -> bool:
        """Whether anything is there that makes it more than an empty database."""
        try:
            self.fleet.engine(PLAN).create(self.beside, catalog.manifest(self.fleet, PLAN)[0])
        except AlreadyExists:
            return True
        return False

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
def kind(request: pytest.FixtureRequest) -> Kind:
    """The kind of database: PostgreSQL, but for tests of ``both_kinds``."""
    chosen: Kind = getattr(request, "param", POSTGRESQL)
    return chosen


@pytest.fixture(scope="session")
def database_server(kind: Kind, request: pytest.FixtureRequest) -> Target:
    """An administrator's target."""
    target: Target = request.getfixturevalue(kind.server)
    return target


@pytest.fixture(scope="session")
def past(kind: Kind, database_server: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    """Made once: a backup and its proof."""
    folder = tmp_path_factory.mktemp("past")
    with kind.fresh() as fresh:
        target = fresh(database_server, kind.shop.replace("20000", "20"))
        near = {"near": {"type": "local", "path": str(folder / "near")}}
        description = described(target, folder, near, engine=kind.engine)
        fleet = built(description, folder)
        backup = seal(fleet, PLAN, "daily").manifest.id
        assert prove(fleet, PLAN, backup, "near").verdict == "passed"
        yield Past(kind, description, folder / "near", backup)


def shop_of(past: Past, target: Target, folder: Path, stores: dict[str, Any] | None = None, **plan: Any) -> Shop:
    """A plan of that past over a live database; its own store ``near`` comes first unless ``stores`` says more."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(past.near, folder / "near", symlinks=True)
    near = {"near": {"type": "local", "path": str(folder / "near")}}
    description = described(target, folder, near | (stores or {}), engine=past.kind.engine, **plan)
    for kept in ("signing", "keys"):
        description[kept] = past.description[kept]
    return Shop(past.kind, target, description, folder, past.backup)


@pytest.fixture
def shop(past: Past, database_server: Target, tmp_path: Path) -> Iterator[Shop]:
    with past.kind.fresh() as fresh:
        yield shop_of(past, fresh(database_server, past.kind.shop), tmp_path / "shop")


@pytest.fixture(scope="session")
def live(kind: Kind, database_server: Target) -> Iterator[Target]:
    """A database that tests only read."""
    with kind.fresh() as fresh:
        yield fresh(database_server, kind.files)
