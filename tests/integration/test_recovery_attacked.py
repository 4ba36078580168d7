"""Who recovers is in a hurry, and not alone: what is done twice, late or out of turn loses nothing that was written."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from click.testing import CliRunner

from backproof import catalog
from backproof.errors import Busy, Hidden, Obstructed
from backproof.recovery.context import Recovery
from backproof.recovery.giving_up import give_up, left
from backproof.recovery.human_steps import HUMAN, naming
from backproof.recovery.noting import note
from backproof.recovery.run import carry_out, perform, take_back
from backproof.recovery.setting_aside import discard, remains
from backproof.recovery.steps import Step
from backproof.recovery.way_back import require_way_back
from deployments.cli import main
from tests.support.doctor import same
from tests.support.engine_harness import MYSQL, POSTGRESQL
from tests.support.fleets import PLAN, built
from tests.support.recovering import Live, World, on_each_engine

NEAR: dict[str, Any] = {"verify_on": "server", "stores": ["near"]}
ONE_ENGINE = pytest.mark.parametrize("made", [(POSTGRESQL, "postgres15")], ids=["postgresql"], indirect=True)


made = on_each_engine()


@pytest.fixture
def live(made: World) -> Iterator[Live]:
    found = made.live(**NEAR)
    found.run("UPDATE parent SET name = 'gone'")
    yield found
    made.clean()


def write(live: Live, number: int) -> None:
    """As users do."""
    live.run(f"INSERT INTO bare VALUES ({number})")


def written(live: Live, database: str | None = None) -> set[object]:
    """What they wrote, in the live database or another."""
    target = live.target.to(database) if database else live.target
    return {number for (number,) in live.world.harness.run(target, "SELECT id FROM bare")}


def expect_refused(live: Live, recovery: Recovery, match: str) -> Obstructed:
    """A rollback that has not begun: no command was run, nothing was changed, and it has not begun in the journal."""
    before, told, databases = live.content(), live.application.told, live.world.databases()
    entries = live.again(recovery.journal.recovery).journal.entries
    with pytest.raises(Obstructed, match=match) as refused:
        take_back(live.again(recovery.journal.recovery), "a test", "tester")
    assert (live.content(), live.application.told, live.world.databases()) == (before, told, databases)
    assert live.again(recovery.journal.recovery).journal.entries == entries
    return refused.value


def test_what_was_set_aside_and_is_gone_is_told_before_the_application_is_stopped(live: Live) -> None:
    recovery, _ = live.recover()
    write(live, 1)
    live.fleet.engine(PLAN).drop(live.target.to(recovery.request.aside))
    refused = expect_refused(live, recovery, f"{recovery.request.aside}, .* is gone")
    kept = str(recovery.journal.facts("keep")["backup"])
    assert f"backproof recover {PLAN} --backup {kept}" in refused.remedy
    assert live.recover(backup=kept)[1].result == "recovered", "as it says"
    assert live.run("SELECT count(*) FROM parent WHERE name = 'gone'") == [(10,)]


def test_an_older_recovery_is_not_taken_back_before_the_later_one(live: Live) -> None:
    first, _ = live.recover()
    second, _ = live.recover()
    write(live, 2)
    expect_refused(live, first, f"{second.journal.recovery} has replaced")
    for each in (second, first):
        outcome = take_back(live.again(each.journal.recovery), "a test", "tester")
        assert (outcome.result, outcome.problems) == ("rolled back", ())
    assert live.run("SELECT count(*) FROM parent WHERE name = 'gone'") == [(10,)]
    assert written(live, second.request.beside) == {2}


def test_two_who_take_it_back_do_it_once_and_what_was_noted_meanwhile_stays(live: Live) -> None:
    recovery, _ = live.recover()
    name = recovery.journal.recovery
    one, other, observer = live.again(name), live.again(name), live.again(name)
    what = remains(live.again(name))
    with live.again(name).alone(), pytest.raises(Busy):
        discard(live.again(name), what)
    note(live.again(name), HUMAN, naming("corruption", "ada"))
    assert take_back(one, "a test", "tester").result == "rolled back"
    write(live, 3)
    before, told = live.content(), live.application.told
    assert take_back(other, "a test", "another").result == "rolled back"
    with pytest.raises(Obstructed):
        discard(observer, what)
    assert (live.content(), live.application.told) == (before, told)
    entries = live.again(name).journal.entries
    assert [entry.number for entry in entries] == list(range(len(entries)))
    assert [entry.step for entry in entries].count(HUMAN) == 1


@pytest.mark.parametrize("mode", ["swap", "in-place"])
def test_a_database_that_somebody_made_since_it_was_lost_is_left_to_them(live: Live, mode: str) -> None:
    live.fleet.engine(PLAN).drop(live.target)
    recovery = live.begin(mode=mode)
    live.world.harness.run(live.world.server, f"CREATE DATABASE {live.target.database}")
    live.run("CREATE TABLE bare (id int)")
    write(live, 4)
    outcome = carry_out(recovery)
    assert outcome.result == "rolled back", outcome
    assert "there is one now" in outcome.why
    assert written(live) == {4}
    assert recovery.request.beside not in live.world.databases()


@ONE_ENGINE
def test_in_place_what_was_written_since_is_proven_before_it_goes_also_where_nothing_was(live: Live) -> None:
    live.fleet.engine(PLAN).drop(live.target)
    recovery, outcome = live.recover(mode="in-place")
    assert outcome.result == "recovered"
    write(live, 5)
    assert take_back(live.again(recovery.journal.recovery), "a test", "tester").result == "rolled back"
    assert live.target.database not in live.world.databases(), "as before"
    kept = live.again(recovery.journal.recovery).journal.facts("back-safety")
    assert kept["proven"] is True
    _, outcome = live.recover(backup=str(kept["backup"]))
    assert outcome.result == "recovered"
    assert written(live) == {5}


@ONE_ENGINE
def test_in_place_nobody_writes_any_more_when_what_was_written_is_sealed(live: Live) -> None:
    write(live, 6)
    recovery, _ = live.recover(mode="in-place")
    assert written(live) == set()
    write(live, 7)
    again = live.again(recovery.journal.recovery)
    assert take_back(again, "a test", "tester").result == "rolled back"
    assert written(live) == {6}
    done = [entry.step for entry in again.journal.entries if entry.what == "done"]
    assert done.index("back-maintenance-on") < done.index("back-safety") < done.index("back-restore")
    assert again.journal.facts("back-safety")["proven"] is True


@ONE_ENGINE
def test_in_place_a_safety_backup_that_is_gone_is_told_before_anything_is_dropped(live: Live) -> None:
    recovery, _ = live.recover(mode="in-place")
    safety = str(recovery.journal.facts("safety")["backup"])
    (store,) = live.fleet.stores(PLAN)
    for stored in list(store.list(f"{PLAN}/")):
        if safety in stored.key:
            store.delete(stored.key)
    expect_refused(live, recovery, "the safety backup is gone")


@ONE_ENGINE
def test_a_recovery_is_gone_on_with_on_the_server_it_began_on_alone(live: Live) -> None:
    recovery = live.begin(mode="in-place")
    description = json.loads(live.file.read_text())
    description["databases"]["shop-db"]["host"] = "localhost"
    moved = Recovery(built(description, live.file.parent), recovery.journal, live.around)
    description = json.loads(live.file.read_text())
    description["databases"]["shop-db"]["name"] = "another"
    renamed = Recovery(built(description, live.file.parent), recovery.journal, live.around)
    before = live.content()
    for act in (carry_out, lambda each: take_back(each, "a test", "tester")):
        for fleet, named in ((moved, "localhost"), (renamed, "database another on ")):
            with pytest.raises(Obstructed, match=f"and the fleet names {named}"):
                act(fleet)  # type: ignore[operator]
    assert live.content() == before
    assert give_up(moved, "the server is gone", "tester") == "nothing changed"
    assert live.recover()[1].result == "recovered"


@ONE_ENGINE
def test_two_plans_of_one_database_are_recovered_one_after_the_other(live: Live) -> None:
    description = json.loads(live.file.read_text())
    description["plans"]["also"] = {**description["plans"][PLAN]}
    both, alone = built(description, live.file.parent), live.fleet
    live.fleet = both
    other = live.begin()
    live.fleet = alone
    for fleet, plan in ((both, PLAN), (both, "also")):
        live.fleet = fleet
        with pytest.raises(Obstructed, match=f"of plan {PLAN} has not ended"):
            live.begin(plan=plan)
    assert carry_out(Recovery(both, other.journal, live.around)).result == "recovered"


@ONE_ENGINE
def test_one_that_can_neither_go_on_nor_back_is_given_up_so_that_another_can_begin(live: Live) -> None:
    def run_step(recovery: Recovery, step: Step) -> None:
        perform(recovery, step)
        if step.name == "exchange":
            live.fleet.engine(PLAN).drop(live.target.to(recovery.request.aside))
            live.application.fails("tests")

    recovery = live.begin()
    assert carry_out(recovery, run_step).result == "rollback failed"
    assert live.application.told[-1] != "off", "maintenance stays on"
    with pytest.raises(Obstructed, match="has not ended"):
        live.begin()
    again = live.again(recovery.journal.recovery)
    assert left(again) == ()
    assert give_up(again, "nothing is left of it", "tester") == "rollback failed"
    assert again.journal.stopped
    with pytest.raises(Obstructed, match="has ended"):
        give_up(live.again(recovery.journal.recovery), "a test", "tester")
    assert take_back(live.again(recovery.journal.recovery), "a test", "tester").result == "rollback failed"
    live.application.works("tests")
    assert live.recover()[1].result == "recovered"
    assert live.application.told[-1] == "off"


@pytest.mark.parametrize("name", ["li ve 'ö\" `n`", "ü" * 20 + "long name of sixty-thre"], ids=["odd", "long"])
def test_a_database_may_be_called_anything(made: World, name: str) -> None:
    live = made.live(name=name, **NEAR)
    whole = live.content()
    live.run("UPDATE parent SET name = 'gone'")
    recovery, outcome = live.recover()
    assert (outcome.result, outcome.problems) == ("recovered", ())
    assert live.content() == whole
    assert take_back(live.again(recovery.journal.recovery), "a test", "tester").result == "rolled back"
    assert live.run("SELECT count(*) FROM parent WHERE name = 'gone'") == [(10,)]
    for left_over in (recovery.request.beside, recovery.request.aside, name):
        live.fleet.engine(PLAN).drop(live.target.to(left_over))
    made.clean()


@ONE_ENGINE
def test_a_live_database_of_no_tables_is_replaced_and_kept(live: Live) -> None:
    live.run("DROP VIEW seen; DROP TABLE child; DROP TABLE parent; DROP TABLE bare;")
    recovery, outcome = live.recover()
    assert (outcome.result, outcome.problems) == ("recovered", ())
    assert len(live.run("SELECT * FROM child")) == 200
    require_way_back(live.again(recovery.journal.recovery))
    kept = str(recovery.journal.facts("keep")["backup"])
    assert catalog.find(live.fleet, PLAN, kept)[0][0].proven_at is not None


def test_a_table_that_the_backup_has_not_is_told_before_the_application_is_stopped(live: Live) -> None:
    recovery, outcome = live.recover(mode="tables", tables=("child", "nothing"))
    assert outcome.result == "nothing changed"
    assert "nothing" in outcome.why
    assert "on" not in live.application.told
    assert recovery.journal.closed is not None


def test_where_no_row_is_missing_none_is_put_back(live: Live) -> None:
    before = live.content()
    recovery, outcome = live.recover(mode="salvage", tables=("child",))
    assert outcome.result == "recovered"
    (made,) = recovery.journal.facts("salvage")["tables"]  # type: ignore[union-attr, misc]
    assert made["inserted"] == 0  # type: ignore[index, call-overload]
    assert live.content() == before


@pytest.mark.parametrize("rights", ["", "SHOW DATABASES"])
def test_what_an_administrator_may_not_see_is_not_said_to_be_gone(live: Live, rights: str) -> None:
    weak, mariadb = f"weak_{live.target.database}", live.world.harness is MYSQL
    live.run(f"CREATE USER {weak} IDENTIFIED BY 'x'" if mariadb else f"CREATE ROLE {weak} LOGIN PASSWORD 'x'")
    if mariadb and rights:
        live.run(f"GRANT {rights} ON *.* TO {weak}")
    hidden = mariadb and not rights

    def asked(*command: str) -> str:
        return CliRunner().invoke(main, ["--fleet", str(live.file), *command], prog_name="backproof").output

    try:
        for name in (live.target.database, "gone_for_good"):
            description = json.loads(live.file.read_text())
            description["databases"]["shop-db"].update(name=name, admin={"user": weak, "password": "x"})
            live.file.write_text(json.dumps(description))
            engine, fleet = live.fleet.engine(PLAN), built(description, live.file.parent)
            shown, ready = asked("recover", PLAN, "--show"), asked("ready", PLAN)
            assert (f"{weak} may not see, if it is there" in shown) == hidden
            assert ("which is not there" in shown) == (not hidden and name == "gone_for_good")
            assert (same(f"{weak} may not see whether there is a {name}") in same(ready)) == hidden
            assert not mariadb or "GRANT" in ready
            assert ("a recovery makes it" in ready) == (not hidden and name == "gone_for_good")
            with pytest.raises(Hidden) if hidden else nullcontext():
                assert engine.exists(fleet.restorer(PLAN)) is (name != "gone_for_good")
        live.fleet = fleet
        if mariadb:
            begun, outcome = live.recover()
            assert (outcome.result, begun.request.lost) == ("nothing changed", not hidden)
            assert "GRANT" in outcome.why
    finally:
        live.run(f"DROP {'USER' if mariadb else 'ROLE'} {weak}")


@ONE_ENGINE
def test_who_may_not_rename_databases_is_told_what_to_grant_before_anything_is_changed(live: Live) -> None:
    weak = f"weak_{live.target.database}"
    live.run(f"CREATE ROLE {weak} LOGIN PASSWORD 'x'")
    try:
        description = json.loads(live.file.read_text())
        description["databases"]["shop-db"]["admin"] = {"user": weak, "password": "x"}
        live.fleet = built(description, live.file.parent)
        databases = live.world.databases()
        outcome = live.recover()[1]
        assert outcome.result == "nothing changed"
        assert "CREATEDB" in outcome.why
        assert (live.application.told, live.world.databases()) == ([], databases)
    finally:
        live.run(f"DROP ROLE {weak}")
