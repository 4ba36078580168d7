"""The recovery test as a flow and as a command: a task for each step, an artifact, an event, one JSON document."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterTags,
)

from backproof.recovery_test.record import RecoveryTest
from backproof.recovery_test.steps import STEPS
from blocks.fleet import FILE_VARIABLE
from deployments.servers.seaweedfs import S3Server
from flows.recovery_test import recovery_test, recovery_test_notice
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
    monkeypatch.setenv(FILE_VARIABLE, str(made.folder / "fleet.yaml"))
    monkeypatch.setenv("XDG_STATE_HOME", str(made.folder / "state"))


def test_a_notice_and_the_test_it_announces(made: Rehearsed) -> None:
    announced = recovery_test_notice(PLAN, return_state=True)
    given = announced.result()
    check_keys({"notice": given}, example("recovery-test --notice"))
    assert (announced.name, given["problems"], given["state"]["rows"]["public.bare"]) == ("Completed", [], 3)
    assert {each["check"] for each in given["environment"]} >= {"cloud copy", "room", "staging", "database"}
    state = recovery_test(PLAN, by="tester", return_state=True)
    record = RecoveryTest.model_validate(state.result(raise_on_failure=False))
    assert record.by == "tester"
    assert record.production_at is not None
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[f"plan:{PLAN}"])), limit=200
        )
        run = next(each for each in runs if each.name.startswith(f"{PLAN} recovery-test 2"))
        tasks = client.request("POST", "/task_runs/filter", json={"flow_runs": {"id": {"any_": [str(run.id)]}}}).json()
        assert {step.name for step in STEPS} <= {each["name"] for each in tasks}
        (artifact,) = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[f"{PLAN}-recovery-test"]))
        )
    assert record.test in str(artifact.data)
    for point in (*record.checklist, *record.rollback_checklist):
        assert point.evidence in str(artifact.data).replace("\\", "")


def test_the_command_prints_one_document(made: Rehearsed, prefect_api: PrefectServer) -> None:
    command = [str(Path(sys.executable).with_name("backproof")), "--fleet", str(made.folder / "fleet.yaml"), "--json"]
    told = subprocess.run(
        [*command, "recovery-test", PLAN], env=prefect_api.environment(), capture_output=True, text=True, timeout=240
    )
    document = json.loads(told.stdout)
    check_keys(document, example("recovery-test"))
    assert told.returncode == {"passed": 0, "failed": 1, "incomplete": 4}[document["recovery_test"]["verdict"]]
