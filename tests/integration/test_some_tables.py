"""Some tables replaced by a backup's, on real servers: they come back with their keys, or nothing has changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backproof import catalog
from backproof.errors import ConnectionLost, Obstructed
from backproof.recovery.context import Recovery
from backproof.recovery.giving_up import give_up, left
from backproof.recovery.run import Outcome, carry_out, perform, take_back
from backproof.recovery.steps import Step
from tests.support.engine_harness import MYSQL
from tests.support.fleets import PLAN
from tests.support.recovering import Live, World, on_each_engine
from tests.support.tables_zoo import TABLES

made = on_each_engine(TABLES)


@pytest.fixture
def live(made: World) -> Iterator[Live]:
    databases = made.databases()
    live = made.live()
    yield live
    assert made.databases() - {live.target.database} == databases, "nothing is left beside it"
    made.clean()


def replaced(live: Live, *tables: str, **asked: bool) -> tuple[Recovery, Outcome]:
    return live.recover(mode="tables", tables=tables, **asked)


def rows(live: Live) -> dict[str, list[tuple[object, ...]]]:
    """Every row, whatever its place."""
    names = ("parent", "child", "bare", "odd", "keyless", "place", "stay", "egg", "hen", "log", "watched")
    return {name: sorted(live.run(f"SELECT * FROM {name}"), key=repr) for name in names}


def definitions(live: Live) -> dict[str, str]:
    """What is defined, but for where sequences are."""
    found = live.content()
    return {name: digest for name, digest in found.items() if " " in name and not name.startswith("SEQUENCE SET")}


def test_damaged_tables_become_the_backup_s_and_the_others_stay(live: Live) -> None:
    before, defined = rows(live), definitions(live)
    live.run("INSERT INTO bare VALUES (7)")
    live.run("DELETE FROM stay WHERE id = 1")
    live.run("UPDATE child SET parent_id = 1")
    live.run("INSERT INTO child VALUES (999, 1, 'new')")
    damaged = rows(live)
    recovery, outcome = replaced(live, "child", "watched")
    assert (outcome.result, outcome.why, outcome.problems) == ("recovered", "", ())
    after = rows(live)
    assert {name for name in after if after[name] != before[name]} == {"bare", "stay"}
    assert after["log"] == [], "no trigger fired"
    assert definitions(live) == defined
    facts = recovery.journal.facts("replace")
    assert len(facts["links"]) == 2  # type: ignore[arg-type]
    assert facts["tested"], "a row was written through a child"
    assert live.application.told == ["on", "tests", "off"]
    safety = [each for each in catalog.backups(live.fleet, PLAN) if each.kind == "safety"]
    assert safety[0].proven_at is not None
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        live.run("INSERT INTO stay VALUES (77, NULL, 12345)")
    assert take_back(recovery, "it was the wrong one", "tester").result == "rolled back"
    back = rows(live)
    assert (back["child"], back["bare"]) == (damaged["child"], damaged["bare"])


def test_tables_that_were_dropped_or_altered_come_back_with_the_keys_of_those_left_behind(live: Live) -> None:
    before, defined = rows(live), definitions(live)
    live.run("DROP VIEW seen")
    live.run("ALTER TABLE place ADD COLUMN since int DEFAULT 7")
    if live.world.harness is MYSQL:
        live.run("SET foreign_key_checks = 0; DROP TABLE child, watched")
    else:
        live.run("DROP TABLE child, watched CASCADE")
    recovery, outcome = replaced(live, "child", "watched", "place")
    assert (outcome.result, outcome.why) == ("recovered", "")
    assert rows(live) == before
    now = definitions(live)
    assert {name.split(".")[-1].split()[-1] for name in defined if now.get(name) != defined[name]} == {"seen"}
    assert len(recovery.journal.facts("replace")["made_anew"]) == 2 + (live.world.harness is not MYSQL)  # type: ignore[arg-type]
    live.run("INSERT INTO place (code) VALUES ('next')")
    ((given,),) = live.run("SELECT id FROM place WHERE code = 'next'")
    assert int(str(given)) > 9


def test_a_table_that_mariadb_can_not_open_is_named_before_the_application_is_stopped(live: Live) -> None:
    if live.world.harness is not MYSQL:
        return  # PostgreSQL moves no files
    [[folder]] = live.run("SELECT @@datadir")
    (Path(str(folder)) / live.target.database / "bare.frm").write_bytes(bytes(range(256)) * 4)
    live.run("FLUSH TABLES")
    _, outcome = replaced(live, "bare")
    assert outcome.result == "nothing changed"
    assert "can't be opened, and so not be moved aside: bare" in outcome.why
    assert live.application.told == []


def test_orphans_are_listed_and_refused_and_accepted_where_that_is_said(live: Live) -> None:
    live.run("INSERT INTO child VALUES (500, 1, 'new'), (501, 1, 'new')")
    live.run("INSERT INTO stay VALUES (50, NULL, 500), (51, NULL, 501)")
    before = rows(live)
    _, outcome = replaced(live, "child")
    assert outcome.result == "nothing changed"
    assert "2 of" in outcome.why
    assert "stay" in outcome.why
    assert rows(live) == before
    assert live.application.told == []
    recovery, outcome = replaced(live, "child", accept_orphans=True)
    assert (outcome.result, outcome.why) == ("recovered", "")
    assert recovery.journal.facts("replace")["orphans"][0]["rows"] == 2  # type: ignore[index,call-overload]
    assert live.run("SELECT count(*) FROM child") == [(200,)]


def test_an_application_that_fails_takes_it_back_with_the_safety_backup(live: Live) -> None:
    live.run("DELETE FROM stay")
    live.run("DELETE FROM child WHERE id > 100")
    live.run("INSERT INTO child VALUES (500, 1, 'new')")
    before, defined = rows(live), definitions(live)
    live.application.fails("tests")
    _, outcome = replaced(live, "child", "watched")
    assert (outcome.result, outcome.also) == ("rolled back", "")
    assert rows(live) == before
    assert definitions(live) == defined
    assert live.application.told[-1] == "off"


def test_a_recovery_killed_while_tables_are_replaced_is_gone_on_with(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, defined = rows(live), definitions(live)
    live.run("DELETE FROM stay")
    live.run("DELETE FROM child")
    recovery = live.begin(mode="tables", tables=("child",))

    def killed(recovery: Recovery, step: Step) -> None:
        perform(recovery, step)
        if step.name == "safety":
            recovery.journal.write("replace", "begun", recovery.engine.links_of(recovery.live, _chosen(recovery)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(recovery, killed)
    if live.world.harness is MYSQL:
        live.run("ALTER TABLE stay DROP FOREIGN KEY stay_ibfk_2")
    outcome = carry_out(live.again(recovery.journal.recovery))
    assert (outcome.result, outcome.why) == ("recovered", "")
    after = rows(live)
    assert {name for name in after if after[name] != before[name]} == {"stay"}
    assert definitions(live) == defined


OTHER_TYPES = {
    "postgresql": """
        DROP VIEW seen; ALTER TABLE stay DROP CONSTRAINT stay_child_id_fkey; ALTER TABLE stay ALTER child_id TYPE text;
        ALTER TABLE child ALTER id TYPE text; ALTER TABLE stay ADD FOREIGN KEY (child_id) REFERENCES child (id);
    """,
    "mysql": """
        ALTER TABLE stay DROP FOREIGN KEY stay_ibfk_2; ALTER TABLE stay MODIFY child_id bigint;
        ALTER TABLE child MODIFY id bigint; ALTER TABLE stay ADD FOREIGN KEY (child_id) REFERENCES child (id);
    """,
}
"""A foreign key to ``child`` that the backup's can't bear: nothing can be seen of that before it is made."""


def test_without_a_safety_backup_what_was_live_is_live_or_kept_until_it_is_gone_on_with(live: Live) -> None:
    live.run(OTHER_TYPES[live.world.harness.engine])
    live.run("DELETE FROM child WHERE id = '200'")
    before = rows(live)
    recovery, outcome = live.recover(mode="tables", tables=("child",), no_safety_backup="its view is broken")
    name, aside = recovery.journal.recovery, recovery.request.aside
    if live.world.harness is not MYSQL:
        assert outcome.result == "rolled back"
        assert "nothing was changed" in outcome.why
        assert recovery.journal.facts("back-replace") == {"tables": "the tables were not changed"}
        assert (rows(live), live.application.told[-1]) == (before, "off")
        return
    for told in (outcome, carry_out(live.again(name))):
        assert (told.result, told.problems[1:]) == ("not ended", (f"{aside} holds what was live before",))
        assert f"`backproof recover --resume {name}` goes on, nothing takes it back" in told.problems[0]
        assert left(recovery) == (aside,)
        assert live.world.harness.run(live.target.to(aside), "SELECT count(*) FROM child") == [(199,)]
        assert live.application.told[-1] == "on"
        assert live.messages[-1].subject.endswith("has stopped halfway")
    with pytest.raises(Obstructed, match=r"can't be taken back.*its view is broken") as refused:
        take_back(live.again(name), "why not", "tester")
    assert f"recover --resume {name}" in refused.value.remedy
    live.run("ALTER TABLE stay MODIFY child_id int")
    ended = carry_out(live.again(name))
    assert (ended.result, ended.problems) == ("recovered", ())
    assert (live.application.told[-1], live.run("SELECT count(*) FROM child")) == ("off", [(200,)])
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        live.run("UPDATE stay SET child_id = 1000")


def test_what_one_that_is_given_up_has_kept_is_named_and_stays(live: Live) -> None:
    if live.world.harness is not MYSQL:
        return  # PostgreSQL replaces tables in one transaction: nothing has to be kept
    live.run(OTHER_TYPES["mysql"])
    recovery, outcome = live.recover(mode="tables", tables=("child",), no_safety_backup="its view is broken")
    assert outcome.result == "not ended"
    assert give_up(recovery, "another way", "tester") == "rollback failed"
    kept = live.target.to(recovery.request.aside)
    assert left(recovery) == (kept.database,)
    live.run("ALTER TABLE stay MODIFY child_id int")
    _, outcome = replaced(live, "child")
    assert (outcome.result, outcome.why) == ("recovered", "")
    assert live.world.harness.run(kept, "SELECT count(*) FROM child") == [(200,)]
    live.fleet.engine(PLAN).drop(kept)


@pytest.mark.parametrize("failing", ["tests", "the answer"])
def test_without_a_safety_backup_it_is_gone_on_with_once_what_failed_is_mended(live: Live, failing: str) -> None:
    live.run("DELETE FROM stay")
    live.run("DELETE FROM child")
    recovery = live.begin(mode="tables", tables=("child",), no_safety_backup="its view is broken")

    def unanswered(recovery: Recovery, step: Step) -> None:
        perform(recovery, step)
        if step.name == "safety" and failing == "the answer":
            recovery.journal.write("replace", "begun", recovery.engine.links_of(recovery.live, _chosen(recovery)))
            recovery.journal.write("replace", "noted", {"changing": True})
            raise ConnectionLost("the server went away", "Try again.")

    if failing == "tests":
        live.application.fails("tests")
    outcome = carry_out(recovery, unanswered)
    assert (outcome.result, recovery.journal.closed, recovery.journal.rolling_back) == ("not ended", None, False)
    assert "THE APPLICATION IS IN MAINTENANCE" in outcome.problems[0]
    if live.world.harness is MYSQL and failing == "tests":
        assert outcome.problems[1] == f"{recovery.request.aside} holds what was live before"
        assert live.world.harness.run(live.target.to(recovery.request.aside), "SELECT count(*) FROM child") == [(0,)]
    assert live.application.told[-1] == ("tests" if failing == "tests" else "on")
    live.application.works("tests")
    outcome = carry_out(live.again(recovery.journal.recovery))
    assert (outcome.result, outcome.problems) == ("recovered", ())
    assert (live.application.told[-1], live.run("SELECT count(*) FROM child")) == ("off", [(200,)])


def _chosen(recovery: Recovery) -> list[str]:
    return [str(each) for each in recovery.journal.facts("prepare")["tables"]]  # type: ignore[union-attr]


def test_missing_rows_are_put_back_by_a_recovery_of_their_own(live: Live) -> None:
    live.run("DELETE FROM stay WHERE id > 4")
    recovery, outcome = live.recover(mode="salvage", tables=("stay",))
    assert outcome.result == "recovered"
    assert recovery.journal.facts("salvage")["tables"][0]["inserted"] == 5  # type: ignore[index,call-overload]
    assert live.application.told == []
    with pytest.raises(Obstructed, match="not taken away"):
        take_back(recovery, "why not", "tester")
