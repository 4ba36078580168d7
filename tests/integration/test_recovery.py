"""Recovery on real servers, the same for every engine: the database comes back, or nothing has changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import pytest

from backproof import catalog
from backproof.errors import Busy, DumpFailed, NotFound, Obstructed, StoreUnavailable
from backproof.records import Manifest, Target
from backproof.recovery import sealing
from backproof.recovery.context import Recovery
from backproof.recovery.needing import needed
from backproof.recovery.opening import propose
from backproof.recovery.report import report
from backproof.recovery.run import carry_out, perform, take_back
from backproof.recovery.setting_aside import discard, remains
from backproof.recovery.steps import Step
from tests.support.fleets import PLAN
from tests.support.recovering import Live, World, on_each_engine, steps_done

DAMAGES = {
    "rows deleted": "DELETE FROM child WHERE id > 100",
    "table dropped": "DROP VIEW seen; DROP TABLE child",
    "column overwritten": "UPDATE parent SET name = 'gone'",
}


made = on_each_engine()


@pytest.fixture
def live(made: World) -> Iterator[Live]:
    yield made.live()
    made.clean()


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_database_is_what_the_backup_holds_and_the_damaged_one_is_set_aside(live: Live, damage: str) -> None:
    whole = live.content()
    live.run(damage)
    damaged = live.content()
    recovery, outcome = live.recover()
    assert (outcome.result, outcome.why, outcome.problems) == ("recovered", "", ())
    assert live.content() == whole
    assert live.content(recovery.request.aside) == damaged
    assert live.application.told == ["commands", "on", "tests", "off"]
    made = report(recovery.journal, recovery.manifest(), live.fleet.plan(PLAN).objectives.rto)
    assert {point.status for point in made.checklist} == {"pass"}
    assert made.set_aside == recovery.request.aside
    safety = {backup.id: backup for backup in catalog.backups(live.fleet, PLAN) if backup.kind == "safety"}
    assert safety[made.safety_backups[-1]].proven_at is not None


def test_a_lost_database_comes_back(live: Live) -> None:
    whole = live.content()
    live.fleet.engine(PLAN).drop(live.target)
    recovery, outcome = live.recover()
    assert (outcome.result, outcome.problems) == ("recovered", ())
    assert live.content() == whole
    assert "keep" not in steps_done(recovery)


def test_rights_that_a_lost_database_comes_back_without_are_told_and_those_of_a_live_one_stay(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the administrator may not give them to others."""
    engine = live.fleet.engine(PLAN)
    apply_globals = engine.apply_globals

    def refused(_: object, target: Target, manifest: Manifest) -> list[str]:
        done = apply_globals(target, manifest)
        beside = target.database.startswith(f"{live.target.database}_recovered")
        return [f"rights on {target.database} could not be applied"] if beside else done

    monkeypatch.setattr(type(engine), "apply_globals", refused)
    _, outcome = live.recover()
    assert (outcome.result, outcome.problems) == ("recovered", ())
    engine.drop(live.target)
    _, outcome = live.recover()
    assert (outcome.result, outcome.problems) == (
        "recovered",
        (f"rights on {live.target.database} could not be applied",),
    )


def test_a_live_database_that_cannot_be_dumped_is_recovered_and_set_aside_for_good(live: Live) -> None:
    whole = live.content()
    with _undumpable():
        recovery, outcome = live.recover()
    assert outcome.result == "recovered"
    assert "set aside" in outcome.problems[0]
    assert live.content() == whole
    with pytest.raises(Obstructed, match="no proven backup"):
        remains(live.again(recovery.journal.recovery))
    assert recovery.request.aside in live.world.databases()


@contextmanager
def _undumpable() -> Iterator[None]:
    """As a view on a table that was dropped makes a schema of MariaDB."""
    with pytest.MonkeyPatch.context() as patch:

        def seal(*_: Any, **__: Any) -> NoReturn:
            raise DumpFailed("a view references a table that is gone", "Repair it.")

        patch.setattr(sealing, "seal", seal)
        yield


def test_in_place_the_database_is_dropped_once_a_safety_backup_of_it_is_proven(live: Live) -> None:
    whole = live.content()
    live.run(DAMAGES["rows deleted"])
    recovery, outcome = live.recover(mode="in-place")
    assert (outcome.result, outcome.why) == ("recovered", "")
    assert live.content() == whole
    done = steps_done(recovery)
    assert done.index("safety") < done.index("drop") < done.index("restore")
    assert recovery.journal.facts("safety")["proven"] is True


@pytest.mark.parametrize(
    ("mode", "number"), [*(("swap", number) for number in (1, 4, 6, 7, 8, 9, 10)), ("in-place", 5), ("in-place", 7)]
)
def test_whatever_step_fails_the_live_database_is_as_before(made: World, mode: str, number: int) -> None:
    live = made.live(verify_on="server", stores=["near"])
    live.run(DAMAGES["column overwritten"])
    before, databases = live.content(), live.world.databases()
    recovery = live.begin(mode=mode)
    outcome = carry_out(recovery, _failing_at(number))
    assert outcome.result in ("nothing changed", "rolled back"), outcome
    assert live.content() == before
    assert live.world.databases() - {recovery.request.beside} == databases
    made.clean()


def _failing_at(number: int):  # type: ignore[no-untyped-def]
    left = iter(range(1, number + 1))

    def run_step(recovery: Recovery, step: Step) -> None:
        perform(recovery, step)
        if not step.name.startswith("back-") and next(left, 0) == number:
            raise StoreUnavailable("the test says so")

    return run_step


def test_a_recovery_that_ended_is_taken_back_later_and_what_was_written_since_is_kept(live: Live) -> None:
    live.run(DAMAGES["column overwritten"])
    before = live.content()
    recovery, _ = live.recover()
    live.run("INSERT INTO bare VALUES (4711)")
    since = live.content()
    outcome = take_back(recovery, "it was the wrong one", "tester")
    assert (outcome.result, outcome.also, outcome.problems) == ("rolled back", "", ())
    assert live.content() == before
    assert live.content(recovery.request.beside) == since
    assert recovery.journal.facts("back-safety")["backup"] in {each.id for each in catalog.backups(live.fleet, PLAN)}


def test_what_users_wrote_before_the_watch_failed_is_kept_until_it_is_discarded(made: World) -> None:
    live = made.live(verify_on="server", stores=["near"], application={"watch": {"urls": ["http://127.0.0.1:9/"]}})
    before = live.content()
    recovery, outcome = live.recover()
    assert (outcome.result, outcome.problems) == ("rolled back", ())
    assert "errors within the watch" in outcome.why
    assert live.content() == before
    assert live.application.told == ["commands", "on", "tests", "off", "on", "off"]
    what = remains(live.again(recovery.journal.recovery))
    assert what.database == recovery.request.beside
    discard(live.again(recovery.journal.recovery), what)
    assert what.database not in live.world.databases()
    made.clean()


def test_retention_keeps_what_a_recovery_under_way_needs(live: Live) -> None:
    recovery = live.begin()
    assert live.world.backup in needed(live.fleet, PLAN)
    assert carry_out(recovery).result == "recovered"
    assert needed(live.fleet, PLAN) == {}


def test_a_second_recovery_is_refused_while_one_has_not_ended(live: Live) -> None:
    first = live.begin()
    with pytest.raises(Obstructed, match=first.journal.recovery):
        live.begin()
    with (
        live.fleet.engine(PLAN).recovery_lock(live.target, PLAN),
        pytest.raises(Busy, match=f"recovery of plan {PLAN}"),
    ):
        carry_out(first)
    assert carry_out(first).result == "recovered"
    live.begin()


def test_what_was_set_aside_is_discarded_once_a_proven_backup_holds_it(live: Live) -> None:
    recovery, _ = live.recover()
    again = live.again(recovery.journal.recovery)
    what = remains(again)
    assert what.database == recovery.request.aside
    discard(again, what)
    assert what.database not in live.world.databases()
    with pytest.raises(NotFound, match="nothing"):
        remains(live.again(recovery.journal.recovery))


def test_what_is_proposed_names_the_backup_what_is_lost_and_the_time(live: Live) -> None:
    proposal = propose(live.fleet, PLAN, datetime.now(UTC))
    assert proposal.backup.id == live.world.backup
    assert proposal.expected is not None
    assert proposal.expected.total_seconds() > 0
    assert not proposal.lost
    assert "is yet to come" not in str(proposal.warnings)
    ahead = propose(live.fleet, PLAN, datetime.now(UTC), before=datetime.now(UTC) + timedelta(hours=1))
    assert (ahead.backup.id, "is yet to come" in str(ahead.warnings)) == (live.world.backup, True)
    with pytest.raises(NotFound, match="no proven backup before"):
        propose(live.fleet, PLAN, datetime.now(UTC), before=datetime(2020, 1, 1, tzinfo=UTC))
