"""The flow ``backup`` on a real Prefect server: its order, its retries, its ends, and what it shows."""

import base64
import re
import threading
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import State

from backproof.errors import AccessDenied, BackproofError, Busy, CannotProve, StoreUnavailable, Transient
from backproof.records import Finding
from flows.backup import backup
from tests.support.operations import BACKUP, Operations
from tests.support.prefect_fixtures import eventually

pytestmark = pytest.mark.usefixtures("prefect_api", "fleet_file", "quick_retries")


def down() -> StoreUnavailable:
    return StoreUnavailable("s3://dr answered 503", "Try again later.")


def run(*parameters: Any, **named: Any) -> tuple[State[Any], Any]:
    state = backup(*parameters, return_state=True, **named)
    return state, state.result(raise_on_failure=False)


def test_a_backup_is_sealed_copied_to_every_store_and_proven_from_the_last(operations: Operations) -> None:
    state, record = run("shop", "daily")
    assert operations.calls[:3] == ["sweep", "preflight", "seal"]
    assert sorted(operations.calls[3:]) == ["copy local primary", "copy local secondary", "prove secondary"]
    assert (state.name, record["outcome"], record["backup"]) == ("Completed", "proven", BACKUP)
    assert [copy["store"] for copy in record["copies"]] == ["local", "primary", "secondary"]


def test_without_verification_it_is_sealed_and_not_called_proven(operations: Operations) -> None:
    state, record = run("shop", verify=False)
    assert (state.name, record["outcome"], record["proof"]) == ("Completed", "sealed", None)
    assert not any(call.startswith("prove") for call in operations.calls)


def test_preflight_stops_it_before_anything_is_touched(operations: Operations) -> None:
    operations.findings = [Finding(check="password", status="failed", found="it is wrong", remedy="Correct it.")]
    state, error = run("shop")
    assert state.is_failed()
    assert isinstance(error, BackproofError)
    assert "password: it is wrong" in str(error)
    assert operations.calls == ["sweep", "preflight"]


def test_preflight_is_tried_again_where_all_that_failed_may_pass(operations: Operations) -> None:
    away = Finding(check="database", status="failed", found="connection refused", remedy="Wait.", passing=True)
    operations.findings = [away]
    state, error = run("shop")
    assert state.is_failed()
    assert isinstance(error, Transient)
    assert operations.calls == ["sweep", *["preflight"] * 6]


def test_a_failed_step_that_nobody_waits_for_would_be_lost_and_is_not(operations: Operations) -> None:
    """Prefect calls such a flow completed."""

    @task
    def failing() -> None:
        raise down()

    @flow
    def careless() -> str:
        failing.submit()
        return "all is well"

    assert careless(return_state=True).name == "Completed"
    operations.fail("copy local primary", down(), times=99)
    state, record = run("shop")
    assert (state.name, record["outcome"]) == ("Degraded", "degraded")


def test_a_transient_failure_is_tried_again(operations: Operations) -> None:
    operations.fail("seal", Busy("a lock is held"), times=2)
    state, _ = run("shop")
    assert state.name == "Completed"
    assert operations.called("seal") == 3


def test_a_permanent_failure_is_not_tried_again(operations: Operations) -> None:
    operations.fail("seal", AccessDenied("wrong password"), times=9)
    state, error = run("shop")
    assert state.is_failed()
    assert isinstance(error, AccessDenied)
    assert operations.called("seal") == 1


def test_a_store_that_is_down_costs_its_copy_and_nothing_else(operations: Operations) -> None:
    operations.fail("copy local secondary", down(), times=99)
    state, record = run("shop")
    assert (state.type.value, state.name, record["outcome"]) == ("COMPLETED", "Degraded", "degraded")
    assert operations.called("copy local secondary") == 6
    assert operations.called("copy local primary") == 1
    assert record["proof"]["store"] == "primary"
    assert record["copies"][2] == {
        "store": "secondary",
        "committed": False,
        "stored_bytes": None,
        "reason": str(down()),
    }
    assert "no copy in secondary" in (state.message or "")


def test_with_every_other_store_down_the_sealed_copy_is_proven(operations: Operations) -> None:
    for store in ("primary", "secondary"):
        operations.fail(f"copy local {store}", down(), times=99)
    _, record = run("shop")
    assert (record["outcome"], record["proof"]["store"]) == ("degraded", "local")


def test_sealed_into_a_later_store_it_is_copied_to_the_earlier_ones(operations: Operations) -> None:
    operations.sealed_into = "secondary"
    _, record = run("shop")
    assert record["outcome"] == "proven"
    assert {"copy secondary local", "copy secondary primary", "prove secondary"} <= set(operations.calls)


def test_the_proof_does_not_wait_for_copies_it_does_not_need(operations: Operations) -> None:
    proven = threading.Event()
    operations.before["copy local primary"] = lambda: _wait(proven)
    operations.before["prove secondary"] = proven.set
    _, record = run("shop")
    assert record["outcome"] == "proven"
    assert operations.calls.index("prove secondary") < operations.calls.index("copy local primary")


def test_a_failed_proof_fails_the_run_though_the_copies_stay(operations: Operations) -> None:
    operations.verdict = "failed"
    state, record = run("shop")
    assert state.is_failed()
    assert (record["outcome"], record["proof"]["verdict"]) == ("failed", "failed")
    assert all(copy["committed"] for copy in record["copies"])


@pytest.mark.parametrize("raised", [True, False])
def test_a_proof_that_could_not_run_is_degraded_and_never_a_pass(operations: Operations, raised: bool) -> None:
    if raised:
        operations.fail("prove secondary", CannotProve("no binaries"), times=99)
    else:
        operations.verdict = "could-not-run"
    state, record = run("shop")
    assert (state.name, record["outcome"]) == ("Degraded", "degraded")
    assert any("not proven" in problem for problem in record["problems"])


def test_a_failing_sweep_costs_nothing(operations: Operations) -> None:
    operations.fail("sweep", AccessDenied("cannot remove /tmp/x"))
    state, _ = run("shop")
    assert state.name == "Completed"


def test_an_error_nobody_thought_of_fails_the_run_loudly(operations: Operations) -> None:
    operations.fail("copy local primary", ZeroDivisionError("a mistake of ours"))
    state, error = run("shop")
    assert state.is_failed()
    assert isinstance(error, ZeroDivisionError)
    assert operations.called("prove secondary") == 1


def test_a_run_bears_plan_kind_and_day_in_its_name_and_the_plan_as_a_tag(operations: Operations) -> None:
    state, _ = run("shop", "monthly")
    with get_client(sync_client=True) as client:
        found = client.read_flow_run(_run_id(state))
    assert re.fullmatch(r"shop monthly \d{4}-\d{2}-\d{2}", found.name)
    assert "plan:shop" in found.tags
    assert found.parameters == {"plan": "shop", "kind": "monthly", "verify": True}


def test_the_summary_shows_copies_verdict_rates_and_a_picture_for_both_themes(operations: Operations) -> None:
    state, _ = run("shop")
    [summary] = _artifacts("shop-backup", _run_id(state))
    text = str(summary.data)
    assert "proven: it came back" in text
    assert "| secondary | ✓ committed |" in text
    assert "| copy to primary | 1.5 s | 3.0 MB | 2.0 MB/s |" in text
    picture = base64.b64decode(re.search(r"data:image/svg\+xml;base64,([^)]+)\)", text)[1]).decode()  # type: ignore[index]
    assert '<rect width="760"' in picture
    assert "copy to secondary" in picture


def test_every_phase_leaves_its_progress_at_its_end(operations: Operations) -> None:
    state, _ = run("shop")
    for key in ("shop-seal", "shop-copy-primary", "shop-copy-secondary", "shop-prove"):
        [progress] = _artifacts(key, _run_id(state))
        assert progress.data == 100.0
        assert "MB" in (progress.description or "")


@pytest.mark.parametrize(("verdict", "lost", "told"), [("passed", "", 1), ("passed", "primary", 1), ("failed", "", 0)])
def test_a_proven_backup_is_told_to_automations_and_no_other(
    operations: Operations, verdict: Any, lost: str, told: int
) -> None:
    operations.verdict = verdict
    operations.fail(f"copy local {lost}", down(), times=99)
    state, _ = run("shop")
    events = [event for event in _events(_run_id(state)) if event["event"] == "backproof.backup.proven"]
    assert len(events) == told
    for event in events:
        assert event["resource"]["prefect.resource.id"] == "backproof.plan.shop"
        assert event["payload"]["backup"] == BACKUP


def test_no_secret_of_the_fleet_reaches_the_record(operations: Operations) -> None:
    _, record = run("shop")
    assert "canary-of-the-fleet" not in repr(record)


def _wait(event: threading.Event) -> None:
    assert event.wait(30), "the proof waited"


def _run_id(state: State[Any]) -> UUID:
    assert state.state_details.flow_run_id
    return state.state_details.flow_run_id


def _events(run_id: UUID) -> list[dict[str, Any]]:
    """Once the run's own last event is in: events are sent in order, and arrive a little later."""

    def read() -> list[dict[str, Any]]:
        wanted = {"filter": {"any_resource": {"id": [f"prefect.flow-run.{run_id}"]}}, "limit": 50}
        with get_client(sync_client=True) as client:
            found = client.request("POST", "/events/filter", json=wanted).json()["events"]
        ended = {"prefect.flow-run.Completed", "prefect.flow-run.Degraded", "prefect.flow-run.Failed"}
        return list(found) if ended & {event["event"] for event in found} else []

    return list(eventually(read))


def _artifacts(key: str, run_id: UUID) -> list[Any]:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
    return [artifact for artifact in found if artifact.flow_run_id == run_id]
