"""A backup and those before it, from folder stores alone."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.operations.look_back import look_back
from tests.support.fleets import PLAN, built, described
from tests.unit.test_catalog import FIRST, NOWHERE, prove, put


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return built(described(NOWHERE, tmp_path), tmp_path)


def test_backups_come_oldest_first_up_to_that_moment_and_no_further_back_than_asked(fleet: Fleet) -> None:
    for days in range(5):
        put(fleet, "near" if days % 2 else "far", days=days)
    found = look_back(fleet, PLAN, FIRST + timedelta(days=3), earlier=2)
    assert [each.taken_at - FIRST for each in found] == [timedelta(days=days) for days in (1, 2, 3)]


def test_it_tells_what_manifest_and_newest_passed_proof_say(fleet: Fleet, tmp_path: Path) -> None:
    archive = put(fleet, "near")
    prove(fleet, "near", archive, "failed", 3, fleet)
    prove(fleet, "near", archive, "passed", 1, fleet)
    [measured] = look_back(fleet, PLAN, FIRST)
    manifest = archive.manifest
    assert (measured.backup, measured.stored_bytes) == (manifest.id, manifest.stored_bytes)
    assert measured.rows == sum(table.rows for table in manifest.tables)
    assert measured.proven_seconds == 0


def test_a_proof_that_a_stranger_signed_tells_nothing(fleet: Fleet, tmp_path: Path) -> None:
    prove(fleet, "near", put(fleet, "near"), "passed", 1, built(described(NOWHERE, tmp_path), tmp_path))
    assert look_back(fleet, PLAN, FIRST)[0].proven_seconds is None


def test_what_can_not_be_read_is_left_out(fleet: Fleet, tmp_path: Path) -> None:
    put(fleet, "near")
    put(fleet, "near", days=1)
    [manifest] = (tmp_path / "near").rglob("backup_2025-11-07*.manifest.json")
    manifest.write_bytes(b"{}")
    assert len(look_back(fleet, PLAN, FIRST + timedelta(days=1))) == 1


def test_a_store_that_is_away_costs_its_backups_and_all_of_them_the_look(fleet: Fleet, tmp_path: Path) -> None:
    put(fleet, "far")
    (tmp_path / "near").write_text("no folder")
    assert len(look_back(fleet, PLAN, FIRST)) == 1
    shutil.rmtree(tmp_path / "far")
    (tmp_path / "far").write_text("no folder")
    with pytest.raises(BackproofError):
        look_back(fleet, PLAN, FIRST)


def test_a_plan_without_backups_has_nothing_to_look_back_at(fleet: Fleet) -> None:
    assert look_back(fleet, PLAN, FIRST) == ()
