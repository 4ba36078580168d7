"""What exists, read from folder stores alone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backproof import catalog
from backproof.archive.manifest import archive_name
from backproof.errors import BackproofError, Damaged, NotFound
from backproof.fleet import Fleet
from backproof.naming import MANIFEST, ProofPart, key
from backproof.records import Kind, Proof, Target, Verdict
from tests.support import archives
from tests.support.fleets import PLAN, built, described

NOWHERE = Target(host="127.0.0.1", port=1, database="shop", user="nobody")
FIRST = datetime(2025, 11, 7, 2, tzinfo=UTC)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return built(described(NOWHERE, tmp_path), tmp_path)


def put(
    fleet: Fleet, store: str, days: int = 0, manifest: bool = True, plan: str = PLAN, kind: Kind = "daily"
) -> archives.Archive:
    """A real archive in a store, taken so many days after the first."""
    archive = archives.make(ring=fleet.ring(PLAN), plan=plan, kind=kind, taken_at=FIRST + timedelta(days=days))
    name = archive_name(archive.manifest)
    fleet.store(store).put(key(name), [archive.stored])
    if manifest:
        fleet.store(store).put(key(name.with_part(MANIFEST)), [fleet.signer.sign(archive.manifest)])
    return archive


def prove(fleet: Fleet, store: str, archive: archives.Archive, verdict: Verdict, hours: int, signer: Fleet) -> None:
    at = archive.manifest.taken_at + timedelta(hours=hours)
    proof = Proof(
        plan=PLAN,
        backup=archive.manifest.id,
        store=store,
        verdict=verdict,
        reason="a test",
        started_at=at,
        finished_at=at,
        stored_sha256=archive.manifest.stored_sha256,
        backproof_version="0",
        proven_on="scratch",
        server_version="16.14",
    )
    name = archive_name(archive.manifest).with_part(ProofPart(at, verdict))
    fleet.store(store).put(key(name), [signer.signer.sign(proof)])


def test_backups_come_newest_first_with_their_copies(fleet: Fleet) -> None:
    put(fleet, "near")
    put(fleet, "near", days=1)
    put(fleet, "far", days=1)
    found = catalog.backups(fleet, PLAN)
    assert [backup.id for backup in found] == ["backup_2025-11-08_020000", "backup_2025-11-07_020000"]
    assert [[copy.store for copy in backup.copies] for backup in found] == [["near", "far"], ["near"]]


def test_an_archive_without_manifest_is_no_backup(fleet: Fleet) -> None:
    put(fleet, "near", manifest=False)
    assert catalog.backups(fleet, PLAN) == []


def test_a_proof_counts_only_with_a_signature_of_this_fleet(fleet: Fleet, tmp_path: Path) -> None:
    stranger = built(described(NOWHERE, tmp_path), tmp_path)
    archive = put(fleet, "near")
    prove(fleet, "near", archive, "passed", 1, stranger)
    (doubtful,) = catalog.backups(fleet, PLAN)
    assert (doubtful.proven_at, doubtful.distrusted_at) == (None, FIRST + timedelta(hours=1))
    prove(fleet, "near", archive, "passed", 2, fleet)
    assert catalog.backups(fleet, PLAN)[0].proven_at == FIRST + timedelta(hours=2)


def test_a_proof_that_failed_or_could_not_run_is_no_proof(fleet: Fleet) -> None:
    archive = put(fleet, "near")
    prove(fleet, "near", archive, "failed", 1, fleet)
    prove(fleet, "near", archive, "could-not-run", 2, fleet)
    (backup,) = catalog.backups(fleet, PLAN)
    assert (backup.proven_at, backup.failed_at) == (None, FIRST + timedelta(hours=1))


def test_a_proof_moved_to_another_backup_does_not_count(fleet: Fleet) -> None:
    one, other = put(fleet, "near"), put(fleet, "near", days=1)
    prove(fleet, "near", one, "passed", 1, fleet)
    place = fleet.store("near")
    (moved,) = [stored.key for stored in place.list(f"{PLAN}/") if ".proof_" in stored.key]
    place.put(moved.replace(one.manifest.id, other.manifest.id), place.read(moved))
    assert [backup.proven_at for backup in catalog.backups(fleet, PLAN)] == [None, FIRST + timedelta(hours=1)]


def test_a_manifest_moved_to_another_name_is_refused(fleet: Fleet) -> None:
    archive = put(fleet, "near")
    name = archive_name(archive.manifest).with_part(MANIFEST)
    place = fleet.store("near")
    moved = key(name).replace("2025-11-07", "2025-11-09")
    place.put(moved, place.read(key(name)))
    with pytest.raises(Damaged):
        catalog.manifest(fleet, PLAN, "backup_2025-11-09_020000")


def test_the_latest_is_never_a_safety_backup_which_has_to_be_named(fleet: Fleet) -> None:
    daily, safety = put(fleet, "near"), put(fleet, "near", days=1, kind="safety")
    prove(fleet, "near", safety, "passed", 1, fleet)
    assert catalog.manifest(fleet, PLAN, "latest")[0].id == daily.manifest.id
    with pytest.raises(NotFound):
        catalog.manifest(fleet, PLAN, "latest-proven")
    assert catalog.manifest(fleet, PLAN, safety.manifest.id)[0].kind == "safety"


def test_the_newest_backup_is_read_from_the_next_store_when_the_first_lost_its_manifest(fleet: Fleet) -> None:
    archive = put(fleet, "near", manifest=False)
    put(fleet, "far")
    manifest, store = catalog.manifest(fleet, PLAN)
    assert (manifest.id, store) == (archive.manifest.id, "far")


def test_a_store_that_lost_the_archive_itself_is_passed_over_for_one_that_has_it(fleet: Fleet) -> None:
    archive = put(fleet, "near")
    put(fleet, "far")
    fleet.store("near").delete(key(archive_name(archive.manifest)))
    assert catalog.manifest(fleet, PLAN)[1] == "far"


def test_latest_proven_passes_over_a_newer_backup_without_proof(fleet: Fleet) -> None:
    proven = put(fleet, "near")
    put(fleet, "near", days=1)
    with pytest.raises(NotFound):
        catalog.manifest(fleet, PLAN, "latest-proven")
    prove(fleet, "near", proven, "passed", 1, fleet)
    assert catalog.manifest(fleet, PLAN, "latest-proven")[0].id == proven.manifest.id


def test_a_plan_does_not_see_the_backups_of_another_whose_name_begins_alike(fleet: Fleet) -> None:
    put(fleet, "near", plan="shop-two")
    assert catalog.backups(fleet, PLAN) == []


def test_a_store_that_can_not_be_listed_is_named_and_the_others_are_read(fleet: Fleet, tmp_path: Path) -> None:
    put(fleet, "near")
    (tmp_path / "far").write_text("not a folder")
    found = catalog.listing(fleet, PLAN)
    assert [backup.id for backup in found.backups] == ["backup_2025-11-07_020000"]
    assert [store for store, _ in found.unreachable] == ["far"]
    with pytest.raises(BackproofError):
        catalog.backups(fleet, PLAN)


def test_an_archive_of_another_length_is_refused_before_it_is_read(fleet: Fleet) -> None:
    archive = put(fleet, "near")
    name = key(archive_name(archive.manifest))
    fleet.store("near").delete(name)
    fleet.store("near").put(name, [archive.stored + b"more"])
    manifest, store = catalog.manifest(fleet, PLAN)
    with pytest.raises(Damaged, match="bytes long"):
        catalog.open_archive(fleet, manifest, store)


def archive_file(fleet: Fleet, store: str) -> Path:
    (found,) = Path(str(fleet.store(store).location())).rglob("*.sql.gz*")
    return found


def test_each_copy_has_a_verdict_of_its_own(fleet: Fleet) -> None:
    archive = put(fleet, "near")
    put(fleet, "far")
    prove(fleet, "near", archive, "passed", 1, fleet)
    prove(fleet, "near", archive, "failed", 2, fleet)
    (backup,) = catalog.backups(fleet, PLAN)
    assert (backup.proven_at, backup.failed_at) == (None, FIRST + timedelta(hours=2))
    prove(fleet, "far", archive, "passed", 3, fleet)
    (backup,) = catalog.backups(fleet, PLAN)
    assert backup.proven_at == FIRST + timedelta(hours=3)
    assert backup.failed_at == FIRST + timedelta(hours=2)
    assert {copy.store: copy.verdict for copy in backup.copies} == {"near": "failed", "far": "passed"}


@pytest.mark.parametrize("harm", ["gone", "cut", "forged manifest"])
def test_what_was_proven_and_is_whole_nowhere_any_more_is_not_proven(fleet: Fleet, harm: str) -> None:
    archive = put(fleet, "near")
    prove(fleet, "near", archive, "passed", 1, fleet)
    assert catalog.backups(fleet, PLAN)[0].proven_at is not None
    file = archive_file(fleet, "near")
    if harm == "forged manifest":
        file.with_name(f"{archive.manifest.id}.manifest.json").write_bytes(b"{}")
    elif harm == "cut":
        file.write_bytes(file.read_bytes()[:10])
    else:
        file.unlink()
    assert [backup.proven_at for backup in catalog.backups(fleet, PLAN)] == [None]
    with pytest.raises(NotFound):
        catalog.manifest(fleet, PLAN, "latest-proven")


def test_a_manifest_planted_under_another_kind_hides_no_good_one_and_is_not_proven(fleet: Fleet) -> None:
    archive = put(fleet, "near")
    prove(fleet, "near", archive, "passed", 1, fleet)
    there = archive_file(fleet, "near").parent
    other = there.with_name("monthly" if there.name != "monthly" else "daily")
    other.mkdir()
    for file in there.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    assert sorted(backup.proven_at is not None for backup in catalog.backups(fleet, PLAN)) == [False, True]
    found, _ = catalog.manifest(fleet, PLAN, archive.manifest.id)
    assert found == archive.manifest


def test_a_store_that_can_not_be_asked_may_hold_a_newer_one_and_that_is_said(fleet: Fleet, tmp_path: Path) -> None:
    put(fleet, "near")
    (tmp_path / "far").write_text("no folder")
    chosen, doubts = catalog.find(fleet, PLAN, "latest")
    assert [backup.id for backup in chosen] == ["backup_2025-11-07_020000"]
    assert ["far" in doubt for doubt in doubts] == [True]


def test_one_backup_is_found_without_reading_the_others(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    for days in range(5):
        prove(fleet, "near", put(fleet, "near", days), "passed", 1, fleet)
    read: list[str] = []
    monkeypatch.setattr(catalog, "document", lambda store, name: read.append(name) or DOCUMENT(store, name))
    assert catalog.manifest(fleet, PLAN)[0].id == "backup_2025-11-11_020000"
    assert {name.split("/")[-1].split(".")[0] for name in read} == {"backup_2025-11-11_020000"}


DOCUMENT = catalog.document
