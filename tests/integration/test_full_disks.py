"""Disks that are full, under a store or under a proof: real ones, small, which only root can mount.

Others don't collect this file (``tests/conftest.py``); a limit on the length of files stands in for a full disk in
``test_store_faults``.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from backproof.engines.postgresql.connect import connected
from backproof.errors import AccessDenied, NoSpace, Permanent
from backproof.operations.copy import copy
from backproof.operations.preflight import preflight, require
from backproof.operations.prove import prove
from backproof.records import Target
from backproof.scratch import workspace
from backproof.stores.local import LocalStore
from tests.support.aftermath import expect_whole
from tests.support.fault_fixtures import Once, Past, Shop, both_kinds, shop_of
from tests.support.fleets import PLAN
from tests.support.kinds import MARIADB, POSTGRESQL
from tests.support.replicas import Replicas, archive, folder

RUNNING = {POSTGRESQL: "120m", MARIADB: "240m"}
"""Enough for a server, before the disk is filled."""


@pytest.fixture
def shop(past: Past, live: Target, tmp_path: Path) -> Shop:
    return shop_of(past, live, tmp_path / "shop")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def make_room(folder: Path, size: str = "64m") -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Unlike pytest's, one that a server's user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="backproof-disk-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        folder.rmdir()


@both_kinds
def test_a_full_disk_under_a_store_is_no_space_and_no_backup(past: Past, live: Target, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "4m"):
        shop = shop_of(past, live, disk / "shop")
        with pytest.raises(NoSpace, match=r"No space left on device.*Free some room") as raised:
            shop.seal()
        assert str(shop.near) in raised.value.fact
        shop.expect_nothing_happened()
        make_room(disk)
        shop.expect_a_second_run_succeeds()


def test_a_disk_too_small_for_another_backup_is_told_before_anything_is_dumped(
    past: Past, live: Target, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "32m"):
        shop = shop_of(past, live, disk / "shop")
        needed = shop.seal().manifest.stored_bytes
        (disk / "others").write_bytes(bytes(shutil.disk_usage(disk).free - needed // 2))
        with pytest.raises(Permanent, match=r"store near: .* MB free, a backup needs .* MB") as raised:
            require(preflight(shop.fleet, PLAN))
        assert "Make room there" in raised.value.remedy
        (disk / "others").unlink()
        make_room(disk)
        require(preflight(shop.fleet, PLAN))


@both_kinds
def test_a_full_disk_under_the_first_store_sends_the_backup_to_the_next(
    past: Past, live: Target, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "4m"):
        other = {"other": {"type": "local", "path": str(tmp_path / "other")}}
        shop = shop_of(past, live, disk / "shop", other)
        sealed = shop.seal()
        assert sealed.store == "other"
        (told,) = sealed.degraded
        assert "No space left on device" in told
        shop.expect_nothing_happened()
        assert expect_whole(shop.fleet, PLAN) == 2
        with pytest.raises(NoSpace):
            copy(shop.fleet, PLAN, sealed.manifest.id, "other", "near")
        shop.expect_nothing_happened()
        make_room(disk)
        copy(shop.fleet, PLAN, sealed.manifest.id, "other", "near")
        assert expect_whole(shop.fleet, PLAN) == 3


@pytest.mark.slow
@both_kinds
@pytest.mark.parametrize("when", ["before it", "as it starts a server", "as it restores", "as it dumps again"])
def test_a_full_disk_under_a_proof_is_could_not_run(shop: Shop, when: str) -> None:
    sealed = shop.seal()
    fill_after = {"as it restores": 0, "as it dumps again": sealed.manifest.plain_bytes}
    sizes = {"before it": "5m", "as it starts a server": "40m"}  # MariaDB finds that too little before it starts one
    with open_folder() as folder, small_disk(folder, sizes.get(when, RUNNING[shop.kind])):
        shop.description["scratch_folder"] = str(folder)
        fleet = shop.changed().fleet
        fault = Once(lambda: fill(folder), fill_after.get(when, 10**12))
        proof = prove(fleet, PLAN, sealed.manifest.id, "near", progress=fault)
        assert fault.fired == (when in fill_after)
        if when != "as it dumps again":  # which may need no room any more
            assert proof.verdict == "could-not-run", proof.reason
            assert "Make room" in proof.reason or "Free some" in proof.reason, proof.reason
            assert str(folder) in proof.reason
        assert proof.verdict != "failed", proof.reason
        (folder / "filler").unlink(missing_ok=True)
        assert list(folder.iterdir()) == []
        make_room(folder, "600m")
        assert prove(fleet, PLAN, sealed.manifest.id, "near").verdict == "passed"


def test_a_scratch_server_that_dies_of_a_full_disk_says_no_space(shop: Shop) -> None:
    manifest = shop.seal().manifest
    with open_folder() as folder, small_disk(folder, "120m"), workspace("scratch", folder) as private:
        engine = shop.fleet.engine(PLAN)
        with pytest.raises(NoSpace, match="Make room") as raised, engine.scratch(manifest, private) as target:
            exhaust(target, folder)
        assert str(folder) in raised.value.fact


def exhaust(target: Target, folder: Path) -> None:
    """Let a server run out of room for its log: it stops for good."""
    fill(folder)
    with connected(target) as connection, connection.cursor() as cursor:
        for _ in range(5):
            cursor.execute("CREATE TEMP TABLE t (); DROP TABLE t; SELECT pg_switch_wal()")


def fill(folder: Path) -> None:
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))


def test_a_disk_that_fills_up_under_a_replication_is_left_as_it_was(tmp_path: Path) -> None:
    with open_folder() as disk, small_disk(disk, "24m"):
        replicas = Replicas({"near": {"type": "local", "path": str(tmp_path)}, "full": folder(disk)}, tmp_path)
        laid = replicas.lay("near", archive(0, megabytes=20))
        (step,) = replicas.survey().steps
        fill = Once(lambda: (disk / "another's").write_bytes(bytes(16 * 1024 * 1024)), after=2 * 1024 * 1024)
        with pytest.raises(NoSpace):
            replicas.bring(step, fill)
        assert fill.fired
        assert [path.name for path in disk.rglob("*") if path.is_file()] == ["another's"]
        with pytest.raises(NoSpace, match=f"{len(laid.stored)} bytes are needed"):
            replicas.bring(step)
        (disk / "another's").unlink()
        replicas.bring(step)
        replicas.expect_equal()


def test_a_disk_that_turned_read_only_has_no_room_however_much_is_free(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "4m"):
        store = LocalStore("near", disk / "shop")
        assert store.free_bytes()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(AccessDenied, match="Read-only file system"):
            store.free_bytes()
