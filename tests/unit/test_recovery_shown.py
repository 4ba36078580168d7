"""What is shown of a recovery's steps: what will happen, and of what will not, why."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backproof.recovery.context import Mode, Recovery, surroundings
from backproof.recovery.entries import JournalEntry
from backproof.recovery.journal import ROLLBACK, WHOLE, opened
from backproof.recovery.naming import recovery_id
from backproof.recovery.rollback import rollback_steps
from backproof.recovery.run import perform
from backproof.recovery.steps import OFF, ON, Step
from backproof.recovery.ways import way
from tests.support.fleets import PLAN, fleet_of
from tests.support.histories import NOWHERE
from tests.support.manifests import request_of

NOW = datetime(2026, 4, 7, 9, tzinfo=UTC)
WHOLE_APPLICATION: dict[str, Any] = {
    "maintenance_on": ["true"],
    "maintenance_off": ["true"],
    "health_url": "http://127.0.0.1:1/up",
    "watch": {"minutes": 1, "urls": ["http://127.0.0.1:1/up"]},
}


def under_way(folder: Path, mode: Mode, why_not_sealed: str = "", **plan: Any) -> tuple[Recovery, list[str]]:
    """A recovery that has begun, and what it says."""
    said: list[str] = []
    fleet = fleet_of(NOWHERE, folder, **plan)
    tables = ("a",) if mode == "tables" else ()
    request = request_of(plan=PLAN, mode=mode, tables=tables, no_safety_backup=why_not_sealed)
    first = JournalEntry(
        plan=PLAN,
        recovery=recovery_id(NOW),
        number=0,
        step=WHOLE,
        what="opened",
        at=NOW,
        facts=request.model_dump(mode="json"),
    )
    around = surroundings(folder / "state", say=said.append)
    return Recovery(fleet, opened([around.local], fleet.signer, first, lambda: NOW), around), said


def idle(recovery: Recovery, *steps: Step) -> dict[str, str]:
    """Each step that has nothing to do, as it is shown."""
    return {each.name: shown for each in steps if "nothing to do" in (shown := each.shown(recovery))}


def there(recovery: Recovery) -> dict[str, str]:
    return idle(recovery, *(step for group in way(recovery) for step in group))


def back(recovery: Recovery) -> dict[str, str]:
    return idle(recovery, *(step for group in rollback_steps(recovery) for step in group))


@pytest.mark.parametrize("mode", ["swap", "in-place", "tables"])
def test_a_plan_that_names_nothing_has_little_to_do_and_that_is_said(mode: Mode, tmp_path: Path) -> None:
    recovery, _ = under_way(tmp_path, mode, "its view is broken")
    kept = {"keep", "drop-kept"} if mode == "tables" else set()
    assert set(there(recovery)) == {"notify", "maintenance-on", "safety", "trial", "maintenance-off", "watch"} | kept
    said = there(recovery)
    assert said["safety"].endswith("a safety backup: nothing to do, since its view is broken")
    assert said["maintenance-on"] == (
        "maintenance on: nothing to do, since the plan names no application.maintenance_on"
    )
    assert said["trial"].endswith("the plan names no application.tests and no application.health_url")


@pytest.mark.parametrize("mode", ["swap", "in-place", "tables"])
def test_what_there_is_to_do_is_shown_as_it_is(mode: Mode, tmp_path: Path) -> None:
    application = {"directory": str(tmp_path), **WHOLE_APPLICATION}
    recovery, _ = under_way(tmp_path, mode, application=application)
    assert set(there(recovery)) == {"notify"}, "nobody is to be told, in this fleet"


@pytest.mark.parametrize(("mode", "changed"), [("swap", "exchange"), ("in-place", "drop"), ("tables", "replace")])
def test_of_what_is_taken_back_too_only_what_was_done_is_shown(mode: Mode, changed: str, tmp_path: Path) -> None:
    application = {"directory": str(tmp_path), **WHOLE_APPLICATION}
    recovery, _ = under_way(tmp_path, mode, application=application)
    changing = {"swap": "back-exchange", "in-place": "back-restore", "tables": "back-replace"}[mode]
    recovery.journal.write(ROLLBACK, "begun", {"later": False})
    assert set(back(recovery)) == {"back-maintenance-on", "back-safety", changing, "back-notify"}
    recovery.journal.write(changed, "noted" if mode == "tables" else "begun")
    assert set(back(recovery)) == {"back-maintenance-on", "back-safety", "back-notify"}
    recovery.journal.write("maintenance-off", "begun")
    assert set(back(recovery)) == {"back-notify"}, "users were let at it"


def test_whoever_watches_hears_it(tmp_path: Path) -> None:
    recovery, said = under_way(tmp_path, "swap", application={"directory": str(tmp_path), "maintenance_on": ["true"]})
    for step in (ON, OFF, replace(ON, name="again")):
        perform(recovery, step)
    assert said == [
        "maintenance on …",
        "maintenance off: nothing to do, since the plan names no application.maintenance_off",
        "maintenance on …",
    ]
    assert recovery.journal.facts("maintenance-off") == {
        "maintenance_off": "not run: the plan names no application.maintenance_off"
    }
