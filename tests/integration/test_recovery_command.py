"""``backproof recover``, ``rollback`` and ``recovery`` at a terminal, on a real server."""

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from backproof.recovery import run as running
from backproof.recovery.context import Recovery
from backproof.recovery.report import RecoveryReport
from backproof.recovery.run import perform as running_perform
from backproof.recovery.steps import Step
from deployments.cli import main
from tests.support.documents import check_keys, example
from tests.support.engine_harness import POSTGRESQL
from tests.support.fleets import PLAN
from tests.support.recovering import Live, World, world

Run = Callable[..., Result]
DAMAGE = "DELETE FROM child WHERE id > 100"


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(POSTGRESQL, request.getfixturevalue("postgres15"), tmp_path_factory.mktemp("recovery")) as made:
        yield made


@pytest.fixture
def live(made: World) -> Iterator[Live]:
    found = made.live()
    found.run(DAMAGE)
    yield found
    made.clean()


@pytest.fixture
def run(live: Live, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("XDG_STATE_HOME", str(live.file.parent / "state"))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["--fleet", str(live.file), *arguments], prog_name="backproof")

    return run


def test_a_database_is_recovered_looked_at_taken_back_and_what_is_set_aside_discarded(run: Run, live: Live) -> None:
    shown = run("--json", "recover", PLAN, "--show")
    check_keys(json.loads(shown.stdout), example("recover --show"))
    assert live.run("SELECT count(*) FROM child") == [(100,)], "nothing is done"
    done = run("--json", "recover", PLAN, "--reason", "rows were deleted", "--yes")
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    check_keys(document, example("recover"))
    assert live.run("SELECT count(*) FROM child") == [(200,)]
    name = document["recovery"]["recovery"]
    listed = json.loads(run("--json", "recovery", "list", PLAN).stdout)
    check_keys(listed, example("recovery list"))
    assert [each["recovery"] for each in listed["recoveries"]] == [name]
    noted = run("--json", "recovery", "note", name, "no WHERE", "--by", "ada")
    check_keys(json.loads(noted.stdout), example("recovery note"))
    said = run("recovery", "show", name)
    assert "no WHERE" in said.stdout
    assert "safety backup" in said.stdout
    back = run("--json", "rollback", name, "--reason", "the wrong one", "--yes")
    assert back.exit_code == 0, back.stderr
    assert json.loads(back.stdout)["recovery"]["result"] == "rolled back"
    assert live.run("SELECT count(*) FROM child") == [(100,)]


def test_what_was_set_aside_goes_when_it_is_discarded(run: Run, live: Live) -> None:
    name = json.loads(run("--json", "recover", PLAN, "--reason", "why not", "--yes").stdout)["recovery"]["recovery"]
    gone = run("--json", "recovery", "discard", name, "--yes")
    assert gone.exit_code == 0, gone.stderr
    check_keys(json.loads(gone.stdout), example("recovery discard"))
    assert json.loads(gone.stdout)["discarded"]["database"] not in live.world.databases()
    again = run("recovery", "discard", name, "--yes")
    assert (again.exit_code, "nothing" in again.stderr) == (1, True)


def test_nothing_is_done_without_a_reason_or_where_nobody_can_be_asked(run: Run, live: Live) -> None:
    before, databases = live.content(), live.world.databases()
    assert run("recover", PLAN).exit_code == 2
    asked = run("recover", PLAN, "--reason", "why not")
    assert (asked.exit_code, "--yes" in asked.stderr) == (2, True)
    unknown = run("recover", PLAN, "--backup", "backup_2001-01-01_000000", "--reason", "why not", "--yes")
    assert (unknown.exit_code, "no backup" in unknown.stderr) == (1, True)
    nobody = run("rollback", "recovery_2001-01-01_000000", "--reason", "why not", "--yes")
    assert (nobody.exit_code, "no recovery" in nobody.stderr) == (1, True)
    assert (live.content(), live.world.databases()) == (before, databases)


def test_what_people_did_is_in_the_signed_report_and_one_that_was_taken_back_says_so(run: Run, live: Live) -> None:
    name = json.loads(run("--json", "recover", PLAN, "--reason", "why not", "--yes").stdout)["recovery"]["recovery"]
    for arguments in (["scenario", name, "corruption"], ["tick", name, "assess", "--by", "ada"]):
        assert run("recovery", *arguments).exit_code == 0
    assert run("rollback", name, "--reason", "the wrong one", "--yes").exit_code == 0
    for store in live.fleet.stores(PLAN):
        newest = max(each.key for each in store.list(f"{PLAN}/recovery/{name}.report_"))
        signed = live.fleet.signer.verify(b"".join(store.read(newest)), RecoveryReport)
        assert signed.result == "rolled back"
        assert [each.by for each in signed.human_steps.steps if each.done_at] == ["ada"]
    again = run("--json", "recover", "--resume", name)
    assert again.exit_code == 1
    assert "was taken back at" in again.stderr
    assert f"`backproof recover {PLAN}` begins another" in again.stderr
    assert json.loads(again.stdout)["recovery"]["result"] == "rolled back"


def test_one_that_succeeded_has_nothing_left_to_go_on_with(run: Run, live: Live) -> None:
    name = json.loads(run("--json", "recover", PLAN, "--reason", "why not", "--yes").stdout)["recovery"]["recovery"]
    again = run("recover", "--resume", name)
    assert (again.exit_code, "succeeded at" in again.stderr) == (0, True)


def test_whoever_interrupts_it_hears_that_the_application_is_stopped(
    run: Run, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: tuple[str, ...] = ("recover", PLAN, "--reason", "why not", "--yes")
    for step, said in (("safety", "is not in maintenance"), ("maintenance-on", "IS IN MAINTENANCE")):
        with monkeypatch.context() as patch:
            patch.setattr(running, "perform", _interrupted_after(step))
            stopped = run(*arguments)
        assert (stopped.exit_code, said in stopped.stderr) == (130, True)
        name = json.loads(run("--json", "recovery", "list", PLAN).stdout)["recoveries"][0]["recovery"]
        arguments = ("recover", "--resume", name)
        assert " ".join(arguments) in stopped.stderr
    assert run(*arguments).exit_code == 0
    assert live.run("SELECT count(*) FROM child") == [(200,)]
    assert live.application.told[-1] == "off"


def _interrupted_after(name: str) -> Callable[[Recovery, Step], None]:
    def perform(recovery: Recovery, step: Step) -> None:
        running_perform(recovery, step)
        if step.name == name:
            raise KeyboardInterrupt

    return perform


def test_a_database_that_can_be_read_is_backed_up_first(run: Run, live: Live) -> None:
    refused = run("recover", PLAN, "--reason", "why not", "--no-safety-backup", "no time", "--yes")
    assert (refused.exit_code, "can be read" in refused.stderr) == (1, True)
    assert json.loads(run("--json", "recovery", "list", PLAN).stdout)["recoveries"] == []


def test_one_that_is_given_up_makes_room_for_another(run: Run, live: Live) -> None:
    recovery = live.begin()
    name = recovery.journal.recovery
    assert run("recover", PLAN, "--reason", "why not", "--yes").exit_code == 1
    given_up = run("--json", "recovery", "give-up", name, "--reason", "not needed", "--yes")
    check_keys(json.loads(given_up.stdout), example("recovery give-up"))
    assert json.loads(given_up.stdout)["given_up"] == {"recovery": name, "result": "nothing changed", "left": []}
    again = run("recover", "--resume", name)
    assert (again.exit_code, "begins another" in again.stderr) == (1, True)
    assert run("recover", PLAN, "--reason", "why not", "--yes").exit_code == 0
