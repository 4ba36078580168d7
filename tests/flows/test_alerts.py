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
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import CronSchedule
from prefect.context import _temporary_global_settings_context, get_settings_context
from prefect.events.schemas.automations import Automation
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_LOGGING_LEVEL, temporary_settings
from prefect.states import Completed, Crashed, Failed, Pending, Running, Scheduled

from backproof.alarms import recovery_point
from backproof.archive.manifest import archive_name
from backproof.errors import NotFound
from backproof.fleet import Fleet, FleetSpec, LocalStoreSpec, parse
from backproof.naming import MANIFEST, Name, ProofPart, key
from backproof.operations.incidents import incidents
from blocks.fleet import FILE_VARIABLE
from blocks.notifications import block_name, tell
from deployments.apply import carry_out, deploy, outlook
from deployments.apply.alerts import Alerts
from deployments.apply.deployments import Deployments
from deployments.apply.due import Deadlines
from deployments.apply.targets import Targets
from deployments.apply.work_pools import WorkPools
from deployments.servers.prefect import drain
from flows.deadline import deadline
from flows.escalation import acknowledge, escalation
from flows.recovery import MISSED
from tasks import deadlines
from tests.support import archives
from tests.support.histories import days_ago
from tests.support.prefect_fixtures import eventually, text_of
from tests.support.prefect_restarts import PASSWORD, RestartingServer
from tests.support.replicas import proof_of
from tests.support.webhook import Webhook, webhook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CANARY = "canary-of-a-webhook"
FLEET = """
fleet: alarmed
signing: {{private_key: {key}}}
late_after: 45s
schedules: {{retention: [], replication: []}}
stores: {{local: {{type: local, path: {folder}/store}}}}
databases: {{db: {{engine: postgresql, port: 1, name: shop, user: u}}}}
notify: {{failure: [ops]}}
notifications:
  ops: {{type: webhook, url: "{url}", headers: {{Authorization: {canary}}}}}
  team: {{type: webhook, url: "{url}", fields: {{text: "{{{{subject}}}}", to: team}}}}
plans:
  alarm-shop: {{database: db, encryption: none, schedules: &no {{daily: [], monthly: []}}, notify: {{success: [team]}}}}
  alarm-blog: {{database: db, encryption: none, schedules: *no, objectives: {{rpo: 2d}}}}
  alarm-pager:
    database: db
    encryption: none
    schedules: *no
    notify: {{failure: [team]}}
    escalation:
      - {{name: on-call engineer, notify: [team, ops], wait: 1s}}
      - {{name: vendor, notify: [ops], wait: 1s}}
      - {{name: nobody yet, notify: [ops]}}
  alarm-quiet: {{database: db, encryption: none, schedules: *no, notify: {{failure: [], success: []}}}}
"""


WHAT_RUNS = (WorkPools, Deployments)
WHAT_TELLS = (Targets, Alerts, Deadlines)


def text_for(folder: Path, url: str) -> str:
    return FLEET.format(key=b64encode(b"s" * 32).decode(), folder=folder, url=url, canary=CANARY)


def fleet(folder: Path, url: str, **changed: str) -> FleetSpec:
    text = text_for(folder, url)
    for old, new in changed.items():
        text = text.replace(old, new)
    return parse(text, {}, folder / "fleet.yaml")


def folder_of(spec: FleetSpec) -> Path:
    store = spec.stores["local"]
    assert isinstance(store, LocalStoreSpec)
    return store.path.parent


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestartingServer]:
    running = RestartingServer(tmp_path_factory.mktemp("alerts"))
    running.start()
    chosen = {PREFECT_API_URL: running.url, PREFECT_API_AUTH_STRING: PASSWORD, PREFECT_LOGGING_LEVEL: "WARNING"}
    try:
        with temporary_settings(chosen), _temporary_global_settings_context(get_settings_context()):
            yield running
            drain()
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
def fleet_file(spec: FleetSpec, hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What flows read it from that are run here."""
    path = folder_of(spec) / "fleet.yaml"
    path.write_text(text_for(path.parent, hook.url))
    monkeypatch.setenv(FILE_VARIABLE, str(path))
    return path


@pytest.fixture
def client(server: RestartingServer) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as connected:
        yield connected


def apply(spec: FleetSpec, remove: bool = False) -> list[str]:
    """What was done: ``create target custom-webhook/alarmed--ops``."""
    with get_client(sync_client=True) as connected:
        seen = outlook(connected, spec, WHAT_TELLS)
        carry_out(connected, seen, remove)
    changes = [*seen.changes, *(seen.gone if remove else ())]
    return sorted(f"{each.action} {each.thing.sort} {each.thing.name}" for each in changes)


@pytest.fixture(scope="module")
def applied(server: RestartingServer, spec: FleetSpec) -> list[str]:
    deploy(spec, WHAT_RUNS)
    return apply(spec)


def automations(client: SyncPrefectClient, fleet: str = "alarmed") -> dict[str, Automation]:
    found = client.request("POST", "/automations/filter", json={"limit": 200, "sort": "CREATED_DESC"}).json()
    every = [Automation.model_validate(each) for each in found]
    return {each.name: each for each in every if each.name.startswith(f"{fleet}: ")}


def put_plain(fleet: Fleet, plan: str, taken_at: datetime) -> Name:
    """A proven backup, where nothing is encrypted."""
    archive = archives.make(plan=plan, taken_at=taken_at)
    store = fleet.stores(plan)[0]
    name = archive_name(archive.manifest)
    store.put(key(name), [archive.stored])
    store.put(key(name.with_part(MANIFEST)), [fleet.signer.sign(archive.manifest)])
    proof = proof_of(archive.manifest, store.name, "passed", taken_at + timedelta(minutes=1))
    store.put(key(name.with_part(ProofPart(proof.finished_at, "passed"))), [fleet.signer.sign(proof)])
    return name


def start(client: SyncPrefectClient, deployed_as: str, **settings: Any) -> FlowRun:
    deployment = client.read_deployment_by_name(deployed_as)
    return client.create_flow_run_from_deployment(deployment.id, **settings)


def end(client: SyncPrefectClient, run: UUID, state: Any) -> None:
    for each in (Pending(), Running(), state):
        client.set_flow_run_state(run, each, force=True)


def waiting(server: RestartingServer) -> int:
    """Runs that were late, and of which nothing was heard since."""
    with closing(sqlite3.connect(f"file:{server.folder}/prefect.db?mode=ro", uri=True)) as database:
        [[count]] = database.execute("SELECT count(*) FROM automation_bucket WHERE count = 0 AND [end] > [start]")
    return int(count)


def test_applying_makes_targets_automations_and_deadlines_and_again_changes_nothing(
    applied: list[str], spec: FleetSpec, client: SyncPrefectClient
) -> None:
    assert applied == [
        "create automation alarmed: escalation",
        "create automation alarmed: escalation, no worker",
        "create automation alarmed: late runs and escalation to team",
        "create automation alarmed: late runs of the whole fleet to ops",
        "create automation alarmed: late runs to ops",
        "create automation alarmed: outlook and escalation to team",
        "create automation alarmed: outlook to ops",
        "create automation alarmed: overdue, no worker and escalation to team",
        "create automation alarmed: overdue, no worker to ops",
        "create automation alarmed: proven backups to team",
        "create automation alarmed: trouble and escalation to team",
        "create automation alarmed: trouble of the whole fleet to ops",
        "create automation alarmed: trouble to ops",
        "create deadline alarm-blog",
        "create deadline alarm-pager",
        "create deadline alarm-quiet",
        "create deadline alarm-shop",
        "create target custom-webhook/alarmed--ops",
        "create target custom-webhook/alarmed--team",
    ]
    before = automations(client)
    assert apply(spec) == []
    assert automations(client) == before


def test_a_change_keeps_ids_and_what_somebody_switched_off(
    applied: list[str], spec: FleetSpec, client: SyncPrefectClient, hook: Webhook
) -> None:
    late = automations(client)["alarmed: late runs to ops"]
    client.pause_automation(late.id)
    changes = {"late_after: 45s": "late_after: 50s", "rpo: 2d": "rpo: 3d", CANARY: f"{CANARY}-2"}
    expected = [
        "change automation alarmed: late runs and escalation to team",
        "change automation alarmed: late runs of the whole fleet to ops",
        "change automation alarmed: late runs to ops",
        "change deadline alarm-blog",
        "change target custom-webhook/alarmed--ops",
    ]
    assert apply(fleet(folder_of(spec), hook.url, **changes)) == expected
    after = automations(client)["alarmed: late runs to ops"]
    assert (after.id, after.enabled) == (late.id, False)
    client.resume_automation(late.id)
    assert apply(spec) == expected


def test_what_would_tell_twice_goes_at_once_and_a_target_that_is_gone_where_it_is_asked_for(
    applied: list[str], spec: FleetSpec, client: SyncPrefectClient, hook: Webhook
) -> None:
    changed = fleet(
        folder_of(spec), hook.url, **{"success: [team]": "success: [ops]", "  team: ": "  crew: ", "[team": "[crew"}
    )
    done = apply(changed)
    assert "remove automation alarmed: proven backups to team" in done
    assert "create automation alarmed: proven backups to ops" in done
    assert not any("alarmed--team" in each for each in done)
    assert apply(changed, remove=True) == ["remove target custom-webhook/alarmed--team"]
    apply(spec, remove=True)
    assert apply(spec) == []


def test_another_fleet_whose_name_begins_alike_is_left_alone(
    applied: list[str], spec: FleetSpec, client: SyncPrefectClient, tmp_path: Path, hook: Webhook
) -> None:
    other = fleet(tmp_path, hook.url, **{"fleet: alarmed": "fleet: alarmed-too", "alarm-": "too-"})
    with get_client(sync_client=True) as connected:
        seen = outlook(connected, other, [Targets, Alerts])
    assert {each.action for each in seen.changes} == {"create"}
    assert not seen.gone
    assert apply(spec) == []


def test_a_target_that_nobody_describes_is_refused(applied: list[str], spec: FleetSpec) -> None:
    nobody = spec.model_copy(update={"notify": spec.notify.model_copy(update={"failure": ("nobody",)})})
    with pytest.raises(NotFound, match="no target of messages is called 'nobody'"):
        apply(nobody)


def test_a_run_that_fails_is_told_once_with_its_remedy(
    applied: list[str], client: SyncPrefectClient, hook: Webhook
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


def test_a_run_that_the_scheduler_has_just_made_is_told_at_once(
    applied: list[str], client: SyncPrefectClient, hook: Webhook
) -> None:
    deployment = client.read_deployment_by_name("backup/alarm-shop-backup").id
    in_half_a_day = CronSchedule(cron=f"0 {(datetime.now(UTC).hour + 12) % 24} * * *", timezone="UTC")
    [schedule] = client.create_deployment_schedules(deployment, [(in_half_a_day, True)])
    mine = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))

    def made() -> list[FlowRun]:
        return [run for run in client.read_flow_runs(deployment_filter=mine) if run.auto_scheduled]

    run = eventually(made, 120, "the scheduler makes a run")[0]
    end(client, run.id, Failed(message="Flow run encountered an exception: Busy: a lock. Wait."))
    [message] = hook.next()
    assert message["subject"] == f"alarm-shop: {run.name} failed"
    client.delete_deployment_schedule(deployment, schedule.id)


def test_an_error_of_another_kind_is_named_and_not_repeated(
    applied: list[str], client: SyncPrefectClient, hook: Webhook
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
    applied: list[str], client: SyncPrefectClient, hook: Webhook, state: Any, said: str
) -> None:
    run = start(
        client, "verification/alarmed.verification", parameters={"plan": "alarm-blog"}, tags=["plan:alarm-blog"]
    )
    end(client, run.id, state)
    [message] = hook.next()
    assert message["subject"] == f"alarm-blog: {run.name} {said}"


@pytest.mark.parametrize(
    ("state", "said", "advice"),
    [
        (Failed(message="Restore failed."), "failed", "backproof reports pull --plan alarm-blog"),
        (Completed(name="Degraded", message="The application was not started."), "is incomplete", "that is no pass"),
        (
            Completed(name="ObjectiveMissed", message="It took 65 min."),
            "took longer than promised",
            "The database is back",
        ),
    ],
)
def test_a_recovery_test_that_did_not_pass_and_an_objective_that_was_missed_are_told(
    applied: list[str], client: SyncPrefectClient, hook: Webhook, state: Any, said: str, advice: str
) -> None:
    name = "alarm-blog recovery-test 2026-01-06"
    run = start(
        client,
        "verification/alarmed.verification",
        parameters={"plan": "alarm-blog"},
        tags=["plan:alarm-blog"],
        name=name,
    )
    end(client, run.id, state)
    [message] = hook.next()
    assert message["subject"] == f"alarm-blog: {name} {said}"
    assert advice in message["body"]


def test_what_the_stores_tell_of_recovery_tests_is_told_with_what_to_do(
    applied: list[str], client: SyncPrefectClient, hook: Webhook
) -> None:
    payload = {"what": "alarm-blog: no recovery test since {{ long }}", "remedy": "Rehearse now."}
    for event, subject in (
        ("backproof.recovery-test.overdue", "a quarter without a recovery test"),
        ("backproof.objective.outgrown-soon", "recovery will take longer than promised"),
    ):
        emit(client, event, payload)
        [message] = hook.next()
        assert message["subject"] == f"alarm-blog: {subject}"
        assert "What: alarm-blog: no recovery test since { { long }}" in message["body"]
        assert "What to do: Rehearse now." in message["body"]


def emit(client: SyncPrefectClient, event: str, payload: dict[str, str]) -> None:
    """An event of plan ``alarm-blog``, as a run of the fleet would."""
    resource = {"prefect.resource.id": "backproof.plan.alarm-blog", "prefect.resource.name": "alarm-blog"}
    related = [{"prefect.resource.id": "prefect.tag.fleet:alarmed", "prefect.resource.role": "tag"}]
    body = {"event": event, "resource": resource, "related": related, "payload": payload}
    body |= {"occurred": datetime.now(UTC).isoformat(), "id": str(UUID(int=time.monotonic_ns()))}
    client.request("POST", "/events", json=[body]).raise_for_status()


def test_what_is_well_and_what_nobody_asked_for_is_not_told(
    applied: list[str], client: SyncPrefectClient, hook: Webhook
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
    applied: list[str], server: RestartingServer, spec: FleetSpec, hook: Webhook
) -> None:
    with get_client(sync_client=True) as client:
        deployment = deadlines.find_deployment(client, "alarmed")
        assert deployment is not None
        before = deadlines.runs_ahead(client, deployment, "alarm-blog")
        objectives = spec.plans["alarm-blog"].objectives
        since = datetime.now(UTC) - objectives.rpo - objectives.grace + timedelta(seconds=3)
        found = recovery_point("alarm-blog", None, since, objectives, datetime.now(UTC))
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
    applied: list[str], server: RestartingServer, hook: Webhook
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


def run_now(flow: Any, client: SyncPrefectClient, run: UUID) -> Any:
    """As a worker would, in this process."""
    there = client.read_flow_run(run)
    return run_flow(flow, flow_run=there, parameters=dict(there.parameters), return_type="state")


def test_a_worker_looks_into_the_stores_and_tells_what_it_finds_once(
    applied: list[str], spec: FleetSpec, client: SyncPrefectClient, hook: Webhook, fleet_file: Path
) -> None:
    deployment = deadlines.find_deployment(client, "alarmed")
    assert deployment is not None
    objectives = spec.plans["alarm-shop"].objectives
    since = datetime.now(UTC) - objectives.rpo - objectives.grace + timedelta(seconds=2)
    deadlines.place(client, deployment, recovery_point("alarm-shop", None, since, objectives, datetime.now(UTC)))
    [run] = deadlines.runs_ahead(client, deployment, "alarm-shop")
    client.set_flow_run_state(run.id, Pending(), force=True)
    time.sleep(2.5)  # then it is over
    assert run_now(deadline, client, run.id).name == "Overdue"
    [message] = hook.next()
    assert message["subject"] == "alarm-shop: no proven backup in time"
    assert "There is no proven backup of alarm-shop, which was first applied at" in message["body"]
    # A lapse is told once: applying again sets no new deadline, and a run that was late says nothing more.
    assert apply(spec) == []
    late = deadlines.last_run(client, deployment, "alarm-blog")
    assert late is not None
    assert run_now(deadline, client, late.id).name == "OverdueTold"


def test_a_proven_backup_moves_the_deadline_to_where_its_snapshot_puts_it(
    applied: list[str], spec: FleetSpec, client: SyncPrefectClient, fleet_file: Path
) -> None:
    name = put_plain(Fleet(spec), "alarm-shop", days_ago(0.5))
    deadlines.renew.fn("alarm-shop")
    deployment = deadlines.find_deployment(client, "alarmed")
    assert deployment is not None
    [run] = deadlines.runs_ahead(client, deployment, "alarm-shop")
    assert run.state is not None
    objectives = spec.plans["alarm-shop"].objectives
    assert run.state.state_details.scheduled_time == name.taken_at + objectives.rpo + objectives.grace
    assert run.parameters["newest"] == name.id
    assert apply(spec) == []


LONGER = {"notify: {success: [team]}}": "notify: {success: [team]}, objectives: {rpo: 3d}}"}
"""What ``alarm-shop`` promises instead."""


def due(client: SyncPrefectClient, plan: str) -> datetime:
    deployment = deadlines.find_deployment(client, "alarmed")
    assert deployment is not None
    [run] = deadlines.runs_ahead(client, deployment, plan)
    assert run.state is not None
    moment = run.state.state_details.scheduled_time
    assert moment is not None
    return moment


def test_objectives_that_change_while_a_backup_moves_its_deadline_leave_no_old_one(
    applied: list[str], spec: FleetSpec, client: SyncPrefectClient, hook: Webhook, fleet_file: Path, monkeypatch: Any
) -> None:
    changed = fleet(folder_of(spec), hook.url, **LONGER)
    promised = changed.plans["alarm-shop"].objectives
    seen = outlook(client, changed, WHAT_TELLS)
    name = put_plain(Fleet(spec), "alarm-shop", days_ago(0.3))
    deadlines.renew.fn("alarm-shop")  # after apply has looked, and before it writes
    carry_out(client, seen, remove=False)
    assert due(client, "alarm-shop") == name.taken_at + promised.rpo + promised.grace
    assert apply(spec) == ["change deadline alarm-shop"]

    def written_meanwhile(*given: Any) -> bool:
        moved = place(*given)
        fleet_file.write_text(fleet_file.read_text().replace(*next(iter(LONGER.items()))))
        return moved

    place = deadlines.place
    monkeypatch.setattr(deadlines, "place", written_meanwhile)
    deadlines.renew.fn("alarm-shop")  # before apply has written, and after
    assert due(client, "alarm-shop") == name.taken_at + promised.rpo + promised.grace
    assert apply(spec) == ["change deadline alarm-shop"]


def escalations(client: SyncPrefectClient, level: int) -> list[FlowRun]:
    found = client.read_deployment_by_name("escalation/alarmed.escalation")
    chosen = DeploymentFilter(id=DeploymentFilterId(any_=[found.id]))
    return [run for run in client.read_flow_runs(deployment_filter=chosen) if run.parameters["level"] == level]


def test_levels_are_told_one_after_the_other_until_somebody_acknowledges(
    applied: list[str], spec: FleetSpec, client: SyncPrefectClient, hook: Webhook, fleet_file: Path
) -> None:
    failed = start(client, "backup/alarm-pager-backup")
    end(client, failed.id, Failed(message="Flow run encountered an exception: NoSpace: the disk is full. Make room."))
    incident = f"alarm-pager-{str(failed.id)[-8:]}"
    assert hook.next() == [{"text": f"alarm-pager: {failed.name} failed", "to": "team"}]
    [first] = eventually(lambda: escalations(client, 1), what="the automation starts the escalation")
    expected = {"plan": "alarm-pager", "incident": incident, "what": "the disk is full. Make room.", "level": 1}
    assert first.parameters == expected
    assert run_now(escalation, client, first.id).is_completed()
    [message] = hook.next()  # team was told by the automation
    assert message["subject"] == f"alarm-pager: {incident} needs the on-call engineer"
    assert "What: the disk is full. Make room." in message["body"]
    assert f"backproof ack {incident}" in message["body"]
    run_now(
        escalation, client, start(client, "escalation/alarmed.escalation", parameters=expected).id
    )  # again: nothing
    [second] = escalations(client, 2)
    assert run_now(escalation, client, second.id).is_completed()
    [message] = hook.next()
    assert message["subject"] == f"alarm-pager: {incident} needs the vendor"
    assert "Told before: on-call engineer at" in message["body"]
    form = start(client, "acknowledge/alarmed.acknowledge", parameters={"incident": incident, "by": "Ada"})
    assert run_now(acknowledge, client, form.id).is_completed()
    [third] = escalations(client, 3)
    state = run_now(escalation, client, third.id)
    assert f"{incident} was acknowledged" in state.message


@pytest.mark.parametrize(
    ("deployed_as", "state"),
    [
        ("recovery-test/alarm-pager-recovery-test", Failed(message="recovery-test_2026-01-06_090000: Restore failed.")),
        ("recovery/alarmed.recovery", Failed(message="the swap failed, and all of it was taken back.")),
        ("recovery/alarmed.recovery", Completed(name=MISSED, message="It took 65 min of the 60 min promised.")),
    ],
    ids=["recovery test", "recovery", "objective"],
)
def test_what_fails_of_a_recovery_starts_the_escalation_and_the_store_knows(
    applied: list[str],
    spec: FleetSpec,
    client: SyncPrefectClient,
    hook: Webhook,
    fleet_file: Path,
    deployed_as: str,
    state: Any,
) -> None:
    before = {run.id for run in escalations(client, 1)}
    asked = {"plan": "alarm-pager"} | ({"reason": "orders are gone"} if deployed_as.startswith("recovery/") else {})
    run = start(client, deployed_as, parameters=asked, tags=["plan:alarm-pager"])
    end(client, run.id, state)
    incident = f"alarm-pager-{str(run.id)[-8:]}"
    [told] = hook.next()
    assert told["to"] == "team"
    [first] = eventually(
        lambda: [each for each in escalations(client, 1) if each.id not in before],
        what="the automation starts the escalation",
    )
    assert first.parameters == {"plan": "alarm-pager", "incident": incident, "what": state.message, "level": 1}
    assert run_now(escalation, client, first.id).is_completed()
    [message] = hook.next()
    assert message["subject"] == f"alarm-pager: {incident} needs the on-call engineer"
    [known] = (each for each in incidents(Fleet(spec), "alarm-pager") if each.id == incident)
    assert (known.what, known.closed) == (state.message, None)
    assert known.told(1) is not None
    form = start(client, "acknowledge/alarmed.acknowledge", parameters={"incident": incident, "by": "Ada"})
    assert run_now(acknowledge, client, form.id).is_completed()


def test_a_flow_that_reads_the_fleet_from_blocks_tells_a_target_by_its_block(
    applied: list[str], spec: FleetSpec, hook: Webhook
) -> None:
    from_blocks = spec.model_copy(update={"notifications": {}})
    assert tell(from_blocks, "ops", "a subject", "a body") is None
    assert hook.next() == [{"subject": "a subject", "body": "a body"}]
    assert "no target of messages" in str(tell(from_blocks, "nobody", "a subject", "a body"))


def test_no_secret_of_a_target_lies_in_clear_on_the_server(applied: list[str], server: RestartingServer) -> None:
    stored = text_of(server.folder)
    assert block_name("alarmed", "ops").encode() in stored
    assert CANARY.encode() not in stored
