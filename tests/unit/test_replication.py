"""What replication decides, without a store: who lacks what, where it comes from, what a person must look at."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backproof.naming import backup_id
from backproof.records import Backup, Copy, Kind
from backproof.replication import Outlook, Said, outlook

STORES = ("near", "one", "two")
AT = datetime(2025, 11, 7, 2, 0, tzinfo=UTC)
SAID = Said(stored_bytes=100, stored_sha256="a" * 64)
OTHER = Said(stored_bytes=100, stored_sha256="b" * 64)
WRONG = Said(wrong="it is not signed by a key this fleet trusts")
PROOF = (AT + timedelta(minutes=15), "passed")


def copy(store: str, **more: Any) -> Copy:
    return Copy(**{"store": store, "archive": True, "manifest": True, "stored_bytes": 100} | more)


def backup(*copies: Copy, day: int = 0, kind: Kind = "daily") -> Backup:
    taken_at = AT + timedelta(days=day)
    return Backup(plan="shop", id=backup_id(taken_at), kind=kind, taken_at=taken_at, copies=copies)


def looked(*backups: Backup, said: dict[str, Said] | None = None, **more: Any) -> Outlook:
    """Every manifest says the same, but for what is said."""
    found = {
        (each.id, each.kind): {c.store: (said or {}).get(c.store, SAID) for c in each.copies if c.manifest}
        for each in backups
    }
    return outlook("shop", STORES, backups, found, more.pop("unreachable", {}), **more)


def test_where_all_is_whole_nothing_is_to_be_done() -> None:
    found = looked(backup(*map(copy, STORES)))
    assert (found.steps, found.alarms) == ((), ())
    assert found.rows[0].cells == dict.fromkeys(STORES, "whole")


def test_the_newest_backup_is_brought_first_and_proven_copies_are_read_first() -> None:
    older = backup(copy("near"), copy("one", verdict="passed"))
    newer = backup(copy("two"), day=1)
    found = looked(older, newer)
    assert [(step.backup, step.target, step.sources) for step in found.steps] == [
        (newer.id, "near", ("two",)),
        (newer.id, "one", ("two",)),
        (older.id, "two", ("one", "near")),
    ]
    assert all((step.archive, step.manifest) == ("copy", True) for step in found.steps)


def test_a_copy_that_lost_its_manifest_is_checked_and_is_read_last() -> None:
    found = looked(backup(copy("near", manifest=False), copy("one")))
    near, two = found.steps
    assert (near.target, near.archive, near.manifest, near.described_by) == ("near", "check", True, ("one",))
    assert (two.target, two.sources) == ("two", ("one", "near"))
    assert found.rows[0].cells == {"near": "incomplete", "one": "whole", "two": "missing"}


def test_an_archive_that_is_lost_is_copied_and_its_manifest_left() -> None:
    (step,) = looked(backup(copy("near"), copy("one", archive=False, stored_bytes=None), copy("two"))).steps
    assert (step.target, step.archive, step.manifest) == ("one", "copy", False)


def test_proofs_go_where_they_are_missing() -> None:
    found = looked(backup(copy("near", proofs=(PROOF,)), copy("one"), copy("two", proofs=(PROOF,))))
    (step,) = found.steps
    assert (step.target, step.archive, step.manifest) == ("one", "keep", False)
    assert [(each.finished_at, each.verdict, each.stores) for each in step.proofs] == [(*PROOF, ("near", "two"))]


def test_a_pin_goes_where_it_is_missing_even_where_nothing_else_can() -> None:
    found = looked(backup(copy("near", pinned=True), copy("one"), copy("two", pinned=True)))
    (step,) = found.steps
    assert (step.target, step.archive, step.manifest, step.pinned_in) == ("one", "keep", False, ("near", "two"))
    found = looked(backup(copy("near", verdict="failed", proofs=(PROOF,), pinned=True)))
    assert [(step.target, step.archive, step.proofs, step.pinned_in) for step in found.steps] == [
        ("one", "keep", (), ("near",)),
        ("two", "keep", (), ("near",)),
    ]


def test_what_differs_is_touched_by_nobody() -> None:
    found = looked(backup(copy("near"), copy("one", proofs=(PROOF,))), said={"one": OTHER})
    assert found.steps == ()
    assert [(alarm.what, alarm.stores) for alarm in found.alarms] == [("differ", ("near", "one"))]
    assert found.rows[0].cells == {"near": "damaged", "one": "damaged", "two": "missing"}


def test_a_manifest_that_does_not_count_is_named_and_its_store_left_alone() -> None:
    found = looked(backup(copy("near"), copy("one")), said={"one": WRONG})
    assert [step.target for step in found.steps] == ["two"]
    assert found.steps[0].sources == ("near", "one")
    (alarm,) = found.alarms
    assert (alarm.what, alarm.stores) == ("damaged", ("one",))
    assert "shop/daily/backup_2025-11-07_020000.manifest.json in one does not count" in alarm.fact


def test_without_any_manifest_that_counts_nothing_is_done() -> None:
    found = looked(backup(copy("near")), said={"near": WRONG})
    assert found.steps == ()
    assert [alarm.what for alarm in found.alarms] == ["damaged"]


def test_a_damaged_copy_is_no_source_gets_proofs_only_and_is_named() -> None:
    found = looked(backup(copy("near", proofs=(PROOF,)), copy("one", stored_bytes=99), copy("two", verdict="failed")))
    assert [(alarm.what, alarm.stores) for alarm in found.alarms] == [("damaged", ("one",)), ("damaged", ("two",))]
    assert "99 bytes long where its manifest says 100" in found.alarms[0].fact
    assert "failed its proof" in found.alarms[1].fact
    assert [(step.target, step.archive, step.manifest) for step in found.steps] == [
        ("one", "keep", False),
        ("two", "keep", False),
    ]


def test_where_no_good_copy_is_left_that_is_told() -> None:
    found = looked(backup(copy("near", verdict="failed")))
    assert found.steps == ()
    assert [alarm.what for alarm in found.alarms] == ["damaged", "no good copy"]
    assert "one, two lack it" in found.alarms[1].fact


def test_an_unreachable_store_is_neither_written_nor_read() -> None:
    found = looked(backup(copy("near"), copy("two")), unreachable={"two": "no connection"})
    assert [(step.target, step.sources) for step in found.steps] == [("one", ("near",))]
    assert found.rows[0].cells == {"near": "whole", "one": "missing", "two": "unknown"}


def test_nothing_is_copied_that_retention_is_about_to_delete() -> None:
    old, young = backup(copy("near")), backup(copy("near"), day=1)
    found = looked(old, young, leaving=frozenset({(old.id, old.kind)}))
    assert {step.backup for step in found.steps} == {young.id}
    assert found.left_to_retention == (old.id,)
    assert [row.backup for row in found.rows] == [young.id]


def test_the_same_moment_in_two_kinds_is_two_backups() -> None:
    found = looked(backup(copy("near")), backup(copy("one"), kind="monthly"))
    assert {(step.kind, step.target) for step in found.steps} == {
        ("daily", "one"),
        ("daily", "two"),
        ("monthly", "near"),
        ("monthly", "two"),
    }


COPIES = st.builds(
    lambda archive, manifest, verdict, length, proofs, pinned: {
        "archive": archive,
        "manifest": manifest,
        "verdict": verdict,
        "stored_bytes": length if archive else None,
        "proofs": proofs,
        "pinned": pinned,
    },
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "passed", "failed"]),
    st.sampled_from([100, 100, 100, 99]),
    st.sampled_from([(), (PROOF,)]),
    st.booleans(),
)


@given(
    st.lists(COPIES, min_size=3, max_size=3), st.lists(st.sampled_from([SAID, SAID, SAID, OTHER, WRONG]), min_size=3)
)
def test_whatever_is_found_nothing_is_overwritten_and_nothing_bad_is_read(
    copies: list[dict[str, Any]], said: list[Said]
) -> None:
    held = {store: copy(store, **each) for store, each in zip(STORES, copies, strict=True)}
    found = looked(backup(*held.values()), said=dict(zip(STORES, said, strict=False)))
    for step in found.steps:
        there = held[step.target]
        assert not (step.archive == "copy" and there.archive)
        assert not (step.manifest and there.manifest)
        assert not any((proof.finished_at, proof.verdict) in there.proofs for proof in step.proofs)
        assert not (step.pinned_in and there.pinned)
        assert all(held[source].pinned for source in step.pinned_in)
        assert step.target not in step.sources or step.archive != "copy"
        for source in step.sources:
            assert held[source].archive
            assert held[source].stored_bytes == step.stored_bytes
            assert held[source].verdict != "failed"
