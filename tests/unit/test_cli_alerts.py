"""``alerts test`` and ``ack`` at a terminal, on a loopback webhook and folder stores."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from backproof.fleet import Fleet
from backproof.operations.incidents import open_incident
from deployments.cli import main
from tests.support.documents import check_keys, example
from tests.support.fleets import PLAN, built, described
from tests.support.histories import NOWHERE
from tests.support.webhook import Webhook, webhook

Run = Callable[..., Result]
SECRET = "canary-in-an-address"


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as listening:
        yield listening


@pytest.fixture
def described_fleet(tmp_path: Path, hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    description = described(NOWHERE, tmp_path)
    description["notifications"] = {
        "ops": {"type": "webhook", "url": f"{hook.url}/{SECRET}"},
        "closed": {"type": "webhook", "url": f"http://127.0.0.1:9/{SECRET}"},
    }
    description["notify"] = {"failure": ["ops", "by-hand"]}
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(description))
    return description


@pytest.fixture
def run(described_fleet: dict[str, Any], tmp_path: Path) -> Run:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["--fleet", str(tmp_path / "fleet.yaml"), *arguments], prog_name="backproof")

    return run


@pytest.fixture
def fleet(described_fleet: dict[str, Any], tmp_path: Path) -> Fleet:
    return built(described_fleet, tmp_path)


def test_a_target_that_takes_a_message_is_told_so(run: Run, hook: Webhook) -> None:
    result = run("alerts", "test", "ops")
    assert result.exit_code == 0
    assert "taken" in result.stdout
    [message] = hook.messages
    assert message["subject"] == "tests: a test of ops"
    assert message["body"].splitlines()[-1] == "What to do: nothing. Alarms of this fleet arrive here."


def test_every_target_is_tried_and_who_was_not_reached_is_named_without_an_address(run: Run, hook: Webhook) -> None:
    result = run("--json", "alerts", "test")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    check_keys(document, example("alerts test"))
    answers = {each["target"]: (each["taken"], each["reason"]) for each in document["targets"]}
    assert answers["ops"] == (True, "")
    assert answers["closed"] == (False, "it could not be reached: ConnectError")
    assert answers["by-hand"][1].startswith("fleet.yaml does not describe it")
    hook.status = 500
    assert "it answered with status 500" in run("alerts", "test", "ops").stdout
    assert SECRET not in result.output


def test_a_fleet_without_targets_says_how_to_have_some(run: Run, described_fleet: Any, tmp_path: Path) -> None:
    del described_fleet["notifications"], described_fleet["notify"]
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(described_fleet))
    result = run("alerts", "test")
    assert result.exit_code == 1
    assert "Describe some under notifications" in result.stderr


def test_an_incident_is_acknowledged_by_name_and_once(run: Run, fleet: Fleet) -> None:
    open_incident(fleet, PLAN, "3f9a1c2b", "the disk is full", datetime.now(UTC))
    result = run("--json", "ack", "shop-3f9a1c2b", "--by", "Ada", "--note", "on it")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    check_keys(document, example("ack"))
    assert (document["by"], document["what"]) == ("Ada", "the disk is full")
    again = run("ack", "shop-3f9a1c2b")
    assert again.exit_code == 1
    assert "was acknowledged already by Ada" in again.stderr


def test_an_id_that_is_none_is_refused(run: Run) -> None:
    assert "no plan is called" in run("ack", "nonsense").stderr
    assert "no incident is called" in run("ack", "shop-00000000").stderr
