"""The flow ``retention`` on a real Prefect server: plan by plan, one stopping no other, and what it shows."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import State

import blocks
from backproof.errors import BackproofError, NotFound
from backproof.fleet import Fleet
from backproof.measures import Forecast
from backproof.operations.pin import pin
from blocks import plans_of, save_fleet
from blocks.fleet import FILE_VARIABLE
from flows.retention import retention
from flows.retention_summary import retention_summary
from tasks import stopping, tests_due
from tests.support.fleets import PLAN, built, described
from tests.support.histories import NOWHERE, days_ago, ids, put
from tests.support.recovery_tests import recovery_test

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """Two plans that differ in their stores: ``shop`` with a history, and ``blog``, whose only store is broken."""
    description = described(NOWHERE, tmp_path)
    description["stores"]["broken"] = {"type": "local", "path": str(tmp_path / "broken")}
    description["plans"] = {"blog": {**description["plans"][PLAN], "stores": ["broken"]}} | description["plans"]
    (tmp_path / "broken").write_text("no folder")
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(description))
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "fleet.yaml"))
    fleet = built(description, tmp_path)
    for days in (1, 2, 40, 50, 60):
        put(fleet, days_ago(days))
    return fleet


def run(*parameters: Any, **named: Any) -> tuple[State[Any], Any, str]:
    """Its state, its record and its artifact."""
    state = retention(*parameters, return_state=True, **named)
    return state, state.result(raise_on_failure=False), _summary(state)


def test_what_is_due_goes_and_the_artifact_says_what_and_why(fleet: Fleet) -> None:
    pin(fleet, PLAN, ids(fleet, "near")[0], "the audit | of 2025")
    state, record, summary = run("tests", [PLAN])
    assert (state.name, state.message) == ("Completed", "1 plans, 2 backups deleted.")
    assert (record[PLAN]["deleted"], record[PLAN]["kept"], record[PLAN]["problems"]) == (2, 3, [])
    assert len(ids(fleet, "near")) == len(ids(fleet, "far")) == 3
    assert "## tests: retention" in summary
    assert "| shop | 2 | 3 |" in summary
    assert "| daily | near, far |" in summary
    assert "its period ended" in summary
    assert "Kept for their period: 2 daily." in summary
    assert r"pinned: the audit \| of 2025" in summary


def test_a_plan_that_fails_degrades_the_run_and_stops_no_other(fleet: Fleet) -> None:
    state, record, summary = run("tests")
    assert (state.type.value, state.name) == ("COMPLETED", "Degraded")
    assert list(record) == ["blog", "shop"]
    assert (record["blog"]["deleted"], record["shop"]["deleted"]) == (0, 3)
    assert "store broken could not be listed whole" in (state.message or "")
    assert "⚠ nothing is deleted: store broken could not be listed whole" in summary


def test_an_error_in_one_plan_is_told_and_the_others_go_on(fleet: Fleet) -> None:
    state, record, summary = run("tests", ["shpo", "shop"])
    assert state.name == "Degraded"
    assert record["shop"]["deleted"] == 3
    assert "no plan is called 'shpo'" in record["shpo"]["problems"][0]
    assert "It could not be looked through. no plan is called 'shpo'" in summary


def test_a_dry_run_deletes_nothing_and_says_so(fleet: Fleet) -> None:
    _, record, summary = run("tests", [PLAN], dry_run=True)
    assert record[PLAN]["deleted"] == 3
    assert len(ids(fleet, "near")) == 5
    assert "a dry run: nothing was deleted" in summary
    assert "**To be deleted**" in summary


def test_a_quarter_without_a_recovery_test_is_told_and_its_alarm_is_raised_once(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(tests_due, "log", lambda _: None)
    monkeypatch.setattr(tests_due, "emit_event", lambda event, resource, payload: raised.append((event, resource)))
    state, _, summary = run("tests", [PLAN])
    assert "recovery test" not in (state.message or "") + summary, "a plan that is new is given a quarter"
    monkeypatch.setattr(stopping, "now", lambda: datetime.now(UTC) + timedelta(days=101))
    for _ in range(2):
        overdue = tests_due.tests_due.fn(PLAN)
        assert overdue is not None
        assert overdue.overdue
    assert [(event, resource["prefect.resource.id"]) for event, resource in raised] == [
        (tests_due.OVERDUE, f"backproof.plan.{PLAN}")
    ]
    told = retention_summary("tests", {}, False, {PLAN: overdue})
    assert "### Recovery tests" in told
    assert f"Rehearse now: backproof recovery-test {PLAN}" in told


def test_the_alarm_of_an_outlook_is_raised_within_two_quarters(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[dict[str, str]] = []
    monkeypatch.setattr(tests_due, "log", lambda _: None)
    monkeypatch.setattr(tests_due, "emit_event", lambda event, resource, payload: raised.append(payload))
    now = datetime(2026, 1, 6, 9, tzinfo=UTC)
    for days in (None, 200, 180):
        at = None if days is None else now + timedelta(days=days)
        record = recovery_test(forecast=Forecast(known=True, outgrown_at=at))
        assert tests_due.warn_of_outlook.fn(record, now) is (days == 180)
    [told] = raised
    assert "longer than the objective of 60 minutes from 2026-07-05 on" in told["what"]


def test_another_fleet_than_the_environment_s_is_refused(fleet: Fleet) -> None:
    state = retention("others", return_state=True)
    assert state.is_failed()
    assert isinstance(state.result(raise_on_failure=False), BackproofError)


def test_a_fleet_of_blocks_knows_its_plans(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = fleet.spec.model_copy(
        update={
            "fleet": "of-blocks",
            "plans": {"retained": fleet.plan(PLAN)},
            "databases": {"retained-db": fleet.spec.databases["shop-db"]},
        }
    )
    monkeypatch.delenv(FILE_VARIABLE)
    save_fleet(spec)
    try:
        assert plans_of("of-blocks") == ("retained",)
    finally:
        blocks.Fleet.delete("of-blocks")  # the server is shared
    with pytest.raises(NotFound):
        plans_of("nobodys")


def test_a_run_is_called_by_fleet_flow_and_day(fleet: Fleet) -> None:
    state, _, _ = run("tests", [PLAN])
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(_run_id(state)).name.startswith("tests retention 20")


def _run_id(state: State[Any]) -> UUID:
    assert state.state_details.flow_run_id
    return state.state_details.flow_run_id


def _summary(state: State[Any]) -> str:
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=["tests-retention"]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    (artifact,) = [each for each in found if each.flow_run_id == _run_id(state)]
    return str(artifact.data)
