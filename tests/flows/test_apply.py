"""``backproof apply`` on a real Prefect server: the same however often, and nothing touched that is not the fleet's."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.exceptions import PrefectHTTPStatusError
from prefect_aws.workers.ecs_worker import ECSJobConfiguration

import blocks
from backproof.errors import ConfigurationError, NotFound
from backproof.fleet import FleetSpec, parse
from blocks import saving
from blocks.fleet import FILE_VARIABLE
from deployments.apply import Outlook, carry_out, outlook
from deployments.apply.orphans import orphaned
from deployments.servers.prefect import PrefectServer
from tests.support.documents import check_keys, example
from tests.support.fleets import key

pytestmark = pytest.mark.usefixtures("prefect_api")

CANARY = "canary-of-apply"


@pytest.fixture(autouse=True)
def no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE_VARIABLE, raising=False)


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as opened:
        yield opened


def described(name: str, *plans: str) -> dict[str, Any]:
    """A fleet whose blocks are called after it."""
    return {
        "fleet": name,
        "signing": {"private_key": key()},
        "keys": {f"{name}-key": {"aes256": key()}},
        "stores": {f"{name}-store": {"type": "local", "path": f"/nowhere/{name}"}},
        "databases": {
            f"{plan}-db": {"engine": "postgresql", "port": 5432, "name": "shop", "user": "u", "password": CANARY}
            for plan in plans
        },
        "plans": {plan: {"database": f"{plan}-db"} for plan in plans},
    }


def spec_of(description: dict[str, Any]) -> FleetSpec:
    return parse(yaml.safe_dump(description), {}, Path("/srv/fleet.yaml"))


def apply(client: SyncPrefectClient, description: dict[str, Any], remove: bool = False) -> Outlook:
    seen = outlook(client, spec_of(description))
    carry_out(client, seen, remove)
    return seen


def names(changes: Any) -> set[str]:
    return {change.thing.name for change in changes}


def deployments(client: SyncPrefectClient, fleet: str) -> dict[str, Any]:
    tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[f"fleet:{fleet}"]))
    return {each.name: each for each in client.read_deployments(deployment_filter=tagged)}


def test_the_second_apply_changes_nothing_and_flows_find_the_fleet(client: SyncPrefectClient) -> None:
    fleet = described("again", "again-one", "again-two")
    first = apply(client, fleet)
    assert {(change.action, change.thing.sort) for change in first.changes} == {
        ("create", sort) for sort in ("block", "work pool", "deployment", "automation for lost runs", "deadline")
    }
    second = apply(client, fleet)
    assert (second.changes, second.gone, second.right) == ((), (), len(first.changes))
    assert blocks.load_fleet("again-one").spec.plans.keys() == {"again-one"}
    there = deployments(client, "again")
    assert {slug.slug: slug.schedule.cron for slug in there["again-one-backup"].schedules}.keys() == {
        "daily",
        "monthly",
    }
    [test] = there["again-one-recovery-test"].schedules
    [notice] = there["again-one-recovery-test-notice"].schedules
    assert (test.slug, notice.slug) == ("recovery-test", "notice")
    assert test.schedule.cron.endswith(" 9 * 1,4,7,10 TUE#1")
    assert notice.schedule.rrule.startswith(
        "DTSTART:20200101T000000\nRRULE:FREQ=MONTHLY;BYMONTH=3,6,9,12;BYDAY=-1TU;BYHOUR=9;"
    )
    assert there["again.recovery-test"].parameter_openapi_schema["properties"]["plan"]["enum"] == [
        "again-one",
        "again-two",
    ]
    assert there["again.backup"].parameter_openapi_schema["properties"]["plan"]["enum"] == ["again-one", "again-two"]


def test_a_change_keeps_ids_runs_and_what_was_paused_by_hand(client: SyncPrefectClient) -> None:
    fleet = described("kept", "kept-one", "kept-two")
    apply(client, fleet)
    before = deployments(client, "kept")
    run = client.create_flow_run_from_deployment(before["kept-one-backup"].id)
    monthly = next(each for each in before["kept-one-backup"].schedules if each.slug == "monthly")
    client.update_deployment_schedule(before["kept-one-backup"].id, monthly.id, active=False)
    client.pause_deployment(before["kept-two-backup"].id)
    notice = before["kept-one-recovery-test-notice"]
    client.update_deployment_schedule(notice.id, notice.schedules[0].id, active=False)
    for plan in fleet["plans"].values():
        plan["schedules"] = {"daily": ["0 5 * * *", "0 17 * * *"], "recovery_test": "0 9 1 1,7 *"}
    seen = apply(client, fleet)
    # Prefect forgets a schedule's parameters when it is paused by hand; that is mended, and the pause stays.
    assert {change.thing.name for change in seen.changes if change.by_hand} == {"backup/kept-one-backup"}
    after = deployments(client, "kept")
    assert {name: each.id for name, each in after.items()} == {name: each.id for name, each in before.items()}
    assert client.read_flow_run(run.id).deployment_id == after["kept-one-backup"].id
    assert {each.slug: each.active for each in after["kept-one-backup"].schedules} == {
        "daily": True,
        "daily-2": True,
        "monthly": False,
    }
    assert {each.slug: each.parameters for each in after["kept-one-backup"].schedules}["monthly"] == {"kind": "monthly"}
    assert after["kept-two-backup"].paused
    [again] = after["kept-one-recovery-test-notice"].schedules
    assert not again.active
    assert again.schedule.rrule.startswith(
        "DTSTART:20200101T000000\nRRULE:FREQ=MONTHLY;BYMONTH=6,12;BYMONTHDAY=-7;BYHOUR=9;"
    )
    assert apply(client, fleet).changes == ()


def test_what_was_edited_by_hand_is_told_and_no_secret_with_it(client: SyncPrefectClient) -> None:
    fleet = described("edited", "edited-one")
    apply(client, fleet)
    plan = client.read_block_document_by_name("edited-one", "backproof-plan")
    database = client.read_block_document_by_name("edited-one-db", "backproof-database")
    for document, data in ((plan, {"minimum_proven": 1}), (database, {"password": "another-secret", "port": 5433})):
        path = {"id": document.id}
        body = {"data": data, "merge_existing_data": True}
        client.request("PATCH", "/block_documents/{id}", path_params=path, json=body)
    backup = deployments(client, "edited")["edited-one-backup"]
    edited = {"parameters": {"plan": "edited-one", "verify": False}}
    client.request("PATCH", "/deployments/{id}", path_params={"id": backup.id}, json=edited)
    fleet["keys"]["edited-key"]["old"] = [key()]  # by the file, not by hand
    seen = outlook(client, spec_of(fleet))
    told = {change.thing.name: change for change in seen.changes}
    shown = {
        name: [(each.field, each.was, each.becomes) for each in change.differences] for name, change in told.items()
    }
    hidden = ("(not shown)", "(not shown)")
    assert shown == {
        "backproof-plan/edited-one": [("minimum_proven", "1", "2")],
        "backproof-database/edited-one-db": [("password", *hidden), ("port", "5433", "5432")],
        "backproof-key-ring/edited-key": [("old", *hidden)],
        "backup/edited-one-backup": [
            ("parameters.kind", "null", "manual"),
            ("parameters.verify", "false", "null"),
        ],
    }
    assert {name for name, change in told.items() if change.by_hand} == told.keys() - {"backproof-key-ring/edited-key"}
    carry_out(client, seen, remove=False)
    assert outlook(client, spec_of(fleet)).changes == ()
    assert blocks.load_fleet("edited-one").spec.plans["edited-one"].minimum_proven == 2


def test_a_plan_gone_from_the_file_stays_until_remove_and_its_backups_always(
    client: SyncPrefectClient, tmp_path: Path
) -> None:
    fleet = described("gone", "gone-one", "gone-two")
    fleet["stores"]["gone-store"]["path"] = str(tmp_path)
    apply(client, fleet)
    archive = tmp_path / "gone-two" / "daily" / "backup_2025-11-07_020000.sql.gz.enc"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"an archive")
    fleet["plans"].pop("gone-two")
    seen = apply(client, fleet)
    assert seen.plans_gone == ("gone-two",)
    assert names(seen.gone) == {
        "backup/gone-two-backup",
        "recovery-test/gone-two-recovery-test",
        "recovery-test-notice/gone-two-recovery-test-notice",
        "backproof-plan/gone-two",
        "gone-two",
    }
    assert {"gone-two-backup", "gone-one-backup"} <= deployments(client, "gone").keys()
    assert apply(client, fleet).changes == ()
    assert blocks.load_fleet("gone-two").spec.plans.keys() == {"gone-two"}, "it runs on until it is removed"
    left = orphaned("gone-two")
    assert (left.stores, left.unknown) == ([str(tmp_path)], None)

    apply(client, fleet, remove=True)
    assert "gone-two-backup" not in deployments(client, "gone")
    assert archive.exists()
    with pytest.raises(NotFound):
        blocks.load_fleet("gone-two")
    again = outlook(client, spec_of(fleet))
    assert (again.changes, again.gone) == ((), ())


def test_another_fleet_and_what_people_have_made_are_not_touched(client: SyncPrefectClient) -> None:
    mine, other = described("mine", "mine-one"), described("other", "other-one")
    apply(client, mine)
    apply(client, other)
    before = saving.read_documents(client)
    assert outlook(client, spec_of(mine)).gone == ()
    mine["plans"]["other-one"] = {"database": "mine-one-db"}
    with pytest.raises(ConfigurationError, match="plan other-one belongs to fleet other"):
        apply(client, mine)
    mine["plans"].pop("other-one")
    mine["stores"]["other-store"] = {"type": "local", "path": "/nowhere"}
    with pytest.raises(ConfigurationError, match="backproof-local-store/other-store belongs to fleet other"):
        apply(client, mine)
    mine["stores"].pop("other-store")
    blocks.LocalStore(path=Path("/by/hand")).save("made-by-hand")
    mine["stores"]["made-by-hand"] = {"type": "local", "path": "/nowhere"}
    with pytest.raises(ConfigurationError, match="made-by-hand already, which was not made for fleet mine"):
        apply(client, mine)
    after = {each.key: each.data for each in saving.read_documents(client)}
    assert after.pop("backproof-local-store/made-by-hand")["path"] == "/by/hand"
    assert after == {each.key: each.data for each in before}


def test_a_deployment_of_that_name_which_is_somebody_elses_is_not_taken_over(client: SyncPrefectClient) -> None:
    flow = client.create_flow_from_name("backup")
    client.create_deployment(flow_id=flow, name="taken-backup")
    with pytest.raises(ConfigurationError, match="backup/taken-backup is there already and does not bear the tag"):
        apply(client, described("taking", "taken"))
    assert deployments(client, "taking") == {}


def test_a_pool_that_somebody_else_has_made_is_used_as_it_is(client: SyncPrefectClient) -> None:
    fleet = described("pooled", "pooled-one")
    fleet["work_pool"] = {"name": "their-pool", "settings": {"stream_output": False}}
    made = client.create_work_pool(WorkPoolCreate(name="their-pool", type="process"))
    assert "their-pool" not in names(apply(client, fleet).changes)
    assert client.read_work_pool("their-pool").base_job_template == made.base_job_template
    fleet["work_pool"] = {"name": "their-pool", "type": "docker"}
    with pytest.raises(ConfigurationError, match="is of type process, and work_pool"):
        outlook(client, spec_of(fleet))


def test_settings_of_our_own_pool_become_defaults_and_what_was_set_by_hand_stays(client: SyncPrefectClient) -> None:
    fleet = described("settled", "settled-one")
    apply(client, fleet)
    template = client.read_work_pool("settled").base_job_template
    template["variables"]["properties"]["working_dir"]["default"] = "/srv"
    client.request("PATCH", "/work_pools/{name}", path_params={"name": "settled"}, json={"base_job_template": template})
    fleet["work_pool"] = {"settings": {"stream_output": False}}
    assert names(apply(client, fleet).changes) == {"backproof-fleet/settled", "settled"}
    found = client.read_work_pool("settled").base_job_template["variables"]["properties"]
    assert (found["stream_output"]["default"], found["working_dir"]["default"]) == (False, "/srv")
    assert outlook(client, spec_of(fleet)).changes == ()


POOLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "process": ({"working_dir": "/srv"}, {"stream_output": "loud"}),
    "docker": ({"image": "backproof:1", "volumes": ["/srv/backups:/srv/backups"]}, {"auto_remove": "perhaps"}),
    "kubernetes": ({"image": "backproof:1", "namespace": "backups", "finished_job_ttl": 3600}, {"namespace": 7}),
    "ecs": ({"image": "backproof:1", "cluster": "backups", "cpu": 2048, "launch_type": "FARGATE"}, {"cpu": "many"}),
}
"""By type: settings, and a job variable that it does not take."""


@pytest.mark.parametrize("kind", POOLS)
def test_prefect_takes_runs_for_each_type_of_pool_and_holds_no_secret_of_them(
    client: SyncPrefectClient, kind: str
) -> None:
    settings, wrong = POOLS[kind]
    fleet = described(f"on-{kind}", f"on-{kind}-one") | {"work_pool": {"type": kind, "settings": settings}}
    apply(client, fleet)
    assert outlook(client, spec_of(fleet)).changes == ()
    pool = client.read_work_pool(f"on-{kind}")
    found = deployments(client, f"on-{kind}")
    assert (pool.type, {each.work_pool_name for each in found.values()}) == (kind, {pool.name})
    run = client.create_flow_run_from_deployment(found[f"on-{kind}-one-backup"].id)
    with pytest.raises(PrefectHTTPStatusError, match="422"):  # the server does look at them
        client.create_flow_run_from_deployment(found[f"on-{kind}-one-backup"].id, job_variables=wrong)
    assert [each.job_variables for each in (*found.values(), run)] == [{}] * (len(found) + 1)
    stored = repr([pool.model_dump(), run.model_dump(), *(each.model_dump() for each in found.values())])
    secrets = (CANARY, fleet["signing"]["private_key"], fleet["keys"][f"on-{kind}-key"]["aes256"])
    assert not [secret for secret in secrets if secret in stored]
    if kind == "ecs":  # what its worker makes of it; those of docker and kubernetes are not installed here
        job = asyncio.run(ECSJobConfiguration.from_template_and_values(pool.base_job_template, {}))
        [container] = job.task_definition["containerDefinitions"]
        assert (container["image"], job.cluster, job.task_definition["cpu"]) == ("backproof:1", "backups", 2048)


@pytest.mark.parametrize("broken_off_after", [1, 3, 7])
def test_broken_off_anywhere_the_next_apply_goes_on(client: SyncPrefectClient, broken_off_after: int) -> None:
    fleet = described(f"cut-{broken_off_after}", f"cut-{broken_off_after}-one", f"cut-{broken_off_after}-two")
    seen, done = outlook(client, spec_of(fleet)), []

    def cut(change: Any) -> None:
        done.append(change)
        if len(done) == broken_off_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(client, seen, remove=False, told=cut)
    rest = apply(client, fleet)
    assert not any(change.by_hand for change in rest.changes)
    assert outlook(client, spec_of(fleet)).changes == ()


def test_blocks_are_compared_as_prefect_itself_would_write_them() -> None:
    fleet = described("written", "written-one")
    fleet["credentials"] = {"written-aws": {"access_key_id": "id", "secret_access_key": "secret"}}
    fleet["stores"]["written-s3"] = {"type": "s3", "bucket": "b", "region": "eu-west-1", "credentials": "written-aws"}
    fleet["databases"]["written-one-db"]["admin"] = {"user": "a", "password": CANARY}
    fleet["keys"]["written-key"]["old"] = [key()]
    spec = spec_of(fleet)
    kinds: dict[str, Callable[..., Any]] = {
        "backproof-key-ring/written-key": lambda: blocks.KeyRing(**dict(spec.keys["written-key"])),
        "backproof-s3-store/written-s3": lambda: blocks.S3Store(**dict(spec.stores["written-s3"])),
        "backproof-local-store/written-store": lambda: blocks.LocalStore(**dict(spec.stores["written-store"])),
        "backproof-database/written-one-db": lambda: blocks.Database(**dict(spec.databases["written-one-db"])),
        "backproof-plan/written-one": lambda: blocks.Plan(**dict(spec.plans["written-one"])),
    }
    wanted = {document.key: document for document in saving.documents(spec)}
    for name, make in kinds.items():
        block = make()
        prefects = block.model_dump(
            mode="json", include=set(type(block).model_fields), context={"include_secrets": True}
        )
        assert wanted[name].data == prefects, name
    assert wanted["backproof-database/written-one-db"].secret == {"password", "admin"}
    assert "aws_session_token" in wanted["aws-credentials/written-aws"].secret


def test_the_command_says_what_it_would_do_and_does_it(prefect_api: PrefectServer, tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(described("told", "told-one")))
    command = [str(Path(sys.executable).with_name("backproof")), "--json", "apply"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "BACKPROOF"))}

    def run(*more: str) -> dict[str, Any]:
        done = subprocess.run(
            [*command, *more], env=clean | prefect_api.environment(), cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert CANARY not in done.stdout + done.stderr
        read: dict[str, Any] = json.loads(done.stdout)
        return read

    dry = run("--dry-run")
    check_keys(dry, example("apply"))
    assert {change["action"] for change in dry["changes"]} == {"create"}
    assert [len(row["next"]) for row in dry["schedules"] if row["plan"] == "told-one"] == [3, 3, 3, 3]
    assert run()["changes"] == dry["changes"]
