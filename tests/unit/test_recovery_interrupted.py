"""What is said of a recovery that was interrupted, by what its journal holds."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from backproof.recovery.context import Mode, Recovery, surroundings
from backproof.recovery.entries import JournalEntry
from backproof.recovery.interrupted import left
from backproof.recovery.journal import WHOLE, opened
from backproof.recovery.naming import recovery_id
from tests.support.fleets import PLAN, fleet_of
from tests.support.histories import NOWHERE
from tests.support.manifests import request_of

NOW = datetime(2026, 4, 7, 9, tzinfo=UTC)
NAME = recovery_id(NOW)
RESUME, ROLLBACK = f"`backproof recover --resume {NAME}` goes on", f"`backproof rollback {NAME} --reason '…'`"


@pytest.mark.parametrize(
    ("mode", "entries", "said"),
    [
        ("swap", "restore begun", ("shop is as it was; the application is not in maintenance", RESUME, ROLLBACK)),
        ("swap", "maintenance-on begun", ("shop is as it was; THE APPLICATION IS IN MAINTENANCE",)),
        ("swap", "exchange begun", ("shop may be what it was, or what was restored",)),
        (
            "swap",
            "exchange begun, exchange done",
            ("shop is what was restored, and old what was live before", ROLLBACK),
        ),
        ("swap", "exchange begun, rollback begun", ("shop is being taken back", f"{RESUME} taking it back")),
        ("swap", "exchange begun, rollback begun, back-exchange done", ("shop is what it was before",)),
        ("in-place", "drop begun", ("shop is gone, or restored in part", ROLLBACK)),
        ("in-place", "drop begun, restore done, maintenance-on done", ("shop is what was restored; THE APPLICATION",)),
        ("tables", "replace begun", ("a, b in shop is as it was",)),
        ("tables", "replace begun, replace noted", ("a, b in shop may be what it was, or what was restored",)),
        (
            "tables",
            "safety done, replace noted",
            (RESUME, "nothing takes it back", f"recovery give-up {NAME} --reason '…'` leaves"),
        ),
        ("tables", "safety done, replace noted, rollback begun", ("nothing takes it back", f"give-up {NAME}")),
        ("salvage", "salvage begun", ("may be what it was", RESUME, f"recovery give-up {NAME} --reason '…'`")),
        ("swap", "recovery closed", ("has ended (recovered), and that stands",)),
    ],
)
def test_it_is_said_what_is_live_and_how_to_go_on(
    mode: Mode, entries: str, said: tuple[str, ...], tmp_path: Path
) -> None:
    recovery = _recovery(mode, tmp_path)
    for entry in entries.split(", "):
        step, what = entry.split()
        recovery.journal.write(step, what, {"result": "recovered"})  # type: ignore[arg-type]
    sentence = left(recovery)
    assert [part for part in said if part not in sentence] == [], sentence
    assert (ROLLBACK in sentence) <= (mode != "salvage")


def test_nothing_is_said_of_a_maintenance_that_the_plan_does_not_know(tmp_path: Path) -> None:
    recovery = _recovery("swap", tmp_path, application=None)
    recovery.journal.write("maintenance-on", "done")
    assert "nothing keeps the application from writing" in left(recovery)


def _recovery(mode: Mode, folder: Path, **plan: object) -> Recovery:
    stopped = {"directory": str(folder), "maintenance_on": ["true"], "maintenance_off": ["true"]}
    fleet = fleet_of(NOWHERE, folder, **{"application": stopped, **plan})
    tables = ("a", "b") if mode == "tables" else ()
    request = request_of(plan=PLAN, mode=mode, beside="new", aside="old", tables=tables)
    facts = request.model_dump(mode="json")
    first = JournalEntry(plan=PLAN, recovery=NAME, number=0, step=WHOLE, what="opened", at=NOW, facts=facts)
    around = surroundings(folder / "state")
    return Recovery(fleet, opened([around.local], fleet.signer, first, lambda: NOW), around)
