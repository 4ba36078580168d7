"""Replication between real stores, a folder and two regions: an outage, a lost manifest, copies that are no good."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from backproof import catalog
from backproof.errors import AccessDenied, Damaged, NoSpace, NotFound, StoreUnavailable
from backproof.naming import MANIFEST, PIN
from backproof.operations.copy import copy
from backproof.operations.pin import unpin
from backproof.operations.prune import prune
from backproof.stores.local import LocalStore
from deployments.servers import seaweedfs
from deployments.servers.seaweedfs import S3Server
from tests.support.archives import make, rows_of
from tests.support.fleets import PLAN, built
from tests.support.proxy import Fault, Proxy
from tests.support.replicas import FIRST, Replicas, archive, folder, path_of, region
from tests.support.s3_fixtures import BUCKET

MIB = 1024 * 1024


@pytest.fixture
def replicas(regions: tuple[S3Server, S3Server], tmp_path: Path) -> Replicas:
    """A folder and two regions."""
    prefix = f"r-{token_hex(6)}"
    stores = {
        "near": folder(tmp_path / "near"),
        "one": region(regions[0], prefix),
        "two": region(regions[1], prefix, 1),
    }
    return Replicas(stores, tmp_path)


@pytest.fixture
def folders(tmp_path: Path) -> Replicas:
    """Three folders, for what knows no kind of store."""
    return Replicas({name: folder(tmp_path / name) for name in ("near", "far", "farther")}, tmp_path)


def test_after_an_outage_every_store_catches_up_from_whichever_has_it(replicas: Replicas) -> None:
    for day, store in enumerate(("near", "one", "two")):
        replicas.prove(replicas.lay(store, archive(day)), store, [store])
    replicas.lay("one", archive(3, megabytes=20))
    brought = replicas.replicate()
    assert len(brought) == 8
    replicas.expect_equal()
    assert replicas.replicate() == []
    assert [backup.proven_at is not None for backup in catalog.backups(replicas.fleet, PLAN)] == [False, *[True] * 3]


def test_each_store_alone_tells_what_is_proven(replicas: Replicas) -> None:
    laid = archive()
    for store in replicas.stores:
        replicas.lay(store, laid)
    replicas.prove(laid, "two", ["two"])
    replicas.prove(laid, "one", ["one"], "could-not-run", minute=30)
    assert [step.archive for step in replicas.survey().steps] == ["keep"] * 3
    assert sum(each.proofs for each in replicas.replicate()) == 4
    for store in replicas.stores:
        (backup,) = catalog.backups(replicas.fleet, PLAN, [store])
        assert len(backup.copies[0].proofs) == 2
        assert backup.proven_at is not None
        assert backup.copies[0].verdict == ("passed" if store == "two" else None), "each copy has its own verdict"


@pytest.mark.parametrize("lost", ["near", "one"])
def test_a_lost_manifest_is_written_again_where_the_archive_is_the_one(replicas: Replicas, lost: str) -> None:
    laid = archive()
    for store in replicas.stores:
        replicas.lay(store, laid, manifest=store != lost)
    (brought,) = replicas.replicate()
    assert (brought.target, brought.source, brought.copied_bytes, brought.manifest) == (lost, None, 0, True)
    replicas.expect_equal()


def test_a_lost_manifest_is_not_written_where_the_archive_is_another(replicas: Replicas) -> None:
    for store in replicas.stores:
        replicas.lay(store, archive(), manifest=store != "one")
    place = replicas.fleet.store("one")
    place.delete(path_of(archive()))
    other = bytes(reversed(archive().stored))
    place.put(path_of(archive()), [other])
    (step,) = replicas.survey().steps
    with pytest.raises(Damaged, match="is not the archive that the manifest") as raised:
        replicas.bring(step)
    assert "It stays" in raised.value.remedy
    assert replicas.held("one") == {path_of(archive()): other}


def test_an_archive_that_is_lost_is_brought_back_beside_its_manifest(replicas: Replicas) -> None:
    for store in replicas.stores:
        replicas.lay(store, archive(), archive=store == "two")
    assert {(each.target, each.source) for each in replicas.replicate()} == {("near", "two"), ("one", "two")}
    replicas.expect_equal()


def test_differing_copies_of_one_id_raise_an_alarm_and_both_stay(replicas: Replicas) -> None:
    other = make([*_rows(b"another\n")], taken_at=FIRST)
    replicas.lay("near", archive())
    replicas.lay("one", other)
    before = {store: replicas.held(store) for store in replicas.stores}
    found = replicas.survey()
    assert found.steps == ()
    (alarm,) = found.alarms
    assert (alarm.what, alarm.stores, alarm.backup) == ("differ", ("near", "one"), archive().manifest.id)
    assert "not the same archive" in alarm.fact
    assert "backproof show" in alarm.remedy
    assert {store: replicas.held(store) for store in replicas.stores} == before


def test_an_archive_of_the_same_id_that_came_meanwhile_is_not_overwritten(replicas: Replicas) -> None:
    replicas.lay("near", archive())
    step = next(step for step in replicas.survey().steps if step.target == "one")
    other = make([*_rows(b"another\n")], taken_at=FIRST)
    replicas.lay("one", other)
    with pytest.raises(Damaged):
        replicas.bring(step)
    assert set(replicas.held("one").values()) == {other.stored, replicas.fleet.signer.sign(other.manifest)}


def test_what_a_backup_copied_meanwhile_is_checked_and_counts(replicas: Replicas) -> None:
    replicas.lay("near", archive())
    steps = replicas.survey().steps
    replicas.lay("one", archive())
    replicas.lay("two", archive(), manifest=False)
    assert [replicas.bring(step).copied_bytes for step in steps] == [0, 0]
    replicas.expect_equal()


def test_nothing_is_copied_that_retention_is_about_to_delete(tmp_path: Path) -> None:
    replicas = Replicas({name: folder(tmp_path / name) for name in ("near", "far")}, tmp_path, daily="30d")
    for day in range(4):
        replicas.prove(replicas.lay("near", archive(day)), "near", ["near"])
    found = replicas.survey()
    assert {step.backup for step in found.steps} == {archive(day).manifest.id for day in (2, 3)}
    assert found.left_to_retention == tuple(archive(day).manifest.id for day in (1, 0))
    prune(replicas.fleet, PLAN)
    replicas.replicate()
    replicas.expect_equal()


def test_what_retention_deleted_meanwhile_does_not_come_back(folders: Replicas) -> None:
    laid = folders.lay("near", archive())
    step = folders.survey().steps[0]

    def deleted(_: int) -> None:
        folders.fleet.store("near").delete(path_of(laid, MANIFEST))

    with pytest.raises(NotFound, match="deleted from every store meanwhile"):
        folders.bring(step, deleted)
    assert catalog.backups(folders.fleet, PLAN) == []


def test_a_pin_comes_to_every_store_and_is_overwritten_in_none(folders: Replicas) -> None:
    pinned, twice, forged = archive(), archive(1), archive(2)
    for laid in (pinned, twice, forged):
        for store in folders.stores:
            folders.lay(store, laid)
    folders.pin(pinned, ["far"])
    folders.pin(twice, ["near"], "one reason")
    folders.pin(twice, ["farther"], "another")
    folders.fleet.store("near").put(path_of(forged, PIN), [b"whatever"])
    before = {store: folders.held(store) for store in folders.stores}
    assert sum(each.pin for each in folders.replicate()) == 3
    assert not any(each.pin for each in folders.replicate()), "one that does not count is brought nowhere"
    for store in folders.stores:
        held = folders.held(store)
        assert held.items() >= before[store].items()
        assert held[path_of(pinned, PIN)] == before["far"][path_of(pinned, PIN)]
        assert (path_of(forged, PIN) in held) == (store == "near")
    assert folders.held("far")[path_of(twice, PIN)] == before["near"][path_of(twice, PIN)]
    assert [each.pinned for each in catalog.backups(folders.fleet, PLAN, ["far"])] == [None, "one reason", "a test"]


def test_what_is_unpinned_while_it_is_replicated_stays_unpinned(
    folders: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid = archive()
    for store in folders.stores:
        folders.lay(store, laid)
    folders.pin(laid, ["near", "farther"])
    (step,) = folders.survey().steps
    put, delete = LocalStore.put, LocalStore.delete

    def unpinned_first(store: LocalStore, *given: Any, **named: Any) -> Any:
        monkeypatch.setattr(LocalStore, "put", put)
        unpin(folders.fleet, PLAN, laid.manifest.id)
        return put(store, *given, **named)

    def replicated_meanwhile(store: LocalStore, place: str) -> None:
        if store.name == "farther":
            monkeypatch.setattr(LocalStore, "delete", delete)
            assert folders.bring(step.model_copy(update={"pinned_in": ("farther",)})).pin
        delete(store, place)

    monkeypatch.setattr(LocalStore, "put", unpinned_first)
    assert not folders.bring(step).pin
    assert not any(path_of(laid, PIN) in folders.held(store) for store in folders.stores)
    folders.pin(laid, ["farther"])
    monkeypatch.setattr(LocalStore, "delete", replicated_meanwhile)
    unpin(folders.fleet, PLAN, laid.manifest.id)
    assert not any(path_of(laid, PIN) in folders.held(store) for store in folders.stores)


def test_a_truncated_copy_is_never_a_source_and_is_named(replicas: Replicas) -> None:
    laid = archive()
    replicas.lay("near", laid)
    replicas.lay("one", laid, archive=False)
    replicas.fleet.store("one").put(path_of(laid), [laid.stored[:-1]])
    found = replicas.survey()
    (alarm,) = found.alarms
    assert (alarm.what, alarm.stores) == ("damaged", ("one",))
    assert f"{len(laid.stored) - 1} bytes long" in alarm.fact
    assert [(step.target, step.sources) for step in found.steps] == [("two", ("near",))]
    replicas.replicate()
    assert replicas.held("two") == replicas.held("near")
    assert replicas.held("one")[path_of(laid)] == laid.stored[:-1]


def test_a_copy_whose_bytes_changed_is_passed_over_and_named_while_it_is_read(folders: Replicas) -> None:
    laid = archive()
    folders.lay("near", laid)
    folders.lay("far", laid)
    _spoil(folders, "near", laid)
    (step,) = folders.survey().steps
    brought = folders.bring(step)
    assert (brought.source, brought.target) == ("far", "farther")
    (alarm,) = brought.alarms
    assert (alarm.what, alarm.stores) == ("damaged", ("near",))
    assert "SHA-256" in alarm.fact
    assert "backproof verify shop --backup" in alarm.remedy
    assert folders.held("farther") == folders.held("far")


def test_without_any_good_source_nothing_is_written(folders: Replicas) -> None:
    laid = archive()
    folders.lay("near", laid)
    _spoil(folders, "near", laid)
    for step in folders.survey().steps:
        brought = folders.bring(step)
        assert (brought.source, brought.manifest) == (None, False)
        assert [alarm.stores for alarm in brought.alarms] == [("near",)]
    assert folders.held("far") == folders.held("farther") == {}
    assert list((folders.folder / "far").rglob("~*")) == []


def test_a_copy_that_failed_its_proof_is_never_a_source(folders: Replicas) -> None:
    laid = archive()
    folders.lay("near", laid)
    folders.prove(laid, "near", ["near"], "failed")
    found = folders.survey()
    assert found.steps == ()
    assert [alarm.what for alarm in found.alarms] == ["damaged", "no good copy"]
    folders.lay("far", laid)
    assert [(step.target, step.sources) for step in folders.survey().steps if step.archive == "copy"] == [
        ("farther", ("far",))
    ]


def test_a_manifest_that_was_changed_does_not_count_and_is_left(folders: Replicas) -> None:
    laid = archive()
    folders.lay("near", laid)
    folders.lay("far", laid, manifest=False)
    forged = folders.fleet.signer.sign(laid.manifest).replace(b'"daily"', b'"Daily"')
    folders.fleet.store("far").put(path_of(laid, MANIFEST), [forged])
    found = folders.survey()
    (alarm,) = found.alarms
    assert (alarm.what, alarm.stores) == ("damaged", ("far",))
    folders.replicate()
    assert folders.held("farther") == folders.held("near")
    assert folders.held("far")[path_of(laid, MANIFEST)] == forged


def test_a_region_that_is_down_is_named_and_costs_the_others_nothing(
    replicas: Replicas, regions: tuple[S3Server, S3Server]
) -> None:
    replicas.lay("near", archive())
    with Proxy(regions[0].endpoint_url) as proxy:
        behind = _behind(replicas, proxy, "one")
        down = proxy.inject(Fault("answer", times=10_000))
        found = behind.survey()
        assert list(found.unreachable) == ["one"]
        assert [step.target for step in found.steps] == ["two"]
        behind.replicate()
        assert down.fired
        proxy.clear()
        behind.replicate()
    replicas.expect_equal()


def test_wrong_credentials_are_told_with_their_remedy(replicas: Replicas) -> None:
    replicas.lay("near", archive())
    replicas.description["credentials"]["wrong"] = {"access_key_id": "NOBODY", "secret_access_key": "wrong"}
    replicas.description["stores"]["one"]["credentials"] = "wrong"
    replicas.fleet = built(replicas.description, replicas.folder)
    found = replicas.survey()
    assert "Correct the access key" in found.unreachable["one"]
    replicas.replicate()
    assert replicas.held("two") == replicas.held("near")


def test_a_store_without_room_is_told_before_anything_is_written(
    folders: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid = folders.lay("near", archive(0, megabytes=20))
    monkeypatch.setattr("backproof.stores.folders.free_bytes", lambda _: len(laid.stored) - 1)
    for step in folders.survey().steps:
        with pytest.raises(NoSpace, match=f"{len(laid.stored)} bytes are needed"):
            folders.bring(step)
    assert list((folders.folder / "far").rglob("*.enc")) == list((folders.folder / "far").rglob("~*")) == []


def test_a_large_copy_to_a_region_goes_on_where_it_stopped(
    replicas: Replicas, regions: tuple[S3Server, S3Server]
) -> None:
    laid = replicas.lay("near", archive(0, megabytes=50))
    with Proxy(regions[0].endpoint_url) as proxy:
        behind = _behind(replicas, proxy, "one")
        (step,) = (step for step in behind.survey().steps if step.target == "one")
        assert step.sources == ("near",)
        lost = proxy.inject(Fault("cut", "PUT", "partNumber=5", times=100, side="request", after=MIB))
        with pytest.raises(StoreUnavailable):
            behind.bring(step)
        assert lost.fired
        assert replicas.fleet.store("one").head(path_of(laid)) is None
        landed = _landed(regions[0], laid)
        assert sum(landed.values()) >= 4 * 8 * MIB
        proxy.clear()
        (step,) = (step for step in behind.survey().steps if step.target == "one")
        proxy.requests.clear()
        proxy.bytes_forwarded = 0
        behind.bring(step)
        sent = {int(number) for each in proxy.requests for number in re.findall(r"^PUT .*partNumber=(\d+)", each)}
        assert not sent & landed.keys(), "what had landed was sent again"
        assert 5 in sent
        rest = len(laid.stored) - sum(landed.values())
        assert rest <= proxy.bytes_forwarded < rest + MIB
    replicas.bring(next(step for step in replicas.survey().steps if step.target == "two"))
    replicas.expect_equal()


def test_a_large_copy_to_a_folder_goes_on_where_it_stopped(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    laid = replicas.lay("one", archive(0, megabytes=50))
    (step,) = (step for step in replicas.survey().steps if step.target == "near")
    with pytest.raises(KeyboardInterrupt):
        replicas.bring(step, _stopping_after(25 * MIB))
    (partial,) = (tmp_path / "near").rglob("~resumable-*~")
    kept = partial.stat().st_size
    assert 20 * MIB < kept < 30 * MIB
    assert replicas.fleet.store("near").head(path_of(laid)) is None
    written = _counting_writes(monkeypatch)
    replicas.bring(step)
    assert sum(written) <= len(laid.stored) - kept + MIB
    assert list((tmp_path / "near").rglob("~*")) == []
    replicas.bring(next(step for step in replicas.survey().steps if step.target == "two"))
    replicas.expect_equal()


@pytest.mark.parametrize(("status", "error"), [(403, AccessDenied), (507, NoSpace)])
def test_a_right_or_room_that_is_lost_midway_leaves_nothing(
    replicas: Replicas, regions: tuple[S3Server, S3Server], status: int, error: type[Exception]
) -> None:
    replicas.lay("near", archive(0, megabytes=30))
    with Proxy(regions[0].endpoint_url) as proxy:
        behind = _behind(replicas, proxy, "one")
        (step,) = (step for step in behind.survey().steps if step.target == "one")
        proxy.inject(Fault("answer", "PUT", "partNumber=3", times=100, status=status))
        with pytest.raises(error):
            behind.bring(step)
    assert replicas.fleet.store("one").sweep(datetime.now(UTC) + timedelta(hours=1)) == []
    assert replicas.held("one") == {}


@pytest.mark.parametrize("target", ["near", "one"])
def test_a_backup_that_copies_the_same_meanwhile_waits_for_nothing(replicas: Replicas, target: str) -> None:
    """It takes no lock that a backup takes: here is no database to hold one."""
    laid = replicas.lay("two", archive(0, megabytes=20))
    (step,) = (step for step in replicas.survey().steps if step.target == target)
    copied: list[bool] = []

    def meanwhile(_: int) -> None:
        if not copied:
            copied.append(copy(replicas.fleet, PLAN, laid.manifest.id, "two", target).existed)

    assert replicas.bring(step, meanwhile).target == target
    assert copied == [False]
    assert replicas.held(target) == replicas.held("two")
    assert replicas.fleet.store(target).sweep(datetime.now(UTC) + timedelta(hours=1)) == []


def _landed(server: S3Server, laid: Any) -> dict[int, int]:
    """The parts of the one unfinished upload of an archive that S3 has, with their lengths."""
    client = seaweedfs.client(server)
    uploads = client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    (upload,) = (each for each in uploads if each["Key"].endswith(path_of(laid)))
    parts = client.list_parts(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])["Parts"]
    return {part["PartNumber"]: part["Size"] for part in parts}


def _rows(body: bytes) -> Iterator[Any]:
    yield rows_of("public.users", body)


def _spoil(replicas: Replicas, store: str, laid: Any) -> None:
    """One byte of the archive becomes another, behind the store's back."""
    place = replicas.fleet.store(store)
    assert isinstance(place, LocalStore)
    file = Path(place.location(path_of(laid)))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _behind(replicas: Replicas, proxy: Proxy, store: str) -> Replicas:
    """The same fleet, one of its regions seen through a proxy; keys and all else as they are."""
    behind = Replicas(replicas.stores, replicas.folder)
    behind.description = {
        **replicas.description,
        "stores": {
            name: {**each, "endpoint_url": proxy.url} if name == store else each
            for name, each in replicas.description["stores"].items()
        },
    }
    behind.fleet = built(behind.description, behind.folder)
    return behind


def _stopping_after(size: int) -> Callable[[int], None]:
    passed = 0

    def progress(count: int) -> None:
        nonlocal passed
        passed += count
        if passed > size:
            raise KeyboardInterrupt

    return progress


def _counting_writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    import os

    written: list[int] = []
    write = os.write

    def counted(file: int, data: Any) -> int:
        done = write(file, data)
        written.append(done)
        return done

    monkeypatch.setattr("backproof.stores.unfinished.os.write", counted)
    return written
