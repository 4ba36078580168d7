"""The report of a recovery, read from entries that nobody had to wait for."""

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backproof.archive.signing import Signer
from backproof.fleet.specs import RecoveryTimesSpec
from backproof.recovery.entries import Facts, JournalEntry
from backproof.recovery.journal import WHOLE, Journal
from backproof.recovery.naming import What
from backproof.recovery.report import RecoveryReport, report
from backproof.stores.local import LocalStore
from deployments.cli.recovery_in_words import say_report
from tests.support.manifests import TAKEN_AT, manifest_of, request_of

BEGAN = TAKEN_AT + timedelta(hours=12)
ASKED = request_of()
DONE: tuple[tuple[str, What, int, Facts], ...] = (
    ("safety", "done", 5, {"backup": "backup_a"}),
    ("maintenance-on", "begun", 10, {}),
    ("maintenance-off", "done", 13, {}),
    ("keep", "done", 20, {"backup": "backup_a", "rows written since the backup": {"orders": -49900, "log": 1}}),
    (WHOLE, "closed", 30, {"result": "recovered"}),
)
BACK: tuple[tuple[str, What, int, Facts], ...] = (
    ("rollback", "begun", 100, {"why": "hm", "later": True}),
    ("back-maintenance-on", "begun", 100, {}),
    ("back-maintenance-off", "done", 104, {}),
    (WHOLE, "closed", 110, {"result": "rolled back", "why": "hm"}),
)


def reported(folder: Path, said: tuple[tuple[str, What, int, Facts], ...]) -> RecoveryReport:
    """Of entries, each so many seconds after the first."""
    opened: tuple[str, What, int, Facts] = (WHOLE, "opened", 0, ASKED.model_dump(mode="json"))
    entries = [
        JournalEntry(
            plan="shop",
            recovery="recovery_2025-11-07_140000",
            number=number,
            step=step,
            what=what,
            at=BEGAN + timedelta(seconds=seconds),
            facts=facts,
        )
        for number, (step, what, seconds, facts) in enumerate((opened, *said))
    ]
    places = [LocalStore("this machine", folder)]
    journal = Journal(places, Signer(secrets.token_bytes(32)), entries, lambda: datetime.now(UTC))
    return report(journal, manifest_of(), RecoveryTimesSpec())


def test_a_safety_backup_that_two_steps_name_is_one(tmp_path: Path) -> None:
    assert reported(tmp_path, DONE).safety_backups == ("backup_a",)


def test_a_rollback_later_stops_the_application_once_more(tmp_path: Path) -> None:
    assert reported(tmp_path, DONE).maintenance_seconds == 3
    assert reported(tmp_path, DONE + BACK).maintenance_seconds == 7


def test_one_that_was_taken_back_at_once_stopped_it_until_then(tmp_path: Path) -> None:
    assert reported(tmp_path, (*DONE[:2], *BACK)).maintenance_seconds == 94
    assert reported(tmp_path, DONE[:1]).maintenance_seconds is None


def test_at_its_end_both_ways_on_are_named_and_rows_are_counted_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say_report(reported(tmp_path, DONE))
    said = capsys.readouterr().out
    assert "`backproof rollback recovery_2025-11-07_140000` brings it back" in said
    assert "`backproof recovery discard recovery_2025-11-07_140000` removes it" in said
    assert "orders: 49,900 fewer" in said
    assert "log: 1 more" in said
