"""``backproof ready``: what a recovery needs is looked at on real servers; what is missing is named, that is all."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from backproof.recovery import readiness
from deployments.cli import main
from tests.support.doctor import same
from tests.support.documents import check_keys, example
from tests.support.engine_harness import HARNESSES
from tests.support.fleets import PLAN, key
from tests.support.recovering import Live, World, world


@pytest.fixture(scope="module", params=HARNESSES, ids=lambda harness: harness.engine)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    server = request.getfixturevalue(request.param.servers[-1])
    with world(request.param, server, tmp_path_factory.mktemp("ready")) as made:
        yield made


@pytest.fixture(scope="module")
def live(made: World) -> Live:
    return made.live()


@pytest.fixture(autouse=True)
def state(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the command looks for this machine's journals."""
    monkeypatch.setenv("XDG_STATE_HOME", str(live.file.parent / "state"))


def found(live: Live, **change: Any) -> tuple[int, dict[str, tuple[str, str]], dict[str, Any]]:
    """Exit status, each check's result and words, and the document; a plan's or another part's words are changed."""
    description = yaml.safe_load(live.file.read_text())
    for part, words in change.items():
        description[part] = {**description[part], **words}
    file = live.file.with_name("changed.yaml")
    file.write_text(yaml.safe_dump(description))
    answer = CliRunner().invoke(main, ["--json", "--fleet", str(file), "ready", PLAN], prog_name="backproof")
    document = json.loads(answer.stdout)
    check_keys(document, example("ready"))
    for each in document["findings"]:
        assert each["status"] == "ok" or each["remedy"].endswith(".")
    assert document["ready"] is (answer.exit_code != 1)
    return answer.exit_code, {each["check"]: (each["status"], each["found"]) for each in document["findings"]}, document


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_plan_that_could_be_recovered_is_ready_and_nothing_was_changed(live: Live) -> None:
    folders = [live.world.folder / name for name in ("near", "far")]
    before, databases = [files(folder) for folder in folders], live.world.databases()
    status, checks, document = found(live)
    assert {name: each for name, each in checks.items() if each[0] == "failed"} == {}
    assert status == 3, "there is no escrow key, for one"
    assert checks["escrow key"][0] == checks["people"][0] == "warning"
    for name in ("backup", "copies", "archive", "server", "version", "space on the server", "room in near", "time"):
        assert checks[name][0] == "ok", name
    assert "for the database beside the live one" in checks["space on the server"][1]
    assert " free, " in checks["space on the server"][1]
    assert document["backup"] == live.world.backup
    assert document["expected_seconds"] > 0
    assert document["objective_seconds"] == 1800
    words = CliRunner().invoke(main, ["--fleet", str(live.file), "ready", PLAN], prog_name="backproof")
    assert words.exit_code == status
    assert "could be recovered now" in words.stdout
    assert [each["found"] for each in document["findings"] if same(each["found"]) not in same(words.stdout)] == []
    assert [files(folder) for folder in folders] == before
    assert live.world.databases() == databases


def test_it_looks_at_the_backup_that_recover_would_take(live: Live) -> None:
    def asked(*words: str) -> dict[str, Any]:
        answer = CliRunner().invoke(main, ["--json", "--fleet", str(live.file), *words], prog_name="backproof")
        read: dict[str, Any] = json.loads(answer.stdout)
        return read

    moment = ("--before", datetime.now(UTC).isoformat())
    shown, ready = asked("recover", PLAN, "--show", *moment)["proposal"], asked("ready", PLAN, *moment)
    assert (ready["backup"], ready["passed_over"]) == (shown["backup"], shown["passed_over"])
    assert ready["ready"] is True
    assert asked("ready", PLAN, "--before", "2001-01-01")["backup"] is None


def test_what_is_missing_is_named_and_fails_it(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    database = yaml.safe_load(live.file.read_text())["databases"]["shop-db"]
    status, checks, _ = found(live, databases={"shop-db": {**database, "port": 1}})
    assert (status, checks["server"][0], checks["archive"][0]) == (1, "failed", "ok")

    status, checks, _ = found(live, keys={"main": {"aes256": key()}})
    assert (status, checks["archive"][0]) == (1, "failed")

    status, checks, document = found(live, signing={"private_key": key()})
    assert (status, checks["backup"][0], document["backup"]) == (1, "failed", None)

    status, checks, _ = found(live, databases={"shop-db": {**database, "name": "no_such_database"}})
    assert (status, checks["database"][0]) == (3, "warning")

    monkeypatch.setattr(readiness, "STORE_SHARE", 1e12)
    status, checks, _ = found(live)
    assert (status, checks["room in near"][0]) == (1, "failed")


def test_a_store_that_is_gone_is_a_warning_while_another_has_the_backup(live: Live) -> None:
    stores = yaml.safe_load(live.file.read_text())["stores"]
    (live.file.parent / "a file").touch()
    gone = {"type": "local", "path": str(live.file.parent / "a file" / "far")}
    status, checks, _ = found(live, stores={**stores, "far": gone})
    assert (status, checks["store far"][0], checks["copies"][0]) == (3, "warning", "warning")


def test_a_recovery_that_has_not_ended_is_in_the_way(live: Live) -> None:
    begun = live.begin()
    try:
        status, checks, _ = found(live)
        assert (status, checks["recoveries"]) == (1, ("failed", f"{begun.journal.recovery} has not ended"))
    finally:
        begun.journal.write("recovery", "closed", {"result": "nothing changed"})
