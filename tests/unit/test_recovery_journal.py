"""The journal of a recovery, where its files are lost, damaged, old, signed by somebody else, or written twice."""

import secrets
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backproof.archive.signing import Signer
from backproof.errors import Busy, Damaged, NotFound
from backproof.recovery.entries import JournalEntry
from backproof.recovery.journal import ROLLBACK, WHOLE, Journal, find, journals, opened
from backproof.recovery.naming import recovery_id
from backproof.stores.local import LocalStore
from tests.support.fleets import PLAN

NOW = datetime(2026, 4, 7, 9, tzinfo=UTC)
NAME = recovery_id(NOW)
STEPS = ("check", "exchange")


class Machine:
    """A folder of this machine and one of a store."""

    def __init__(self, folder: Path) -> None:
        self.here, self.store = folder / "here", folder / "store"
        self.places = [LocalStore("this machine", self.here), LocalStore("near", self.store)]
        self.signer = Signer(secrets.token_bytes(32))
        first = JournalEntry(plan=PLAN, recovery=NAME, number=0, step=WHOLE, what="opened", at=NOW)
        self.journal = opened(self.places, self.signer, first, lambda: NOW)
        for step in STEPS:
            self.journal.write(step, "begun")
            self.journal.write(step, "done")

    def files(self, number: int, *folders: Path) -> list[Path]:
        """Of one entry."""
        return [file for folder in folders for file in folder.rglob(f"{NAME}.{number:04}_*.json")]

    def found(self, signer: Signer | None = None) -> Journal:
        """As another process finds it."""
        return find(self.places, signer or self.signer, PLAN, NAME, lambda: NOW)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def _cut(file: Path) -> None:
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-20])


def _changed(file: Path) -> None:
    file.chmod(0o600)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES = {"cut": _cut, "one bit changed": _changed, "deleted": Path.unlink}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("number", [0, 2, 4])
def test_an_entry_that_one_place_has_lost_is_read_from_the_other(machine: Machine, damage, number: int) -> None:  # type: ignore[no-untyped-def]
    for place in (machine.here, machine.store):
        other = machine.store if place is machine.here else machine.here
        (file,) = machine.files(number, place)
        damage(file)
        assert machine.found().entries == machine.journal.entries
        file.parent.mkdir(exist_ok=True)
        (good,) = machine.files(number, other)
        file.unlink(missing_ok=True)
        (file.parent / good.name).write_bytes(good.read_bytes())


@pytest.mark.parametrize("damage", [_cut, _changed])
@pytest.mark.parametrize("number", [2, 4])
def test_a_damaged_entry_is_named_and_nobody_goes_on_without_it(machine: Machine, damage, number: int) -> None:  # type: ignore[no-untyped-def]
    for file in machine.files(number, machine.here, machine.store):
        damage(file)
    with pytest.raises(Damaged, match=rf"\.{number:04}_.* in this machine is damaged"):
        machine.found()


def test_an_entry_in_the_middle_that_is_gone_is_missed(machine: Machine) -> None:
    for file in machine.files(2, machine.here, machine.store):
        file.unlink()
    with pytest.raises(Damaged, match="gaps"):
        machine.found()


def test_an_old_state_of_the_store_takes_nothing_back(machine: Machine) -> None:
    for file in machine.files(3, machine.store) + machine.files(4, machine.store):
        file.unlink()
    assert machine.found().entries == machine.journal.entries
    machine.found().spread()
    for file in machine.files(3, machine.here) + machine.files(4, machine.here):
        file.unlink()
    assert machine.found().entries == machine.journal.entries


def test_an_entry_of_another_place_is_not_read_as_one_of_this(machine: Machine) -> None:
    """Such as "done" under the name of another step."""
    (done,) = machine.files(2, machine.store)
    (done.parent / done.name.replace("0002_check_done", "0005_exchange_done")).write_bytes(done.read_bytes())
    with pytest.raises(Damaged, match="0005_exchange_done"):
        machine.found()


def test_who_does_not_trust_the_key_is_told_that_there_is_something(machine: Machine) -> None:
    stranger = Signer(secrets.token_bytes(32))
    with pytest.raises(NotFound, match=r"5 entries of .* signed by a key that is not trusted"):
        machine.found(stranger)
    known, doubts = journals(machine.places, stranger, PLAN, lambda: NOW)
    assert (known, len(doubts)) == ([], 1)


def test_what_was_written_while_somebody_thought_is_taken_up_before_they_write(machine: Machine) -> None:
    thinking = machine.found()
    machine.journal.write("human", "noted", {"ticked": "assess"})
    thinking.refresh()
    thinking.write(ROLLBACK, "begun")
    assert [entry.number for entry in machine.found().entries] == list(range(7))
    assert machine.found().rolling_back


def test_two_who_did_not_see_each_other_both_count(machine: Machine) -> None:
    """As from two machines whose common store was away."""
    other = machine.found()
    machine.journal.write("human", "noted", {"ticked": "assess"})
    other.write(ROLLBACK, "begun")
    read = machine.found()
    assert len(read.entries) == 7
    assert read.rolling_back
    read.write("back-exchange", "begun")
    assert machine.found().entries[-1].step == "back-exchange"


def test_the_same_entry_is_written_once(machine: Machine) -> None:
    other = machine.found()
    machine.journal.write("watch", "begun")
    with pytest.raises(Busy, match="another process"):
        other.write("watch", "begun")


def test_a_journal_says_whether_the_application_was_left_stopped(machine: Machine) -> None:
    journal = machine.journal
    assert not journal.stopped
    for step, what, stopped in (
        ("maintenance-on", "begun", True),
        ("maintenance-on", "done", True),
        ("maintenance-off", "begun", True),
        ("maintenance-off", "done", False),
        ("back-maintenance-on", "begun", True),
        ("back-maintenance-off", "done", False),
    ):
        journal.write(step, what)  # type: ignore[arg-type]
        assert journal.stopped is stopped, (step, what)


def test_a_store_that_takes_no_entry_is_named_once_whatever_their_number(machine: Machine) -> None:
    machine.store.rename(machine.store.with_name("away"))
    machine.store.touch()
    for step in STEPS:
        machine.journal.write(step, "failed")
    [told] = machine.journal.doubts
    assert told.startswith("the journal could not be written to near (2 of its entries), last: ")
