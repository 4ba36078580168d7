"""The recovery test as a person starts it: one JSON document, and in Prefect a task for each step and artifacts."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterTags,
)

from backproof.recovery_test.record import RecoveryTest
from backproof.recovery_test.steps import STEPS
from deployments.servers.seaweedfs import S3Server
from tests.support.documents import check_keys, example
from tests.support.engine_harness import POSTGRESQL
from tests.support.fleets import PLAN
from tests.support.prefect_fixtures import PrefectServer
from tests.support.rehearsing import Rehearsed, rehearsed

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture(scope="module")
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, regions: tuple[S3Server, S3Server]
) -> Iterator[Rehearsed]:
    server = request.getfixturevalue("postgres15")
    folder = tmp_path_factory.mktemp("rehearsal")
    with rehearsed(POSTGRESQL, server, folder, regions) as made:
        (folder / "fleet.yaml").write_text(json.dumps(made.described()))
        made.backed_up(made.fleet())
        yield made


@pytest.fixture(autouse=True)
def environment(made: Rehearsed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(made.folder / "state"))


@pytest.mark.timeout(900)
def test_a_notice_and_the_test_it_announces(made: Rehearsed, prefect_api: PrefectServer) -> None:
    announced, document = command(made, prefect_api, "recovery-test", PLAN, "--notice")
    check_keys(document, example("recovery-test --notice"))
    given = document["notice"]
    assert (announced, given["problems"], given["state"]["rows"]["public.bare"]) == (0, [], 3)
    assert {each["check"] for each in given["environment"]} >= {"cloud copy", "room", "staging", "database"}
    tested, document = command(made, prefect_api, "recovery-test", PLAN)
    check_keys(document, example("recovery-test"))
    record = RecoveryTest.model_validate(document["recovery_test"])
    not_passed = {each.name: each.status for each in record.checklist if each.status != "pass"}
    assert (not_passed, tested, record.verdict) == ({}, 4, "incomplete")
    assert record.production_at is not None
    with get_client(sync_client=True) as client:
        run = _run_of(client)
        tasks = client.request("POST", "/task_runs/filter", json={"flow_runs": {"id": {"any_": [run]}}}).json()
        assert {step.name for step in STEPS} <= {each["name"] for each in tasks}
        shown = [_artifact(client, f"{PLAN}-{key}") for key in ("recovery-test", "recovery-time", "runbook")]
    assert all(point.name in shown[0] for point in (*record.checklist, *record.rollback_checklist))
    assert "recovery test" in shown[1]
    assert shown[2].startswith(f"# Runbook: {PLAN}")


def command(made: Rehearsed, server: PrefectServer, *words: str) -> tuple[int, dict[str, Any]]:
    """The installed command, as a person runs it: its exit status, and its document."""
    backproof = [str(Path(sys.executable).with_name("backproof")), "--fleet", str(made.folder / "fleet.yaml"), "--json"]
    environment = server.environment() | {
        name: os.environ[name] for name in ("PATH", "HOME", "XDG_STATE_HOME") if name in os.environ
    }
    told = subprocess.run([*backproof, *words], env=environment, capture_output=True, text=True, timeout=400)
    document: dict[str, Any] = json.loads(told.stdout)
    return told.returncode, document


def _run_of(client: SyncPrefectClient) -> str:
    tags = FlowRunFilterTags(all_=[f"plan:{PLAN}"])
    runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=tags), limit=200)
    return str(next(each.id for each in runs if each.name.startswith(f"{PLAN} recovery-test 2")))


def _artifact(client: SyncPrefectClient, key: str) -> str:
    (artifact,) = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
    return str(artifact.data)
