"""A decision carried out in folder stores: what goes, in which order, and what keeps it."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backproof import catalog
from backproof.errors import AccessDenied, NoSpace, StoreUnavailable
from backproof.fleet import Fleet
from backproof.naming import MANIFEST, REMOVAL, key
from backproof.operations import prune as module
from backproof.operations.clock import utc_now
from backproof.operations.pin import pin, unpin
from backproof.operations.prune import prune
from backproof.records import Removal
from backproof.stores.local import LocalStore
from tests.support.fleets import PLAN, built, described
from tests.support.histories import NOWHERE, age, days_ago, held, ids, prove, put


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return built(described(NOWHERE, tmp_path), tmp_path)


@pytest.fixture
def stocked(fleet: Fleet) -> Fleet:
    """Two young proven backups, and three old ones."""
    for days in (1, 2, 31, 32, 33):
        put(fleet, days_ago(days))
    return fleet


def failing(monkeypatch: pytest.MonkeyPatch, method: str, store: str, error: Exception, when: str = "") -> None:
    """Let a method of one store fail, for keys that hold ``when``."""
    true = getattr(LocalStore, method)

    def fail(self: LocalStore, *arguments: Any, **named: Any) -> Any:
        if self.name == store and when in (arguments[0] if arguments else ""):
            raise error
        return true(self, *arguments, **named)

    monkeypatch.setattr(LocalStore, method, fail)


def test_what_is_past_its_period_is_gone_from_every_store_and_the_rest_is_whole(stocked: Fleet) -> None:
    pruned = prune(stocked, PLAN)
    assert (pruned.refused, pruned.problems, len(pruned.removed)) == ((), (), 3)
    for store in ("near", "far"):
        assert len(ids(stocked, store)) == 2
        assert all(sorted(parts) == ["manifest.json", "proof", "sql.gz.enc"] for parts in held(stocked, store).values())
    assert all(each.stores == ("near", "far") and each.freed_bytes > 0 for each in pruned.removed)
    assert [each.backup for each in pruned.removed] == sorted(each.backup for each in pruned.removed)
    assert [each.why.split()[0] for each in pruned.kept] == ["until", "until"]


def test_a_second_run_finds_nothing_to_do(stocked: Fleet) -> None:
    prune(stocked, PLAN)
    again = prune(stocked, PLAN)
    assert (again.removed, again.leftovers, again.waiting, again.problems) == ((), (), (), ())


def test_a_dry_run_tells_the_same_and_changes_nothing(stocked: Fleet) -> None:
    before = {store: held(stocked, store) for store in ("near", "far")}
    told = prune(stocked, PLAN, dry_run=True)
    assert {store: held(stocked, store) for store in ("near", "far")} == before
    done = prune(stocked, PLAN)
    assert told.removed == done.removed
    assert [each.backup for each in told.kept] == [each.backup for each in done.kept]


def test_the_manifest_goes_first_then_the_proofs_then_the_archive(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days in (1, 2, 40):
        put(fleet, days_ago(days))
    done: list[str] = []
    for method in ("put", "delete"):
        true = getattr(LocalStore, method)

        def noted(self: LocalStore, key: str, *rest: Any, method: str = method, true: Any = true) -> Any:
            done.append(f"{method} {self.name} {key.partition('.')[2].partition('_')[0]}")
            return true(self, key, *rest)

        monkeypatch.setattr(LocalStore, method, noted)
    prune(fleet, PLAN)
    assert done == [
        "put near removal.json",
        "put far removal.json",
        *(f"delete {store} {part}" for store in ("near", "far") for part in ORDER),
    ]


ORDER = ("manifest.json", "proof", "sql.gz.enc", "removal.json")


def test_a_proof_with_a_stranger_s_signature_protects_nothing_and_counts_for_nothing(
    fleet: Fleet, tmp_path: Path
) -> None:
    stranger = built(described(NOWHERE, tmp_path), tmp_path)
    for days in (31, 32):
        prove(fleet, put(fleet, days_ago(days), proven=False), "passed", signer=stranger)
    for days in (33, 34, 35):
        put(fleet, days_ago(days))
    put(fleet, days_ago(30.5), proven=False)
    pruned = prune(fleet, PLAN)
    assert {each.backup: each.why for each in pruned.kept}.keys() == set(ids(fleet, "near"))
    assert [each.why for each in pruned.kept] == [
        "the newest backup",
        "the newest proven backup",
        "one of the last proven backups",
    ]


def test_a_backup_whose_newest_proof_failed_or_that_is_whole_nowhere_is_not_one_of_the_proven(fleet: Fleet) -> None:
    broken = put(fleet, days_ago(31))
    prove(fleet, broken, "failed", hours=2)
    gone = put(fleet, days_ago(32))
    for store in ("near", "far"):
        (archive,) = [each.key for each in fleet.store(store).list() if gone.id in each.key and ".sql.gz" in each.key]
        fleet.store(store).delete(archive)
    good = [put(fleet, days_ago(days)) for days in (33, 34)]
    put(fleet, days_ago(30.5), proven=False)
    prune(fleet, PLAN)
    assert {name.id for name in good} < set(ids(fleet, "near"))
    assert not {broken.id, gone.id} & set(ids(fleet, "near"))


def test_proven_safety_backups_in_any_number_do_not_stand_for_the_last_others(fleet: Fleet) -> None:
    good = [put(fleet, days_ago(days)) for days in (50, 51)]
    for days in (1, 2, 3, 4, 5, 6):
        put(fleet, days_ago(days), "safety")
    put(fleet, days_ago(52))
    old = put(fleet, days_ago(40), "safety")
    pruned = prune(fleet, PLAN)
    assert {name.id for name in good} < set(ids(fleet, "near"))
    assert len(pruned.removed) == 2
    assert old.id not in ids(fleet, "near")


def test_with_fewer_proven_than_the_plan_keeps_nothing_is_deleted(fleet: Fleet) -> None:
    put(fleet, days_ago(1))
    for days in (2, 40, 50):
        put(fleet, days_ago(days), proven=False)
    pruned = prune(fleet, PLAN)
    assert len(ids(fleet, "near")) == 4
    assert pruned.problems == (
        "nothing is deleted: of its backups 1 are proven, safety backups aside, and the plan keeps 2 of these at least",
    )


@pytest.mark.parametrize("method", ["list", "clock"])
def test_a_store_that_can_not_be_listed_whole_stops_everything(
    stocked: Fleet, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    failing(monkeypatch, method, "far", StoreUnavailable("far is down", "Wait."))
    pruned = prune(stocked, PLAN)
    assert pruned.refused == ("store far could not be listed whole: far is down",)
    assert len(ids(stocked, "near")) == 5


def test_a_proof_that_can_not_be_read_just_now_stops_everything(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an older proven backup would count in place of the newest, and that one would go."""
    names = [put(fleet, days_ago(days)) for days in (31, 32, 33, 34)]
    put(fleet, days_ago(30.5), proven=False)
    for store in ("near", "far"):
        failing(monkeypatch, "read", store, StoreUnavailable(f"{store} is slow", "Wait."), f"{names[0].id}.proof")
    pruned = prune(fleet, PLAN)
    assert pruned.refused == ("which backups are proven could not be read: near is slow",)
    assert len(ids(fleet, "near")) == 5


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_is_wrong_by_hours_stops_everything(stocked: Fleet, hours: int) -> None:
    pruned = prune(stocked, PLAN, now=lambda: utc_now() + timedelta(hours=hours))
    assert [reason.split("'")[0] for reason in pruned.refused] == ["this machine"] * 2
    assert len(ids(stocked, "near")) == 5


def test_a_clock_before_the_newest_backup_stops_everything(stocked: Fleet) -> None:
    put(stocked, utc_now() + timedelta(minutes=30))
    assert "was taken after that" in prune(stocked, PLAN).refused[0]
    assert len(ids(stocked, "near")) == 6


def test_another_plan_s_backups_are_not_even_looked_at(stocked: Fleet) -> None:
    place = stocked.store("near")
    for each in list(place.list(f"{PLAN}/")):
        place.put(each.key.replace(f"{PLAN}/", f"{PLAN}-two/", 1), place.read(each.key))
    prune(stocked, PLAN)
    assert len({each.key.partition(".")[0] for each in place.list(f"{PLAN}-two/")}) == 5


def test_what_another_fleet_has_signed_under_the_same_names_is_not_touched(stocked: Fleet, tmp_path: Path) -> None:
    stranger = built(described(NOWHERE, tmp_path), tmp_path)
    theirs = put(stocked, days_ago(60), signer=stranger)
    pruned = prune(stocked, PLAN)
    assert theirs.id in ids(stocked, "near")
    (told,) = [each for each in pruned.removed if each.backup == theirs.id]
    assert told.kept == ("its manifest is not signed by a key this fleet trusts, or was changed",)
    assert (told.stores, pruned.problems) == ((), ())


def test_what_a_recovery_needs_stays(stocked: Fleet) -> None:
    oldest = ids(stocked, "near")[0]
    pruned = prune(stocked, PLAN, needed=lambda: {oldest: "a recovery restores it"})
    assert oldest in ids(stocked, "near")
    assert pruned.kept[-1].why == "needed: a recovery restores it"


def test_a_pinned_backup_stays_until_it_is_unpinned(stocked: Fleet) -> None:
    oldest = ids(stocked, "near")[0]
    pin(stocked, PLAN, oldest, "before the\n migration")
    assert prune(stocked, PLAN).kept[-1].why == "pinned: before the migration"
    assert ids(stocked, "far")[0] == oldest
    unpin(stocked, PLAN, oldest)
    prune(stocked, PLAN)
    assert oldest not in ids(stocked, "near") + ids(stocked, "far")


def test_a_pin_in_one_store_protects_in_all_and_an_unsigned_one_too(stocked: Fleet) -> None:
    one, other = ids(stocked, "near")[:2]
    stocked.store("far").put(f"{PLAN}/daily/{one}.pin.json", [b"{}"])
    pin(stocked, PLAN, other, "a test")
    stocked.store("near").delete(f"{PLAN}/daily/{other}.pin.json")
    prune(stocked, PLAN)
    assert {one, other} <= set(ids(stocked, "near")) & set(ids(stocked, "far"))


def test_a_pin_that_comes_between_the_decision_and_the_deed_is_heeded(
    stocked: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest = ids(stocked, "near")[0]
    true = module.decided

    def and_then_pinned(*arguments: Any) -> Any:
        given = true(*arguments)
        pin(stocked, PLAN, oldest, "just in time")
        return given

    monkeypatch.setattr(module, "decided", and_then_pinned)
    pruned = prune(stocked, PLAN)
    assert oldest in ids(stocked, "near")
    assert pruned.removed[0].kept == ("it was pinned meanwhile, in store near",)


def test_a_store_that_fails_midway_stops_no_other_and_the_next_run_goes_on(
    stocked: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, "delete", "near", AccessDenied("near refuses"), ".manifest")
        pruned = prune(stocked, PLAN)
    assert len(pruned.problems) == 3
    assert (len(ids(stocked, "near")), len(ids(stocked, "far"))) == (5, 2)
    assert all(each.stores == ("far",) for each in pruned.removed)
    assert prune(stocked, PLAN).problems == ()
    assert ids(stocked, "near") == ids(stocked, "far")
    assert len(ids(stocked, "near")) == 2


def test_a_full_disk_does_not_keep_what_fills_it(stocked: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "put", "near", NoSpace("near is full"))
    assert prune(stocked, PLAN).problems == ()
    assert len(ids(stocked, "near")) == 2


def test_what_retention_was_at_when_it_was_killed_is_finished_at_once(
    stocked: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        for store in ("near", "far"):
            failing(patch, "delete", store, AccessDenied("no"), ".sql.gz")
        prune(stocked, PLAN)
    assert len(catalog.backups(stocked, PLAN)) == 2
    assert len(ids(stocked, "near")) == 5
    pruned = prune(stocked, PLAN)
    assert [each.why for each in pruned.leftovers] == ["what an earlier run had begun to remove"] * 3
    assert len(ids(stocked, "near")) == len(ids(stocked, "far")) == 2


def test_an_archive_without_manifest_goes_when_it_is_old_and_was_listed_before(stocked: Fleet) -> None:
    name = put(stocked, days_ago(3), stores=["near"], proven=False)
    stocked.store("near").delete(key(name))
    first = prune(stocked, PLAN)
    assert [each.why for each in first.waiting] == ["it has no manifest in any store; that may be on its way"]
    age(stocked, "near", 2.5)
    second = prune(stocked, PLAN)
    assert [each.why for each in second.waiting] == ["it has no manifest in any store; a later run removes it"]
    assert held(stocked, "near")[name.id] == ["removal.json", "sql.gz.enc"]
    third = prune(stocked, PLAN)
    assert [each.backup for each in third.leftovers] == [name.id]
    assert name.id not in ids(stocked, "near")


def test_a_dry_run_lists_nothing_for_good(stocked: Fleet) -> None:
    name = put(stocked, days_ago(3), stores=["near"], proven=False)
    stocked.store("near").delete(key(name))
    age(stocked, "near", 2.5)
    for _ in range(2):
        assert len(prune(stocked, PLAN, dry_run=True).waiting) == 1
    assert held(stocked, "near")[name.id] == ["sql.gz.enc"]


def test_an_archive_whose_manifest_is_in_another_store_is_no_leftover(stocked: Fleet) -> None:
    name = put(stocked, days_ago(3), proven=False)
    stocked.store("near").delete(key(name))
    age(stocked, "near", 2.5)
    for _ in range(3):
        assert prune(stocked, PLAN).waiting == ()
    assert held(stocked, "near")[name.id] == ["sql.gz.enc"]


def test_a_leftover_that_is_pinned_or_whose_manifest_has_come_meanwhile_stays(stocked: Fleet) -> None:
    names = [put(stocked, days_ago(days), stores=["near"], proven=False) for days in (3, 4)]
    manifests = [b"".join(stocked.store("near").read(key(name))) for name in names]
    for name in names:
        stocked.store("near").delete(key(name))
    stocked.store("near").put(f"{PLAN}/daily/{names[0].id}.pin.json", [b"{}"])
    age(stocked, "near", 2.5)
    prune(stocked, PLAN)
    stocked.store("near").put(key(names[1]), [manifests[1]])
    pruned = prune(stocked, PLAN)
    assert pruned.leftovers == ()
    assert held(stocked, "near")[names[0].id] == ["pin.json", "sql.gz.enc"]
    assert held(stocked, "near")[names[1].id] == ["manifest.json", "sql.gz.enc"], "its mark is gone"


def test_a_mark_that_nobody_of_ours_has_signed_removes_nothing(stocked: Fleet, tmp_path: Path) -> None:
    stranger = built(described(NOWHERE, tmp_path), tmp_path)
    name = put(stocked, days_ago(3), stores=["near"], proven=False)
    stocked.store("near").delete(key(name))
    removal = Removal(plan=PLAN, backup=name.id, kind="daily", why="retention", decided_at=days_ago(1))
    stocked.store("near").put(key(name.with_part(REMOVAL)), [stranger.signer.sign(removal)])
    assert prune(stocked, PLAN).leftovers == ()
    assert name.id in ids(stocked, "near")


def test_a_plain_archive_is_removed_like_an_encrypted_one(tmp_path: Path) -> None:
    description = described(NOWHERE, tmp_path, encryption="none")
    del description["plans"][PLAN]["key"]
    fleet = built(description, tmp_path)
    for days in (1, 2, 40):
        put(fleet, days_ago(days))
    assert [each.stores for each in prune(fleet, PLAN).removed] == [("near", "far")]
    assert list(held(fleet, "near").values()) == [["manifest.json", "proof", "sql.gz"]] * 2


def test_no_more_proofs_are_read_than_the_decision_takes(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    for days in range(1, 30):
        put(fleet, days_ago(days), stores=["near"])
    put(fleet, days_ago(40), stores=["near"])
    read: list[str] = []
    true = catalog.document
    monkeypatch.setattr(catalog, "document", lambda store, name: read.append(name) or true(store, name))
    pruned = prune(fleet, PLAN)
    assert len(pruned.removed) == 1
    newest = sorted({each.backup for each in pruned.kept})[-2:]
    assert {name.split("/")[-1].split(".")[0] for name in read} == {*newest, pruned.removed[0].backup}


def test_with_nothing_due_nothing_is_read(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    put(fleet, days_ago(1))
    monkeypatch.setattr(catalog, "document", lambda store, name: pytest.fail(f"{name} was read"))
    assert len(prune(fleet, PLAN).kept) == 1


def test_an_empty_plan_is_an_empty_answer(fleet: Fleet) -> None:
    pruned = prune(fleet, PLAN)
    assert (pruned.kept, pruned.removed, pruned.problems) == ((), (), ())


def test_what_is_not_ours_in_a_store_stays(stocked: Fleet, tmp_path: Path) -> None:
    for name in ("shop/daily/README", "shop/weekly/backup_2001-01-01_020000.manifest.json", "notes.txt"):
        stocked.store("near").put(name, [b"mine"])
    prune(stocked, PLAN)
    assert [(tmp_path / "near" / name).read_bytes() for name in ("shop/daily/README", "notes.txt")] == [b"mine"] * 2


def test_a_backup_under_a_second_kind_is_decided_by_that_kind(fleet: Fleet) -> None:
    moment: datetime = days_ago(40)
    for kind in ("daily", "monthly"):
        put(fleet, moment, kind)  # type: ignore[arg-type]
    for days in (1, 2):
        put(fleet, days_ago(days))
    prune(fleet, PLAN)
    kinds = sorted(each.key.split("/")[1] for each in fleet.store("near").list() if MANIFEST in each.key)
    assert kinds == ["daily", "daily", "monthly"]
