"""What is wrong with a plan, a backup or an application: refused, or taken back. The live database is as before."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backproof.errors import BackproofError, NotFound
from backproof.operations.seal import seal
from backproof.recovery import application
from backproof.recovery.run import Outcome, take_back
from tests.support.fleets import PLAN
from tests.support.recovering import Live, World, on_each_engine

NEAR: dict[str, Any] = {"verify_on": "server", "stores": ["near"]}
NOBODY = "http://127.0.0.1:9/up"
"""Where nobody answers."""


made = on_each_engine()


class Damaged:
    """A live database that has gone on since its backup, and what there was before it is recovered."""

    def __init__(self, made: World, **plan: Any) -> None:
        self.live = made.live(**{**NEAR, **plan})
        self.live.run("DELETE FROM child WHERE id > 100")
        self.before, self.databases = self.live.content(), made.databases()

    def expect(self, outcome: Outcome, result: str, kept: str | None = None) -> None:
        """That a recovery ended so, and that what is live is as before; ``kept`` is left beside it."""
        assert outcome.result == result, outcome
        assert self.live.content() == self.before
        assert self.live.world.databases() - {kept} == self.databases, "nothing is left beside it"

    def expect_untouched(self, outcome: Outcome) -> None:
        """Neither the database nor what lives on it; whoever was told of a beginning is told of the end."""
        self.expect(outcome, "nothing changed")
        assert "on" not in self.live.application.told, "the application was not stopped"
        assert not self.live.messages or "nothing has changed" in self.live.messages[-1].subject

    def expect_taken_back(self, outcome: Outcome, kept: str | None = None) -> None:
        """And the application is up, and the team told."""
        self.expect(outcome, "rolled back", kept)
        assert self.live.application.told[-1] == "off", "the application is up"
        assert "taken back" in self.live.messages[-1].subject
        assert outcome.why in self.live.messages[-1].body


@pytest.fixture
def damaged(made: World) -> Iterator[Damaged]:
    yield Damaged(made)
    made.clean()


@pytest.mark.parametrize("failing", ["commands", "on", "tests"])
def test_a_command_of_the_application_that_fails_takes_all_of_it_back(damaged: Damaged, failing: str) -> None:
    damaged.live.application.fails(failing)
    _, outcome = damaged.live.recover()
    assert "ended with 1" in outcome.why
    if failing == "commands":
        damaged.expect_untouched(outcome)
    else:
        damaged.expect_taken_back(outcome)


def test_maintenance_that_does_not_end_at_once_takes_it_back_and_keeps_what_may_have_been_written(
    damaged: Damaged,
) -> None:
    damaged.live.application.fails("off", once=True)
    recovery, outcome = damaged.live.recover()
    damaged.expect_taken_back(outcome, kept=recovery.request.beside)
    assert outcome.problems == ()


def test_maintenance_that_does_not_end_at_all_is_told_with_both_errors_until_somebody_mends_it(
    damaged: Damaged,
) -> None:
    live = damaged.live
    live.application.fails("off")
    recovery, outcome = live.recover()
    damaged.expect(outcome, "rollback failed", kept=recovery.request.beside)
    for said in ("ended with 1", "Rollback: ", "maintenance stays on", recovery.journal.recovery):
        assert said in live.messages[-1].body
    live.application.works("off")
    damaged.expect_taken_back(
        take_back(live.again(recovery.journal.recovery), "mended", "tester"), recovery.request.beside
    )


def test_an_application_that_does_not_answer_is_told_and_what_was_live_is_live(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "_HEALTH_SECONDS", 0)
    damaged = Damaged(made, application={"health_url": NOBODY})
    _, outcome = damaged.live.recover()
    assert f"{NOBODY} answered" in outcome.why
    damaged.expect_taken_back(outcome)
    assert f"{NOBODY} answered" in outcome.problems[0], "it does not with what was live before, either"
    assert "does not answer" in damaged.live.messages[-1].body
    made.clean()


def test_a_check_of_the_plan_that_fails_changes_nothing(made: World) -> None:
    check = {"name": "nobody is missing", "sql": "SELECT count(*) FROM parent", "expect": "> 10"}
    damaged = Damaged(made, checks=[check])
    _, outcome = damaged.live.recover()
    damaged.expect_untouched(outcome)
    assert "nobody is missing: found 10, expected > 10" in outcome.why
    assert damaged.live.application.told == [], "nothing of it was run"
    made.clean()


def test_a_backup_of_another_plan_is_refused_by_its_id_and_in_the_place_of_one_of_ours(
    made: World, damaged: Damaged
) -> None:
    live = damaged.live
    folder = Path(live.fleet.stores(PLAN)[0].location())
    other = _other_plan(live)
    with pytest.raises(NotFound, match=other):
        live.begin(backup=other)
    for file in (folder / "other").rglob(f"{other}.*"):  # somebody lays it among ours
        laid = folder / PLAN / file.relative_to(folder / "other")
        laid.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, laid)
    with pytest.raises(BackproofError, match="other"):
        live.begin(backup=other)
    theirs, ours = (next((folder / plan).rglob(f"{name}.sql.gz.enc")) for plan, name in
                    (("other", other), (PLAN, made.backup)))  # fmt: skip
    ours.chmod(0o600)
    shutil.copy(theirs, ours)
    _, outcome = live.recover()
    damaged.expect_untouched(outcome)
    assert made.backup in outcome.why


def _other_plan(live: Live) -> str:
    """A plan of the same database, store and keys, and a backup of it."""
    spec = live.fleet.spec
    both = {**spec.plans, "other": spec.plans[PLAN]}
    fleet = type(live.fleet)(spec.model_copy(update={"plans": both}))
    return seal(fleet, "other", "daily").manifest.id
