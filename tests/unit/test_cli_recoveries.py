"""Recoveries at a terminal, on folder stores: what is said of one that nobody knows."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from backproof.recovery.context import places, surroundings
from backproof.recovery.entries import JournalEntry
from backproof.recovery.journal import opened
from deployments.cli import main
from deployments.cli.recovery_in_words import already
from tests.support.fleets import PLAN, built, described
from tests.support.histories import NOWHERE, days_ago, put
from tests.support.manifests import request_of

RECOVERY = "recovery_2026-01-01_000000"


@pytest.mark.parametrize(
    "command", [("rollback", "--reason", "x"), ("recovery", "show"), ("recovery", "give-up", "--reason", "x", "--yes")]
)
def test_a_recovery_that_no_plan_has_is_told_of_every_plan(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    description = described(NOWHERE, tmp_path)
    description["plans"]["blog"] = description["plans"][PLAN]
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(description))
    asked = ["--fleet", str(tmp_path / "fleet.yaml"), *command, "recovery_2026-01-01_000000"]
    result = CliRunner().invoke(main, asked, prog_name="backproof")
    assert result.exit_code == 1
    assert "no plan has a recovery recovery_2026-01-01_000000" in result.stderr
    assert [f"plan {plan} has no recovery" in result.stderr for plan in (PLAN, "blog")] == [True, True]
    assert "\\n" not in result.stderr
    asked.append(f"--plan={PLAN}")
    alone = CliRunner().invoke(main, asked, prog_name="backproof")
    assert "no plan has" not in alone.stderr
    assert f"plan {PLAN} has no recovery" in alone.stderr


def test_nothing_is_no_note(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(described(NOWHERE, tmp_path)))
    asked = ["--fleet", str(tmp_path / "fleet.yaml"), "recovery", "note", "recovery_2026-01-01_000000", "  "]
    result = CliRunner().invoke(main, asked, prog_name="backproof")
    assert (result.exit_code, "There is nothing to note" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("the deletion was earlier", "live: the deletion was earlier. It can't"),
        ("The disk is full.", "full. It"),
        ("", "before it is live. It"),
    ],
)
def test_of_a_recovery_that_has_ended_the_reason_is_a_sentence(why: str, told: str) -> None:
    closed = JournalEntry(
        plan=PLAN,
        recovery="recovery_2026-01-01_000000",
        number=9,
        step="recovery",
        what="closed",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        facts={"result": "rolled back", "why": why},
    )
    assert told in already(closed.recovery, PLAN, closed)


@pytest.fixture
def given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """A command about a recovery that somebody has given up, with the application in maintenance."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    description = described(NOWHERE, tmp_path)
    description["plans"][PLAN]["application"] = {
        "maintenance_on": ["touch", "closed"],
        "maintenance_off": ["rm", "-f", "it is closed"],
    }
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(description))
    fleet, around = built(description, tmp_path), surroundings(tmp_path / "state" / "backproof")
    asked = request_of(plan=PLAN, backup=put(fleet, days_ago(1)).id)
    first = JournalEntry(
        plan=PLAN,
        recovery=RECOVERY,
        number=0,
        step="recovery",
        what="opened",
        at=days_ago(1),
        facts=asked.model_dump(mode="json"),
    )
    journal = opened(places(fleet, PLAN, around.local), fleet.signer, first, around.now)
    journal.write("maintenance-on", "begun")
    journal.write("maintenance-on", "done", {"maintenance_on": "`touch closed` ended with 0"})
    journal.write("exchange", "begun")
    journal.write("recovery", "closed", {"result": "rollback failed", "why": "given up by ada: it burned down"})
    return lambda *words: CliRunner().invoke(
        main, ["--fleet", str(tmp_path / "fleet.yaml"), *words], prog_name="backproof"
    )


def test_of_one_that_was_given_up_is_told_that_the_application_still_stands_still(
    given_up: Callable[..., Result],
) -> None:
    shown = given_up("recovery", "show", RECOVERY)
    assert shown.exit_code == 0
    assert "LEFT IN MAINTENANCE" in shown.stderr
    assert "`rm -f 'it is closed'`" in shown.stderr


def test_one_that_was_given_up_is_not_taken_back_and_that_is_no_success(given_up: Callable[..., Result]) -> None:
    refused = given_up("rollback", RECOVERY, "--reason", "x", "--yes")
    assert refused.exit_code == 1
    assert "what is live may be anything: given up by ada: it burned down. It can't" in refused.stderr
