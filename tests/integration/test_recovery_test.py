"""The recovery test on real servers: a backup from a cloud region, a staging server, a small real application.

Each point of both checklists is made to fail, one at a time: it fails, with its evidence, and no other point is wrong.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backproof import scratch
from backproof.archive.manifest import archive_name
from backproof.catalog import manifest
from backproof.errors import Busy, ConfigurationError, NotFound
from backproof.fleet import Fleet
from backproof.naming import key, parse
from backproof.operations.clock import utc_now
from backproof.records import Target
from backproof.recovery_test import judging, naming, notice, production
from backproof.recovery_test.record import CHECKLIST, ROLLBACK_CHECKLIST, RecoveryTest
from backproof.runbook import Answer, Run
from backproof.stores.local import LocalStore
from deployments.servers.seaweedfs import S3Server
from tests.support import fleets, postgres_fixtures
from tests.support.committed import prove
from tests.support.engine_harness import POSTGRESQL, WORLDS
from tests.support.fleets import PLAN
from tests.support.prefect_fixtures import eventually
from tests.support.rehearsing import (
    ALTERNATIVE,
    ORDERS,
    REPOSITORY,
    ROOT,
    Rehearsed,
    a_recovery,
    asks,
    is_told,
    on_postgresql,
    rehearsed,
)
from tests.support.s3_fixtures import REGIONS

NEVER_STARTED = [sys.executable, "-S", "-E", "-c", "open('started', 'w')"]


@pytest.fixture(scope="module", params=WORLDS, ids=lambda pair: pair[0].engine)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, regions: tuple[S3Server, S3Server]
) -> Iterator[Rehearsed]:
    harness, server = request.param
    folder = tmp_path_factory.mktemp("rehearsal")
    with rehearsed(harness, request.getfixturevalue(server), folder, regions) as made:
        fleet = made.fleet()
        backup = made.backed_up(fleet)
        found, store = manifest(fleet, PLAN, backup)
        prove(fleet, found, store, found.taken_at)  # so that there is something to go back to, whatever a test shows
        made.recorded(fleet)
        yield made


ADMINISTRATOR = {"postgresql": "postgres:", "mysql": "root:"}
"""Of a throwaway server."""


def held(test: RecoveryTest) -> dict[str, str]:
    """The points that did not pass; and that all are there, and nothing is left behind."""
    every = (*test.checklist, *test.rollback_checklist)
    assert tuple(point.name for point in test.checklist) == CHECKLIST
    assert tuple(point.name for point in test.rollback_checklist) == ROLLBACK_CHECKLIST
    assert all(point.evidence for point in every)
    wrong = {point.name: point.status for point in every if point.status != "pass"}
    assert [issue.what.partition(":")[0] for issue in test.issues] == list(wrong)
    assert not [folder for folder, _ in scratch.workspaces("rehearsal") if f"-{os.getpid()}-" in folder.name]
    return wrong


def evidence(test: RecoveryTest, name: str) -> str:
    return next(point.evidence for point in (*test.checklist, *test.rollback_checklist) if point.name == name)


@contextmanager
def newest(made: Rehearsed, fleet: Fleet, damage: str = "", repair: str = "") -> Iterator[str]:
    """One more backup, of a database that was changed; both are gone afterwards."""
    if damage:
        made.run(damage)
    try:
        backup = made.backed_up(fleet)
    finally:
        if repair:
            made.run(repair)
    try:
        yield backup
    finally:
        forget(fleet, backup)


@contextmanager
def unrecorded(fleet: Fleet) -> Iterator[None]:
    """No state of production lies in the stores meanwhile."""
    taken = [
        (store, each.key, b"".join(store.read(each.key)))
        for store in fleet.stores(PLAN)
        for each in list(store.list(naming.prefix(PLAN)))
        if (name := naming.parse(each.key)) is not None and name.part == naming.PRODUCTION
    ]
    assert taken
    for store, where, _ in taken:
        store.delete(where)
    try:
        yield
    finally:
        for store, where, document in taken:
            store.put(where, [document])


def forget(fleet: Fleet, backup: str) -> None:
    for store in fleet.stores(PLAN):
        for stored in list(store.list(f"{PLAN}/")):
            name = parse(stored.key)
            if name is not None and name.id == backup:
                store.delete(stored.key)


def test_a_whole_recovery_test_passes(made: Rehearsed) -> None:
    fleet = made.fleet(
        staging={
            "masking": ["UPDATE parent SET name = 'masked 100%'", "DELETE FROM bare WHERE id = 3"],
            "before_expose": [is_told(ADMINISTRATOR[made.harness.engine])],
            "tests": [asks(ORDERS - 1), is_told("backproof_app_")],
            "full_tests": [asks(ORDERS - 1)],
        },
        critical={"child": "0%", "bare": "2%"},
        plan={"checks": [{"name": "orders", "sql": "SELECT count(*) FROM bare", "expect": "= 3"}]},
    )
    test = made.tested(fleet)
    assert (held(test), test.verdict) == ({}, "passed")
    assert (test.by, test.responsible, test.size_class) == ("tester", "Ada", "small")
    assert test.location.startswith("s3://")
    assert test.store in REGIONS
    assert {each.what for each in test.cites} == {"archive", "manifest", "proof", "state of production"}
    assert [each.phase for each in test.phases][:4] == ["download", "decrypt and decompress", "make a place", "restore"]
    assert set(test.counted) <= {each.phase for each in test.phases}
    counted = [each.elapsed_seconds for each in test.phases if each.phase in test.counted]
    assert test.recovery_seconds == pytest.approx(sum(counted), abs=0.01)
    assert test.history[-1].seconds == test.recovery_seconds
    assert made.run("SELECT count(*) FROM bare") == [(ORDERS,)], "nothing live is touched"


def test_the_schema_is_the_same_while_rows_come(made: Rehearsed) -> None:
    before = production.read(made.fleet(), PLAN)
    made.run("INSERT INTO parent (name) VALUES ('another')")
    after = production.read(made.fleet(), PLAN)
    made.run("DELETE FROM parent WHERE name = 'another'")
    assert (before.fingerprint, sum(before.rows.values()) + 1) == (after.fingerprint, sum(after.rows.values()))


@pytest.mark.parametrize("made", [world for world in WORLDS if world[0] is not POSTGRESQL], indirect=True)
def test_an_application_finds_the_settings_that_it_is_used_to(made: Rehearsed) -> None:
    engine = made.fleet().engine(PLAN)
    found, _ = manifest(made.fleet(), PLAN)
    asked = "SELECT @@global.sql_mode, @@global.time_zone"
    with scratch.workspace("settings") as folder, engine.scratch(found, folder, reachable=True) as target:
        assert made.harness.run(target, asked) == made.run(asked)


def test_a_copy_that_was_changed_is_no_download(made: Rehearsed) -> None:
    fleet = made.fleet()
    with newest(made, fleet) as backup:
        for region in REGIONS:
            found, _ = manifest(fleet, PLAN, backup, region)
            where, store = key(archive_name(found)), fleet.store(region)
            stored = bytearray(b"".join(store.read(where)))
            stored[len(stored) // 2] ^= 1
            store.delete(where)
            store.put(where, [bytes(stored)])
        test = made.tested(fleet)
    wrong = held(test)
    assert wrong.pop("File downloads") == "fail"
    assert "SHA-256" in evidence(test, "File downloads")
    assert set(wrong.values()) == {"not run"}
    assert {"Documentation accurate", "Safety backup exists", "Team notified"}.isdisjoint(wrong)
    assert test.verdict == "failed"
    assert "not reached" in evidence(test, "Restore")


def test_a_key_that_does_not_open_it_decompresses_nothing(made: Rehearsed) -> None:
    described = json.loads(json.dumps(made.described()))
    described["keys"]["main"]["aes256"] = fleets.key()
    test = made.tested(fleets.built(described, made.folder))
    wrong = held(test)
    assert wrong.pop("Decompression") == "fail"
    assert "key" in evidence(test, "Decompression")
    assert (set(wrong.values()), "File downloads" in wrong) == ({"not run"}, False)


REFUSED = {
    # What its check calls is not found without a search path.
    "postgresql": (
        "CREATE FUNCTION good(i int) RETURNS boolean LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM parent WHERE id = i)';"
        "CREATE TABLE checked (id int CHECK (good(id))); INSERT INTO checked VALUES (1)",
        "DROP TABLE checked; DROP FUNCTION good",
    ),
    # The row was let in while nobody looked at the check.
    "mysql": (
        "CREATE TABLE checked (id int CHECK (id > 0)); SET SESSION check_constraint_checks = 0;"
        "INSERT INTO checked VALUES (-1)",
        "DROP TABLE checked",
    ),
}
"""Can be dumped, and never restored; and what removes it again."""


def test_a_backup_that_the_server_refuses_is_not_restored(made: Rehearsed) -> None:
    fleet = made.fleet()
    with newest(made, fleet, *REFUSED[made.harness.engine]):
        test = made.tested(fleet)
    wrong = held(test)
    assert wrong.pop("Restore") == "fail"
    assert set(wrong.values()) == {"not run"}
    assert {"Documentation accurate", "Safety backup exists", "Team notified"}.isdisjoint(wrong)
    assert {"File downloads", "Decompression"}.isdisjoint(wrong)
    assert test.recovery_seconds is None


def test_an_application_that_does_not_start_connects_to_nothing(made: Rehearsed) -> None:
    test = made.tested(made.fleet(staging={"start": [sys.executable, "-S", "-c", "raise SystemExit(3)"]}))
    assert held(test) == {
        "Application connects": "fail",
        "Application functions": "not run",
        "Recovery time within RTO": "not run",
    }
    assert "ended" in evidence(test, "Application connects")


def test_a_backup_that_lacks_rows_is_not_what_production_has(made: Rehearsed) -> None:
    lost, back = "DELETE FROM child WHERE id > 100", "INSERT INTO child (id) SELECT id + 100 FROM child"
    fleet = made.fleet()
    with newest(made, fleet, lost, back):
        test = made.tested(fleet)
    assert held(test) == {"Critical data present and accurate": "fail"}
    told = evidence(test, "Critical data present and accurate")
    assert ("child" in told, "100" in told, "200" in told) == (True, True, True)
    assert [each.table for each in test.critical_data if each.status == "fail"] == [made.harness.child]
    assert test.verdict == "failed"


@on_postgresql
def test_a_critical_table_that_is_empty_everywhere_shows_nothing(made: Rehearsed) -> None:
    fleet = made.fleet(staging={"tests": [asks(0)]}, critical={"bare": "5%", "child": "0%"})
    with unrecorded(fleet), newest(made, fleet, "DELETE FROM bare"):
        try:
            test = made.tested(fleet)
        finally:
            made.run("INSERT INTO bare VALUES (1), (2), (3)")
    assert held(test) == {"Critical data present and accurate": "not run"}
    assert "public.bare is empty, here and in production" in evidence(test, "Critical data present and accurate")
    assert {each.table: each.status for each in test.critical_data} == {
        "public.bare": "not run",
        "public.child": "pass",
    }
    assert [issue.remedy for issue in test.issues] == [judging.MAY_BE_EMPTY]
    assert test.verdict == "incomplete"


def test_a_backup_with_an_old_schema_is_not_what_production_has(made: Rehearsed) -> None:
    fleet = made.fleet()
    made.run("ALTER TABLE parent ADD COLUMN since int; DROP VIEW seen; CREATE VIEW seen AS SELECT id FROM child")
    try:
        made.recorded(fleet)
        test = made.tested(fleet)
    finally:
        made.run("ALTER TABLE parent DROP COLUMN since; DROP VIEW seen; CREATE VIEW seen AS SELECT * FROM child")
        made.recorded(fleet)
    assert held(test) == {"Critical data present and accurate": "fail"}
    assert "parent is another one" in evidence(test, "Critical data present and accurate").replace("`", "")


@on_postgresql
def test_a_backup_of_another_plan_is_no_backup(made: Rehearsed) -> None:
    fleet = made.fleet()
    described = json.loads(json.dumps(made.described()))
    described["plans"] = {"other": described["plans"][PLAN]}
    other = fleets.built(described, made.folder)
    with newest(made, fleet) as backup:
        forget(fleet, backup)
        from backproof.operations.seal import seal

        sealed = seal(other, "other", "daily").manifest
        store = other.store(REGIONS[0])
        for stored in list(store.list("other/")):
            taken = b"".join(store.read(stored.key))
            for region in REGIONS:
                fleet.store(region).put(stored.key.replace("other/", f"{PLAN}/", 1), [taken])
            store.delete(stored.key)
        try:
            test = made.tested(fleet)
        finally:
            forget(fleet, sealed.id)
    wrong = held(test)
    assert wrong.pop("File downloads") == "fail"
    assert "other" in evidence(test, "File downloads")
    assert set(wrong.values()) == {"not run"}
    assert {"Documentation accurate", "Safety backup exists", "Team notified"}.isdisjoint(wrong)


def test_an_application_whose_tests_fail_does_not_function(made: Rehearsed) -> None:
    test = made.tested(made.fleet(staging={"tests": [asks(ORDERS), asks(ORDERS + 1)]}))
    assert held(test) == {"Application functions": "fail", "Recovery time within RTO": "not run"}
    assert "ended with 1" in evidence(test, "Application functions")


@on_postgresql
def test_the_full_tests_count_as_well(made: Rehearsed) -> None:
    test = made.tested(made.fleet(staging={"full_tests": [asks(ORDERS + 1)]}))
    assert held(test) == {"Application functions": "fail", "Recovery time within RTO": "not run"}


def test_a_recovery_that_is_slower_than_promised_misses_its_objective(made: Rehearsed) -> None:
    test = made.tested(made.fleet(plan={"objectives": {"rto": {"small": "1s"}}}))
    assert held(test) == {"Recovery time within RTO": "fail"}
    assert "1.0 s are promised" in evidence(test, "Recovery time within RTO")
    assert test.recovery_seconds is not None
    assert test.recovery_seconds > test.objective_seconds == 1


def test_a_runbook_whose_commands_do_not_work_is_not_accurate(made: Rehearsed) -> None:
    @contextmanager
    def refused(_: Fleet) -> Iterator[Run]:
        yield lambda words: Answer(2, "No such command") if words[0] == "estimate" else Answer(0, "")

    test = made.tested(made.fleet(), runner=refused)
    assert held(test) == {"Documentation accurate": "fail"}
    assert "estimate" in evidence(test, "Documentation accurate")


@on_postgresql
def test_a_recovery_that_took_no_safety_backup_leaves_nothing_to_go_back_to(made: Rehearsed, tmp_path: Path) -> None:
    fleet, around = made.fleet(), made.around(local=LocalStore("this machine", tmp_path))
    journal = a_recovery(fleet, [around.local], utc_now() - timedelta(days=30), ROOT, ALTERNATIVE, safety=False)
    test = made.tested(fleet, around)
    assert held(test) == {"Safety backup exists": "fail"}
    assert f"no safety backup was taken in {journal.recovery}" in evidence(test, "Safety backup exists")


def test_a_rollback_that_gives_nothing_back_is_told(made: Rehearsed, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = made.fleet()
    monkeypatch.setattr(type(fleet.engine(PLAN)), "undo", lambda *_: None)
    test = made.tested(fleet)
    assert held(test) == {"Rollback rehearsed": "fail"}
    assert "after the rollback, " in evidence(test, "Rollback rehearsed")


def test_a_copy_that_does_not_take_its_place_rehearses_no_rollback(made: Rehearsed) -> None:
    taken_for_it = "CREATE TABLE backproof_rehearsal (id int)"
    test = made.tested(made.fleet(staging={"masking": [taken_for_it]}))
    assert held(test) == {"Rollback rehearsed": "fail"}
    assert "after the swap, " in evidence(test, "Rollback rehearsed")


@on_postgresql
def test_a_team_that_nobody_reached_was_not_notified(made: Rehearsed) -> None:
    fleet = made.fleet(plan={"notify": {"report": ["team"]}})
    with unrecorded(fleet):
        test = made.tested(fleet, made.around(tell=lambda _: ()))
    assert held(test) == {"Team notified": "fail"}
    assert "none of team could be told" in evidence(test, "Team notified")


@on_postgresql
def test_a_recovery_whose_cause_nobody_wrote_down_is_named(made: Rehearsed, tmp_path: Path) -> None:
    fleet, around = made.fleet(), made.around(local=LocalStore("this machine", tmp_path))
    journal = a_recovery(fleet, [around.local], utc_now() - timedelta(days=30), ROOT)
    test = made.tested(fleet, around)
    point = "Root cause and alternative plan recorded"
    assert held(test) == {point: "fail"}
    assert f"{journal.recovery} lacks the alternative plan" in evidence(test, point)


@pytest.mark.parametrize(
    "staging",
    [
        {"masking": ["UPDATE parent SET name = 'masked'", "UPDATE nothing SET name = 'masked'"]},
        {"before_expose": [[sys.executable, "-S", "-c", "raise SystemExit(1)"]]},
    ],
    ids=lambda staging: next(iter(staging)),
)
def test_where_masking_fails_nothing_is_exposed(made: Rehearsed, staging: dict[str, Any]) -> None:
    fleet = made.fleet(
        staging={**staging, "directory": str(made.folder), "start": NEVER_STARTED, "tests": [NEVER_STARTED]}
    )
    test = made.tested(fleet)
    assert not (made.folder / "started").exists()
    assert held(test) == {
        "Application connects": "fail",
        "Application functions": "not run",
        "Recovery time within RTO": "not run",
    }
    assert test.verdict == "failed"
    assert (next(iter(staging)) if "masking" in staging else "ended with 1") in evidence(test, "Application connects")


@on_postgresql
def test_what_a_plan_does_not_name_is_not_run_and_no_pass(made: Rehearsed) -> None:
    bare = dict.fromkeys(made.staging()) | {"timeout": "60s"}
    live_only = {"application": {"commands": [NEVER_STARTED], "tests": [NEVER_STARTED], "directory": str(made.folder)}}
    test = made.tested(made.fleet(staging=bare, plan=live_only))
    assert held(test) == {
        "Application connects": "not run",
        "Application functions": "not run",
        "Recovery time within RTO": "not run",
    }
    assert test.verdict == "incomplete"
    assert not (made.folder / "started").exists(), "they would have reached the live database"


@on_postgresql
def test_without_a_cloud_copy_nothing_was_downloaded(made: Rehearsed) -> None:
    described = json.loads(json.dumps(made.described()))
    described["stores"] = {"here": {"type": "local", "path": str(made.folder / "here")}}
    described["plans"][PLAN]["stores"] = ["here"]
    fleet = fleets.built(described, made.folder)
    made.backed_up(fleet, stores=())
    test = made.tested(fleet)
    assert held(test) == {"File downloads": "not run"}
    assert test.verdict == "incomplete"
    assert "no cloud copy" in evidence(test, "File downloads")
    assert "as of" in evidence(test, "Critical data present and accurate"), "production was read, since it can be"


def staged_on(made: Rehearsed, server: Target) -> Fleet:
    return fleets.built(described_on(made, server), made.folder)


def described_on(made: Rehearsed, server: Target, **staging: Any) -> dict[str, Any]:
    assert server.password is not None
    described: dict[str, Any] = json.loads(json.dumps(made.described(staging={"database": "staging", **staging})))
    described["databases"]["staging"] = described["databases"]["shop-db"] | {
        "name": "whatever",
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": server.password.get_secret_value(),
    }
    return described


@pytest.fixture(scope="module")
def second_postgres15() -> Iterator[Target]:
    with postgres_fixtures.server(15) as target:
        yield target


@on_postgresql
def test_a_staging_server_of_another_version_proves_nothing(made: Rehearsed, postgres16: Target) -> None:
    test = made.tested(staged_on(made, postgres16))
    assert held(test)["Restore"] == "not run"
    assert "the staging server is" in evidence(test, "Restore")


def test_a_live_server_is_no_staging_server(made: Rehearsed) -> None:
    with pytest.raises(ConfigurationError, match="the live server of plan"):
        staged_on(made, made.target)


def killed(made: Rehearsed, describe: Callable[..., dict[str, Any]]) -> int:
    """Kill a recovery test while the application's test runs, and see that this ends, too; gives its number."""
    file = made.folder / "at it"
    file.unlink(missing_ok=True)
    waits = f"import os, pathlib, time; pathlib.Path({str(file)!r}).write_text(str(os.getpid())); time.sleep(600)"
    described = describe(tests=[[sys.executable, "-S", "-E", "-c", waits]], timeout="10m")
    (made.folder / "killed.json").write_text(json.dumps(described))
    with subprocess.Popen([sys.executable, "-m", "tests.support.rehearsing", str(made.folder)], cwd=REPOSITORY) as run:
        eventually(lambda: (file.exists() and file.read_text()) or run.poll() is not None, 120, "a test at work")
        run.kill()
    tester = int(file.read_text())
    eventually(lambda: not Path(f"/proc/{tester}").exists(), 60, "the end of the application's test")
    return run.pid


def is_free(fleet: Fleet) -> bool:
    """Whether no recovery test is at work on the staging server."""
    server = fleet.staging(PLAN)
    assert server is not None
    try:
        with fleet.engine(PLAN).recovery_lock(server, f"test {PLAN}"):
            return True
    except Busy:
        return False


def test_a_staging_server_is_left_as_it_was_by_a_killed_test_and_the_next(
    made: Rehearsed, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("second_postgres15" if made.harness is POSTGRESQL else made.harness.servers[1])

    def there() -> tuple[set[tuple[object, ...]], set[tuple[object, ...]]]:
        ask = made.harness.run
        return set(ask(server, made.harness.databases)), set(ask(server, made.harness.logins))

    before = there()
    killed(made, lambda **staging: described_on(made, server, **staging))
    databases, logins = there()
    assert [len(databases - before[0]), any("backproof_app_" in str(login) for (login,) in logins)] == [1, True]
    fleet = staged_on(made, server)
    eventually(lambda: is_free(fleet), 60, "the end of the killed test's lock")
    test = made.tested(fleet)
    assert held(test) == {}, [each.evidence for each in test.checklist]
    assert there() == before
    scratch.sweep()
    assert test.staging.startswith("backproof_test_shop_")


@on_postgresql
def test_a_test_that_is_killed_leaves_no_application_and_no_server(made: Rehearsed) -> None:
    run = killed(made, lambda **staging: made.described(staging=staging))
    swept = scratch.sweep()
    assert [each for each in swept if f"-{run}-" in each]
    assert not [folder for folder, _ in scratch.workspaces("rehearsal") if f"-{run}-" in folder.name]


@on_postgresql
def test_a_backup_that_is_not_there_fails_and_is_told(made: Rehearsed) -> None:
    test = made.tested(made.fleet(), backup="backup_2001-01-01_000000")
    assert held(test)["File downloads"] == "fail"
    assert (test.backup, test.live_bytes) == (None, 0)
    assert "backup_2001-01-01_000000" in evidence(test, "File downloads")


@on_postgresql
def test_the_state_of_production_counts_when_it_was_signed_and_is_recent(made: Rehearsed) -> None:
    fleet = made.fleet()
    state = production.read(fleet, PLAN)
    recorded = production.latest(fleet, PLAN, state.recorded_at)
    assert recorded is not None
    assert recorded.state.rows == state.rows
    later = state.recorded_at + production.RECENT * 2
    assert production.latest(fleet, PLAN, later) is None
    described = json.loads(json.dumps(made.described()))
    described["signing"]["private_key"] = fleets.key()
    assert production.latest(fleets.built(described, made.folder), PLAN, state.recorded_at) is None
    with pytest.raises(NotFound):
        b"".join(fleet.store(REGIONS[0]).read(naming.key(naming.TestName(PLAN, state.test, naming.REPORT_JSON))))


@on_postgresql
def test_a_notice_tells_when_what_who_and_what_is_still_open(made: Rehearsed) -> None:
    fleet = made.fleet()
    failed = made.tested(fleet, backup="backup_2001-01-01_000000")
    fleet.store(REGIONS[0]).put(
        naming.key(naming.TestName(PLAN, failed.test, naming.REPORT_JSON)), [fleet.signer.sign(failed)]
    )
    given = notice.give(fleet, PLAN, made.around().tell)
    assert (given.problems, given.lacking, given.told) == ((), (), ("team",))
    assert given.state is not None
    assert given.state.told == ("team",)
    assert {issue.id for issue in failed.issues} <= {issue.id for issue in given.still_open}
    body = made.messages[-1].body
    assert given.due_at is not None
    assert all(said in body for said in (f"{given.due_at:%Y-%m-%d}", "Ada", "s3://", failed.issues[0].id, "213 rows"))
    again = made.tested(fleet, backup="backup_2001-01-01_000000")
    assert {issue.id for issue in again.issues}.isdisjoint(issue.id for issue in failed.issues)
    assert {issue.id for issue in failed.issues} <= {issue.id for issue in again.still_open}


@on_postgresql
def test_a_notice_names_what_has_to_be_mended_before(made: Rehearsed) -> None:
    described = json.loads(json.dumps(made.described(staging={"database": "staging", "directory": "/nowhere"})))
    described["databases"]["staging"] = described["databases"]["shop-db"] | {"name": "whatever", "port": 1}
    described["plans"][PLAN]["recovery_test"]["staging"]["start"] = ["no-such-program"]
    given = notice.give(fleets.built(described, made.folder), PLAN, made.around().tell)
    assert {each.check for each in given.lacking} == {"staging", "application"}
    told = " ".join(each.found for each in given.lacking)
    assert ("/nowhere" in told, "no-such-program" in told) == (True, True)
    assert "To mend before: staging" in made.messages[-1].body
