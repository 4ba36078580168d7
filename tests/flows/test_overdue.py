"""After downtime the overdue runs of a plan become one; and a run whose machine is gone is marked. On a real server."""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.events import emit_event
from prefect.states import Pending, Running

from deployments.apply import lost_runs
from deployments.servers.prefect import PrefectServer
from flows.overdue import SKIPPED, collapse, kind_of_schedule
from tests.support.prefect_fixtures import eventually

DAY = timedelta(days=1)
SOON = timedelta(seconds=10)


@pytest.fixture
def client(prefect_api: PrefectServer) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as opened:
        yield opened


def scheduled(client: SyncPrefectClient, **crons: str) -> dict[str, list[Any]]:
    """The runs that Prefect's own scheduler has made for a deployment, by kind, earliest first."""
    flow = client.create_flow_from_name("overdue")
    schedules = [
        DeploymentScheduleCreate(slug=kind, schedule=CronSchedule(cron=cron, timezone="UTC"), parameters={"kind": kind})
        for kind, cron in crons.items()
    ]
    made = client.create_deployment(flow_id=flow, name=str(uuid.uuid4()), schedules=schedules)

    def enough() -> Any:
        mine = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[made]))
        by_kind = {kind: [] for kind in crons}  # type: ignore[var-annotated]
        for run in sorted(client.read_flow_runs(flow_run_filter=mine), key=lambda run: run.expected_start_time):
            by_kind[run.parameters["kind"]].append(run)
        return by_kind if all(len(runs) >= 3 for runs in by_kind.values()) else None

    found: dict[str, list[Any]] = eventually(enough, 120, "the scheduler made no runs")
    return found


def due(server: PrefectServer, *ages: tuple[Any, timedelta]) -> None:
    """As if Prefect had stood still for so long: only its database can say so."""
    [home] = [
        entry.partition(b"=")[2].decode()
        for entry in Path(f"/proc/{server.pid}/environ").read_bytes().split(b"\0")
        if entry.startswith(b"PREFECT_HOME=")
    ]
    with closing(sqlite3.connect(Path(home) / "prefect.db", timeout=120)) as database, database:
        for run, age in ages:
            moment = f"{datetime.now(UTC) - age:%Y-%m-%d %H:%M:%S.%f}"
            changed = database.execute(
                "UPDATE flow_run SET expected_start_time = ?, next_scheduled_start_time = ? WHERE id = ?",
                (moment, moment, str(run.id)),
            )
            assert changed.rowcount == 1


def states(client: SyncPrefectClient, runs: list[Any]) -> list[str]:
    return [str(client.read_flow_run(run.id).state_name) for run in runs]


def test_after_downtime_one_run_is_taken_for_all_and_it_is_the_one_kept_longest(
    client: SyncPrefectClient, prefect_api: PrefectServer
) -> None:
    runs = scheduled(client, daily="0 2 * * *", monthly="0 3 1 * *")
    first, second, third = runs["daily"][:3]
    monthly = runs["monthly"][0]
    by_hand = client.create_flow_run_from_deployment(first.deployment_id)
    # Pausing a schedule in the UI makes Prefect forget its parameters; its name stays.
    assert [kind_of_schedule(client, run) for run in (first, monthly, by_hand)] == ["daily", "monthly", None]
    due(prefect_api, *((first, 3 * DAY), (second, 2 * DAY), (third, DAY), (monthly, 2 * DAY)))

    ended = collapse(client, first.id)
    assert ended is not None
    assert (ended.name, ended.is_cancelled()) == (SKIPPED, True)
    assert states(client, [second, third]) == [SKIPPED, SKIPPED]
    client.set_flow_run_state(first.id, ended, force=True)
    assert collapse(client, monthly.id) is None
    assert {*states(client, [by_hand]), *states(client, [monthly])} <= {"Scheduled", "Late"}


def test_of_one_kind_the_latest_is_taken_and_what_is_not_due_stays(
    client: SyncPrefectClient, prefect_api: PrefectServer
) -> None:
    first, second, third, *_ = scheduled(client, daily="0 2 * * *")["daily"]
    due(prefect_api, (first, timedelta(minutes=6)), (second, timedelta(seconds=10)))
    ended = collapse(client, first.id)
    assert ended is not None, "the second stands for both"
    assert not {*states(client, [second, third])} - {"Scheduled", "Late"}
    client.set_flow_run_state(first.id, ended, force=True)
    assert collapse(client, second.id) is None, "nothing else waits"


def test_a_run_that_began_in_time_stands_for_one_that_was_due_before_it_had_begun(
    client: SyncPrefectClient, prefect_api: PrefectServer
) -> None:
    first, second, *_ = scheduled(client, daily="0 2 * * *")["daily"]
    due(prefect_api, (first, timedelta(seconds=70)), (second, timedelta(seconds=10)))
    assert collapse(client, first.id) is None
    assert states(client, [second]) == [SKIPPED]


def test_a_daily_and_a_monthly_backup_of_the_same_minute_are_both_taken(
    client: SyncPrefectClient, prefect_api: PrefectServer
) -> None:
    runs = scheduled(client, daily="0 2 * * *", monthly="0 2 1 * *")
    due(prefect_api, (runs["daily"][0], timedelta(seconds=8)), (runs["monthly"][0], timedelta(seconds=8)))
    assert collapse(client, runs["daily"][0].id) is None
    assert collapse(client, runs["monthly"][0].id) is None


def of_a_worker(client: SyncPrefectClient, fleet: str, *states: State) -> UUID:
    """A run of a fleet's that came into these states."""
    flow = client.create_flow_from_name("lost")
    deployment = client.create_deployment(flow_id=flow, name=fleet, tags=[f"fleet:{fleet}"])
    run = client.create_flow_run_from_deployment(deployment, tags=[f"fleet:{fleet}"])
    for state in states:
        client.set_flow_run_state(run.id, state, force=True)
    return run.id


def crashed(client: SyncPrefectClient, run: UUID) -> str:
    """Wait until somebody says that it is; what is said."""

    def found() -> Any:
        state = client.read_flow_run(run).state
        return state if state and state.is_crashed() else None

    return str(eventually(found, 120, "nobody noticed").message)


def test_a_run_that_gives_no_sign_of_life_any_more_is_marked_as_crashed(client: SyncPrefectClient) -> None:
    made = client.create_automation(lost_runs.silent("lost", silence=SOON))
    run = of_a_worker(client, "lost", Running())
    tag = {"prefect.resource.id": "prefect.tag.fleet:lost", "prefect.resource.role": "tag"}
    emit_event("prefect.flow-run.heartbeat", resource={"prefect.resource.id": f"prefect.flow-run.{run}"}, related=[tag])
    assert crashed(client, run).startswith("No sign of life")
    client.delete_automation(made)


def test_a_run_that_a_worker_took_up_and_never_began_is_marked_as_crashed_and_no_other(
    client: SyncPrefectClient,
) -> None:
    made = client.create_automation(lost_runs.never_begun("unbegun", silence=SOON))
    began = of_a_worker(client, "unbegun", Pending(), Running())
    waits = of_a_worker(client, "unbegun")
    another_fleets = of_a_worker(client, "begun", Pending())
    lost = of_a_worker(client, "unbegun", Pending())
    assert crashed(client, lost).startswith("It never began")
    others = [client.read_flow_run(each).state_name for each in (began, another_fleets)]
    assert (others, client.read_flow_run(waits).state_type) == (["Running", "Pending"], StateType.SCHEDULED)
    client.delete_automation(made)
