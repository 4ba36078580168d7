"""The flow ``replication`` on a real Prefect server and real folders: what it returns, shows and alarms about."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import State

from backproof.errors import ConfigurationError, NotFound, StoreUnavailable
from backproof.fleet import FleetSpec
from backproof.stores.local import LocalStore
from blocks import save_fleet
from blocks.fleet import FILE_VARIABLE
from flows.replication import replication
from tasks import replicate as tasks
from tasks import words
from tests.support.archives import make, rows_of
from tests.support.prefect_fixtures import eventually
from tests.support.recovery_tests import recovery_test, shelved
from tests.support.replicas import FIRST, Replicas, archive, folder

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture
def replicas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replicas:
    """Two plans over two folders; the first has a past, the second none."""
    made = Replicas({"near": folder(tmp_path / "near"), "far": folder(tmp_path / "far")}, tmp_path)
    made.description["plans"]["empty"] = made.description["plans"]["shop"]
    file = tmp_path / "fleet.yaml"
    file.write_text(yaml.safe_dump(made.description))
    monkeypatch.setenv(FILE_VARIABLE, str(file))
    for task in (tasks.survey, tasks.bring):
        monkeypatch.setattr(task, "retry_delay_seconds", [0.01])
    return made


def run(*parameters: Any) -> tuple[State[Any], Any]:
    state = replication(*parameters, return_state=True)
    return state, state.result(raise_on_failure=False)


def test_it_goes_over_every_plan_and_brings_what_is_missing(replicas: Replicas) -> None:
    replicas.lay("near", archive(0))
    replicas.prove(replicas.lay("far", archive(1)), "far", ["far"])
    state, record = run("tests")
    assert (state.name, record["outcome"]) == ("Completed", "complete")
    assert [(plan["plan"], plan["backups"], len(plan["brought"])) for plan in record["plans"]] == [
        ("empty", 0, 0),
        ("shop", 2, 2),
    ]
    replicas.expect_equal()
    (shown,) = _artifacts("shop-replication", state)
    assert f"| `{archive(1).manifest.id}` | daily | {words.size(len(archive(1).stored))} | ✓ | ✓ |" in shown
    assert "| near | 2 | 0 | not at all |" in shown
    (shown,) = _artifacts("tests-fleet-replication", state)
    assert "| shop | far | 2 | 0 | not at all |" in shown


def test_the_plans_are_read_from_the_fleets_block(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    from backproof.fleet.loading import parse

    monkeypatch.delenv(FILE_VARIABLE)
    description = {**replicas.description, "fleet": "replicated"}
    description["plans"] = {f"{name}-of-blocks": plan for name, plan in description["plans"].items()}
    spec: FleetSpec = parse(yaml.safe_dump(description), {}, replicas.folder / "fleet.yaml")
    save_fleet(spec)
    _, record = run("replicated")
    assert [plan["plan"] for plan in record["plans"]] == ["empty-of-blocks", "shop-of-blocks"]
    _, record = run("replicated", ["empty-of-blocks"])
    assert [plan["plan"] for plan in record["plans"]] == ["empty-of-blocks"]


def test_one_failing_plan_degrades_the_run_and_stops_no_other(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    replicas.lay("near", archive(0))
    _failing(monkeypatch, "survey", lambda plan, *_: plan == "empty")
    state, record = run("tests", ["empty", "shop"])
    assert (state.name, record["outcome"]) == ("Degraded", "degraded")
    assert [plan["outcome"] for plan in record["plans"]] == ["failed", "complete"]
    assert "empty: s3://dr answered 503" in (state.message or "")
    replicas.expect_equal()


def test_a_run_that_could_see_nothing_has_failed(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, "survey", lambda *_: True)
    state, record = run("tests")
    assert (state.is_failed(), record["outcome"]) == (True, "failed")


def test_a_store_that_goes_down_is_not_tried_for_each_backup_again(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(3):
        replicas.lay("near", archive(day))
    calls = _failing(monkeypatch, "bring", lambda *_: True)
    state, record = run("tests", ["shop"])
    assert state.name == "Degraded"
    assert len(calls) == 6, "the first one with its retries, and no more"
    (problem,) = record["plans"][0]["problems"]
    assert problem.startswith(f"far still lacks {archive(2).manifest.id} and 2 more: s3://dr answered 503")
    (_, far) = record["plans"][0]["stores"]
    assert (far["store"], far["whole"], far["lacking"], far["behind_seconds"]) == ("far", 0, 3, None)


def test_the_lag_of_a_store_is_told(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas.lay("near", archive(0))
    replicas.replicate()
    replicas.lay("near", archive(2))
    _failing(monkeypatch, "bring", lambda *_: True)
    state, record = run("tests", ["shop"])
    assert record["plans"][0]["stores"][1]["behind_seconds"] == timedelta(days=2).total_seconds()
    (shown,) = _artifacts("shop-replication", state)
    assert "| far | 1 | 1 | 48 h 0 min |" in shown


def test_a_report_that_a_store_missed_is_brought_there(replicas: Replicas) -> None:
    report = shelved(replicas.fleet, recovery_test())
    for key, content in report.items():
        replicas.fleet.store("near").put(key, [content])
    state, record = run("tests", ["shop"])
    assert (state.name, record["plans"][0]["reports"]) == ("Completed", 3)
    assert replicas.held("far") == report


def test_differing_copies_degrade_the_run_and_are_an_event(replicas: Replicas) -> None:
    other = make([rows_of("public.users", b"another\n")], taken_at=FIRST)
    replicas.lay("near", archive(0))
    replicas.lay("far", other)
    replicas.lay("near", archive(1))
    state, record = run("tests", ["shop"])
    assert state.name == "Degraded"
    assert "is not the same archive in every store" in (state.message or "")
    assert record["plans"][0]["problems"] == []
    assert replicas.held("far").keys() > {name for name in replicas.held("near") if "11-08" in name}
    (event,) = (each for each in _events(state) if each["event"].startswith("backproof."))
    assert event["event"] == "backproof.copies.differ"
    assert event["resource"]["prefect.resource.id"] == "backproof.plan.shop"
    assert event["payload"]["backup"] == archive(0).manifest.id
    (shown,) = _artifacts("shop-replication", state)
    assert "**damaged** | **damaged** |" in shown


def test_what_is_found_damaged_while_it_is_carried_out_is_an_alarm_too(replicas: Replicas) -> None:
    laid = replicas.lay("near", archive(0))
    place = replicas.fleet.store("near")
    assert isinstance(place, LocalStore)
    (file,) = Path(place.location()).rglob("*.sql.gz")
    file.write_bytes(bytes(reversed(laid.stored)))
    state, record = run("tests", ["shop"])
    assert state.name == "Degraded"
    (alarm,) = record["plans"][0]["alarms"]
    assert (alarm["what"], alarm["stores"]) == ("damaged", ["near"])
    assert [each["event"] for each in _events(state) if each["event"].startswith("backproof.")] == [
        "backproof.copy.damaged"
    ]


def test_a_fleet_that_is_nowhere_is_told(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    state, error = run("no-such-fleet")
    assert state.is_failed()
    assert isinstance(error, ConfigurationError)
    monkeypatch.delenv(FILE_VARIABLE)
    _, error = run("no-such-fleet")
    assert isinstance(error, NotFound)


def test_a_run_is_called_after_its_fleet(replicas: Replicas) -> None:
    state, _ = run("tests", ["empty"])
    with get_client(sync_client=True) as client:
        found = client.read_flow_run(_run_id(state))
    assert found.name.startswith("tests replication 20")
    assert "plan:empty" in found.tags


def _failing(monkeypatch: pytest.MonkeyPatch, name: str, when: Callable[..., bool]) -> list[Any]:
    """An operation that ends as where a store is down, for some of its calls."""
    real, calls = getattr(tasks.operation, name), []

    def failing(fleet: Any, *given: Any) -> Any:
        if not when(*given):
            return real(fleet, *given)
        calls.append(given)
        raise StoreUnavailable("s3://dr answered 503", "Try again later.")

    monkeypatch.setattr(tasks.operation, name, failing)
    return calls


def _run_id(state: State[Any]) -> UUID:
    assert state.state_details.flow_run_id
    return state.state_details.flow_run_id


def _artifacts(key: str, state: State[Any]) -> list[str]:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
    return [str(artifact.data) for artifact in found if artifact.flow_run_id == _run_id(state)]


def _events(state: State[Any]) -> list[dict[str, Any]]:
    """Once the run's own last event is in: events are sent in order, and arrive a little later."""

    def read() -> list[dict[str, Any]]:
        wanted = {"filter": {"any_resource": {"id": [f"prefect.flow-run.{_run_id(state)}"]}}, "limit": 50}
        with get_client(sync_client=True) as client:
            found = client.request("POST", "/events/filter", json=wanted).json()["events"]
        ended = {"prefect.flow-run.Completed", "prefect.flow-run.Degraded", "prefect.flow-run.Failed"}
        return list(found) if ended & {event["event"] for event in found} else []

    return list(eventually(read))
