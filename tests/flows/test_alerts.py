"""Alerts on a real Prefect server behind a password: one message an event, none besides, through restarts."""

import sqlite3
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import _temporary_global_settings_context, get_settings_context
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_LOGGING_LEVEL, temporary_settings
from prefect.states import Completed, Crashed, Failed, Pending, Running, Scheduled

from backproof.alarms import standing
from backproof.errors import NotFound
from backproof.fleet import FleetSpec, parse
from blocks.notifications import block_name
from deployments import alerts
from deployments.apply import deploy
from deployments.apply.deployments import Deployments
from deployments.apply.work_pools import WorkPools
from tasks import deadlines
from tests.support.prefect_fixtures import eventually, text_of
from tests.support.prefect_restarts import PASSWORD, RestartingServer
from tests.support.webhook import Webhook, webhook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CANARY = "canary-of-a-webhook"
FLEET = """
fleet: alarmed
signing: {{private_key: {key}}}
late_after: 20s
stores: {{local: {{type: local, path: {folder}/store}}}}
databases: {{db: {{engine: postgresql, port: 1, name: shop, user: u}}}}
notify: {{failure: [ops]}}
notifications:
  ops: {{type: webhook, url: "{url}", headers: {{Authorization: {canary}}}}}
  team: {{type: webhook, url: "{url}", fields: {{text: "{{{{subject}}}}", to: team}}}}
plans:
  alarm-shop: {{database: db, encryption: none, schedules: &no {{daily: [], monthly: []}}, notify: {{success: [team]}}}}
  alarm-blog: {{database: db, encryption: none, schedules: *no, objectives: {{rpo: 2d}}}}
  alarm-quiet: {{database: db, encryption: none, schedules: *no, notify: {{failure: [], success: []}}}}
"""


def fleet(folder: Path, url: str, **changed: str) -> FleetSpec:
    text = FLEET.format(key=b64encode(b"s" * 32).decode(), folder=folder, url=url, canary=CANARY)
    for old, new in changed.items():
        text = text.replace(old, new)
    return parse(text, {}, folder / "fleet.yaml")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestartingServer]:
    running = RestartingServer(tmp_path_factory.mktemp("alerts"))
    running.start()
    chosen = {PREFECT_API_URL: running.url, PREFECT_API_AUTH_STRING: PASSWORD, PREFECT_LOGGING_LEVEL: "WARNING"}
    try:
        with temporary_settings(chosen), _temporary_global_settings_context(get_settings_context()):
            yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def hook() -> Iterator[Webhook]:
    with webhook() as listening:
        yield listening
        assert listening.messages == listening.messages[: listening._read], "messages that nobody expected"


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory, hook: Webhook) -> FleetSpec:
    return fleet(tmp_path_factory.mktemp("alarmed"), hook.url)


@pytest.fixture
def client(server: RestartingServer) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as connected:
        yield connected


@pytest.fixture(scope="module")
def applied(server: RestartingServer, spec: FleetSpec) -> alerts.Changes:
    deploy(spec, [WorkPools, Deployments])
    with get_client(sync_client=True) as connected:
        return alerts.ensure(spec, connected)


def start(client: SyncPrefectClient, name: str, **settings: Any) -> FlowRun:
    deployment = client.read_deployment_by_name(name)
    return client.create_flow_run_from_deployment(deployment.id, **settings)


def end(client: SyncPrefectClient, run: UUID, state: Any) -> None:
    for each in (Pending(), Running(), state):
        client.set_flow_run_state(run, each, force=True)


def waiting(server: RestartingServer) -> int:
    """Runs that were late, and of which nothing was heard since."""
    with closing(sqlite3.connect(f"file:{server.folder}/prefect.db?mode=ro", uri=True)) as database:
        [[count]] = database.execute("SELECT count(*) FROM automation_bucket WHERE count = 0 AND [end] > [start]")
    return int(count)


def test_applying_makes_blocks_automations_and_deadlines_and_again_changes_nothing(
    applied: alerts.Changes, spec: FleetSpec, client: SyncPrefectClient
) -> None:
    assert sorted(applied.created) == [
        "automation alarmed: late runs of the whole fleet to ops",
        "automation alarmed: late runs to ops",
        "automation alarmed: overdue, no worker to ops",
        "automation alarmed: proven backups to team",
        "automation alarmed: trouble of the whole fleet to ops",
        "automation alarmed: trouble to ops",
        "block alarmed--ops",
        "block alarmed--team",
        "deadline of alarm-blog",
        "deadline of alarm-quiet",
        "deadline of alarm-shop",
    ]
    before = alerts.actual_automations("alarmed", client)
    assert not alerts.ensure(spec, client)
    assert alerts.actual_automations("alarmed", client) == before


def test_a_change_keeps_ids_and_what_somebody_switched_off(
    applied: alerts.Changes, spec: FleetSpec, client: SyncPrefectClient, hook: Webhook
) -> None:
    before = alerts.actual_automations("alarmed", client)
    late = before["alarmed: late runs to ops"]
    client.pause_automation(late.id)
    changed = fleet(spec.stores["local"].path.parent, hook.url, **{"late_after: 20s": "late_after: 30s"})
    assert sorted(alerts.ensure(changed, client).updated) == [
        "automation alarmed: late runs of the whole fleet to ops",
        "automation alarmed: late runs to ops",
    ]
    after = alerts.actual_automations("alarmed", client)["alarmed: late runs to ops"]
    assert (after.id, after.enabled) == (late.id, False)
    client.resume_automation(late.id)
    assert len(alerts.ensure(spec, client).updated) == 2


def test_another_fleet_whose_name_begins_alike_is_left_alone(
    applied: alerts.Changes, spec: FleetSpec, client: SyncPrefectClient, tmp_path: Path, hook: Webhook
) -> None:
    other = fleet(tmp_path, hook.url, **{"fleet: alarmed": "fleet: alarmed-too", "alarm-": "too-"})
    other = other.model_copy(update={"plans": {}, "notify": other.notify})
    before = alerts.actual_automations("alarmed", client)
    created = alerts.ensure(other, client).created
    assert len(created) == 4
    assert alerts.actual_automations("alarmed", client) == before
    assert sorted(alerts.remove("alarmed-too", client).removed) == sorted(created)
    assert not alerts.ensure(spec, client)


def test_a_target_that_nobody_describes_is_refused(applied: alerts.Changes, spec: FleetSpec, client: Any) -> None:
    nobody = spec.model_copy(update={"notify": spec.notify.model_copy(update={"failure": ("nobody",)})})
    with pytest.raises(NotFound, match="no target of messages is called 'nobody'"):
        alerts.desired_automations(nobody, client)


def test_a_run_that_fails_is_told_once_with_its_remedy(
    applied: alerts.Changes, client: SyncPrefectClient, hook: Webhook
) -> None:
    run = start(client, "backup/alarm-shop-backup")
    known = "Flow run encountered an exception: AccessDenied: cannot log in {{address}}. Change the password."
    end(client, run.id, Failed(message=known))
    [message] = hook.next()
    assert message["subject"] == f"alarm-shop: {run.name} failed"
    lines = message["body"].splitlines()
    assert lines[:2] == ["Plan: alarm-shop", "What: cannot log in { {address}}. Change the password."]
    assert lines[2].startswith(f"Since: {datetime.now(UTC):%Y-}")
    assert lines[2].endswith(" UTC")
    assert lines[3].startswith("What to do: Mend what is named, then start the run again")
    assert lines[4].endswith(f"/runs/flow-run/{run.id}")
    assert hook.headers[-1]["Authorization"] == CANARY


def test_an_error_of_another_kind_is_named_and_not_repeated(
    applied: alerts.Changes, client: SyncPrefectClient, hook: Webhook
) -> None:
    run = start(client, "backup/alarm-shop-backup")
    end(client, run.id, Failed(message="Flow run encountered an exception: KeyError: 'a-secret'"))
    [message] = hook.next()
    assert "KeyError: an error that Backproof does not know." in message["body"]
    assert "a-secret" not in str(message)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (Crashed(message="process exited with status -9"), "was lost"),
        (Completed(name="Degraded", message="backup_x is safe. no copy in far: it is away."), "is degraded"),
    ],
)
def test_a_run_that_is_lost_or_degraded_is_told(
    applied: alerts.Changes, client: SyncPrefectClient, hook: Webhook, state: Any, said: str
) -> None:
    run = start(
        client, "verification/alarmed.verification", parameters={"plan": "alarm-blog"}, tags=["plan:alarm-blog"]
    )
    end(client, run.id, state)
    [message] = hook.next()
    assert message["subject"] == f"alarm-blog: {run.name} {said}"


def test_what_is_well_and_what_nobody_asked_for_is_not_told(
    applied: alerts.Changes, client: SyncPrefectClient, hook: Webhook
) -> None:
    end(client, start(client, "backup/alarm-quiet-backup").id, Failed(message="quiet"))
    end(client, start(client, "backup/alarm-shop-backup").id, Completed(message="well"))
    payload = {"plan": "alarm-shop", "backup": "backup_2025-11-07_020000"}
    for plan, outcome in (("alarm-blog", "proven"), ("alarm-shop", "degraded"), ("alarm-shop", "proven")):
        resource = {
            "prefect.resource.id": f"backproof.plan.{plan}",
            "prefect.resource.name": plan,
            "backproof.outcome": outcome,
        }
        related = [{"prefect.resource.id": "prefect.tag.fleet:alarmed", "prefect.resource.role": "tag"}]
        event = {"event": "backproof.backup.proven", "resource": resource, "related": related, "payload": payload}
        body = [event | {"occurred": datetime.now(UTC).isoformat(), "id": str(UUID(int=time.monotonic_ns()))}]
        client.request("POST", "/events", json=body).raise_for_status()
    assert hook.next() == [{"text": "alarm-shop: backup_2025-11-07_020000 is proven", "to": "team"}]


def test_a_plan_without_a_worker_is_overdue_though_the_server_was_down_when_it_became_so(
    applied: alerts.Changes, server: RestartingServer, spec: FleetSpec, hook: Webhook
) -> None:
    with get_client(sync_client=True) as client:
        deployment = deadlines.find_deployment(client, "alarmed")
        assert deployment is not None
        before = deadlines.runs_ahead(client, deployment, "alarm-blog")
        objectives = spec.plans["alarm-blog"].objectives
        since = datetime.now(UTC) - objectives.rpo - objectives.grace + timedelta(seconds=3)
        found = standing("alarm-blog", None, since, objectives, datetime.now(UTC))
        assert deadlines.place(client, deployment, found)
    server.stop()
    server.start()
    [message] = hook.next()
    assert message["subject"] == "alarm-blog: no proven backup in time"
    assert f"since {since:%Y-%m-%d %H:%M:%S} UTC: longer than 2d and 2h of grace." in message["body"]
    assert "No worker took up the look" in message["body"]
    with get_client(sync_client=True) as client:
        assert [run.id for run in deadlines.runs_ahead(client, deployment, "alarm-blog")] == [before[0].id]


def test_a_run_that_no_worker_takes_up_is_told_after_a_while_through_a_restart(
    applied: alerts.Changes, server: RestartingServer, hook: Webhook
) -> None:
    with get_client(sync_client=True) as client:
        taken = start(client, "backup/alarm-blog-backup", state=Scheduled(scheduled_time=datetime.now(UTC)))
        late = start(client, "backup/alarm-shop-backup", state=Scheduled(scheduled_time=datetime.now(UTC)))
        eventually(lambda: client.read_flow_run(late.id).state_name == "Late", what="the run is late")
        eventually(lambda: client.read_flow_run(taken.id).state_name == "Late", what="the other too")
        client.set_flow_run_state(taken.id, Pending(), force=True)
    # The server keeps what its triggers have seen, but not what is on its way to them.
    eventually(lambda: waiting(server) == 1 or hook.messages[hook._read :], what="its triggers wait for one run")
    server.stop()
    server.start()
    [message] = hook.next()
    assert message["subject"] == f"alarm-shop: {late.name} waits for a worker"
    with get_client(sync_client=True) as client:
        client.delete_flow_run(late.id)
        client.delete_flow_run(taken.id)


def test_no_secret_of_a_target_lies_in_clear_on_the_server(applied: alerts.Changes, server: RestartingServer) -> None:
    stored = text_of(server.folder)
    assert block_name("alarmed", "ops").encode() in stored
    assert CANARY.encode() not in stored
