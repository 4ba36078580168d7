"""What the stores show for the rollback checklist: who was told, and what is recorded of the quarter's recoveries."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backproof.records import Target
from backproof.recovery.context import Surroundings
from backproof.recovery.human_steps import HUMAN, naming, ticking
from backproof.recovery.journal import Journal
from backproof.recovery_test.context import Rehearsal
from backproof.recovery_test.evidence import CAUSES, NOTIFIED, SAFETY, rollback_evidence
from backproof.stores.local import LocalStore
from tests.support.fleets import PLAN, fleet_of
from tests.support.rehearsing import ALTERNATIVE, ROOT, a_recovery

NOW = datetime(2026, 4, 7, 9, tzinfo=UTC)


def rehearsal(folder: Path, told: Sequence[str] = (), **plan: Any) -> Rehearsal:
    target = Target(host="127.0.0.1", port=1, database="shop", user="nobody")
    around = Surroundings(local=LocalStore("this machine", folder / "here"), outputs=folder, now=lambda: NOW)
    made = Rehearsal(fleet_of(target, folder, **plan), PLAN, around)
    made.told = tuple(told)
    return made


def recovered(under: Rehearsal, at: datetime, *notes: str) -> Journal:
    """A recovery that has ended, and what people wrote down of it."""
    return a_recovery(under.fleet, [under.around.local, *under.fleet.stores(PLAN)], at, *notes)


@pytest.mark.parametrize(
    ("notes", "status", "lacks"),
    [
        ((ROOT, ALTERNATIVE), "pass", ()),
        ((f"{ROOT}; {ALTERNATIVE}",), "pass", ()),
        ((ROOT,), "fail", ("the alternative plan",)),
        ((ALTERNATIVE,), "fail", ("the root cause",)),
        ((), "fail", ("the root cause", "the alternative plan")),
    ],
)
def test_a_recovery_of_the_quarter_needs_its_cause_and_an_alternative(
    tmp_path: Path, notes: tuple[str, ...], status: str, lacks: tuple[str, ...]
) -> None:
    under = rehearsal(tmp_path)
    journal = recovered(under, NOW - timedelta(days=30), *notes)
    rollback_evidence(under)
    point = under.points[CAUSES]
    assert (point.status, journal.recovery in point.evidence) == (status, True)
    assert all(each in point.evidence for each in lacks)


def test_a_ticked_cause_counts(tmp_path: Path) -> None:
    under = rehearsal(tmp_path)
    journal = recovered(under, NOW - timedelta(days=1), ALTERNATIVE)
    journal.write(HUMAN, "noted", naming("deletion", "Ada"))
    journal.write(HUMAN, "noted", ticking(journal.entries, "cause", "Ada", NOW, NOW))
    rollback_evidence(under)
    assert under.points[CAUSES].status == "pass"


def test_recoveries_of_earlier_quarters_are_over(tmp_path: Path) -> None:
    under = rehearsal(tmp_path)
    recovered(under, NOW - timedelta(days=120))
    rollback_evidence(under)
    assert (under.points[CAUSES].status, under.points[CAUSES].evidence) == (
        "pass",
        "there was no recovery since 2026-01-05",
    )


def test_without_a_proven_backup_there_is_nothing_to_go_back_to(tmp_path: Path) -> None:
    under = rehearsal(tmp_path)
    rollback_evidence(under)
    assert under.points[SAFETY].status == "fail"


def test_of_a_point_the_worst_holds(tmp_path: Path) -> None:
    under = rehearsal(tmp_path)
    for status, kept in (("pass", "pass"), ("not run", "not run"), ("pass", "not run"), ("fail", "fail")):
        under.judge("a point", status, status)
        assert under.points["a point"].status == kept
    under.judge("a point", "not run", "later")
    assert (under.points["a point"].status, under.points["a point"].evidence) == ("fail", "fail")


@pytest.mark.parametrize(
    ("told", "names", "status"),
    [(("team",), ("team",), "pass"), ((), ("team",), "fail"), ((), (), "not run")],
)
def test_somebody_was_told_or_nobody_is_named(
    tmp_path: Path, told: tuple[str, ...], names: tuple[str, ...], status: str
) -> None:
    under = rehearsal(tmp_path, told, notify={"report": list(names)})
    rollback_evidence(under)
    assert under.points[NOTIFIED].status == status
