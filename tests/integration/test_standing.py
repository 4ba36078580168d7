"""``backproof up`` and ``down``: supervised, private, stopped cleanly; secrets of the fleet are in its blocks alone."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from backproof.errors import ConfigurationError
from deployments.servers import processes, standing
from deployments.servers.standing import Part, Wish, environment_for_runs, stand
from tests.support.documents import check_keys, example
from tests.support.fleets import key
from tests.support.prefect_fixtures import eventually, text_of
from tests.support.proc import command_of, told
from tests.support.standing import BACKPROOF, Up, backproof_up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CANARIES = {"SHOP_PASSWORD": "canary-password-of-up", "S3_SECRET": "canary-secret-of-up", "BACKPROOF_KEY": key()}
LOGIN = "ada:canary-of-the-login"


def environment_of(pid: int) -> dict[str, str]:
    entries = told(pid, "environ").decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def fleet(folder: Path) -> None:
    described = {
        "fleet": "standing",
        "signing": {"private_key": key()},
        "keys": {"main": {"aes256": "${BACKPROOF_KEY}"}},
        "credentials": {"s3": {"access_key_id": "id", "secret_access_key": "${S3_SECRET}"}},
        "stores": {
            "near": {"type": "local", "path": "near"},
            "far": {
                "type": "s3",
                "bucket": "b",
                "region": "r",
                "credentials": "s3",
                "endpoint_url": "http://127.0.0.1:9",
            },
        },
        "databases": {
            "shop-db": {"engine": "postgresql", "port": 1, "name": "shop", "user": "u", "password": "${SHOP_PASSWORD}"}
        },
        "plans": {"standing-shop": {"database": "shop-db", "stores": ["near"]}},
    }
    (folder / "fleet.yaml").write_text(yaml.safe_dump(described))


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    fleet(folder)
    given = CANARIES | {"PREFECT_API_AUTH_STRING": LOGIN}
    with backproof_up(folder, given, "--password", secrets=tuple(CANARIES.values())) as running:
        yield running


def test_both_are_private_and_runs_are_kept_for_more_than_a_year(up: Up) -> None:
    settings = environment_of(up.server.pid)
    assert up.server.url.startswith("http://127.0.0.1:")
    assert settings["PREFECT_SERVER_API_AUTH_STRING"] == LOGIN
    assert settings["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert settings["PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT"] == "false"
    assert settings["PREFECT_SERVER_UI_V2_ENABLED"] == "false"
    assert int(settings["PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"]) >= 400 * 24 * 3600
    assert up.folder.stat().st_mode & 0o777 == 0o700
    second = subprocess.run([BACKPROOF, "up"], cwd=up.cwd, env=up.environment, capture_output=True, text=True)
    assert second.returncode == 1
    assert "`backproof down` stops them" in second.stderr


def test_a_fleet_is_applied_and_run_there_and_its_secrets_are_nowhere(up: Up) -> None:
    assert up.command("apply")["server"] == up.server.url
    worker = eventually(up.worker, 120, "the worker did not find its pool")
    given = environment_of(worker)
    assert not CANARIES.keys() & given.keys()
    assert int(given["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]) <= 180
    seen = json.loads(in_client(up, RUN))
    assert seen["state"] == "Failed", "there is no backup yet"
    assert "no backup" in seen["everything"]
    written = text_of(up.folder)
    assert b"standing-shop" in written
    for canary in CANARIES.values():
        assert canary not in seen["everything"]
        assert canary.encode() not in written


RUN = """
import json
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
run = run_deployment(
    "verification/standing.verification", parameters={"plan": "standing-shop"}, timeout=240, poll_interval=1
)
with get_client(sync_client=True) as client:
    everything = [client.read_flow_run(run.id), client.read_logs(), client.read_artifacts(), client.read_deployments(),
                  client.read_work_pools(), client.read_automations(),
                  client.read_block_documents(include_secrets=False)]
    state = client.read_flow_run(run.id).state
    print(json.dumps({"state": state.name, "everything": repr(everything) + str(state.message)}))
"""

TAKE_A_PLACE = """
from datetime import UTC, datetime
from prefect.client.orchestration import get_client
from prefect.states import Pending, Scheduled
with get_client(sync_client=True) as client:
    deployment = client.read_deployment_by_name("backup/standing-shop-backup")
    not_for_a_worker = Scheduled(scheduled_time=datetime(2100, 1, 1, tzinfo=UTC))
    run = client.create_flow_run_from_deployment(deployment.id, state=not_for_a_worker)
    client.set_flow_run_state(run.id, Pending())
    print(client.read_flow_run(run.id).state.state_details.deployment_concurrency_lease_id)
"""
GO_ON = """
import sys
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    done = client.request("POST", f"/v2/concurrency_limits/leases/{sys.argv[1]}/renew", json={"lease_duration": 60})
    print(done.status_code)
"""


def in_client(up: Up, script: str, *arguments: str) -> str:
    """The last line that a client of the server's prints."""
    environment = {**up.environment, **up.server.environment()}
    ran = subprocess.run([sys.executable, "-c", script, *arguments], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()[-1]


def test_whoever_dies_is_started_again_at_the_same_address_and_knows_what_is_under_way(up: Up) -> None:
    before = up.server
    worker = eventually(up.worker, 120, "no worker")
    lease = in_client(up, TAKE_A_PLACE)
    os.kill(before.pid, signal.SIGKILL)
    after = eventually(lambda: up.server if up.server.pid != before.pid else None, 60, "no server was started again")
    assert after.url == before.url
    after.wait_until_ready(120)
    assert in_client(up, GO_ON, lease) == "204", "a run is not stopped by a restart of the server"
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: up.worker() not in (None, worker), 120, "no worker was started again")


def test_down_stops_both_and_a_second_down_finds_nothing(up: Up) -> None:
    mine = [up.server.pid, *processes.children(up.process.pid)]
    stopped = up.command("down")
    check_keys(stopped, example("down"))
    assert stopped == {"stopped": True}
    assert up.process.wait(60) == 0
    assert up.process.stdout is not None
    check_keys(json.loads(up.process.stdout.read()), example("up"))
    assert [pid for pid in mine if processes.started(pid)] == []
    assert up.command("down") == {"stopped": False}
    assert not (up.folder / "server.json").exists()


def test_killed_itself_it_leaves_neither_server_nor_worker(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from deployments.servers import standing\n"
        "wish = standing.Wish(Path(sys.argv[1]), 0, None, 'nobodys-pool', 1, {'PATH': '/usr/bin:/bin'}, 1.0)\n"
        "standing.stand(wish, print, lambda server: print('ready', flush=True))"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    worker = eventually(
        lambda: [pid for pid in processes.children(process.pid) if "worker_process" in command_of(pid)], 60
    )
    mine = {pid: processes.started(pid) or "" for pid in processes.children(process.pid)}
    assert worker[0] in mine
    process.kill()
    process.communicate()
    eventually(lambda: not [pid for pid, since in mine.items() if processes.is_running(pid, since)], 120, str(mine))


def test_a_run_that_does_not_end_in_time_is_told_to_stop(tmp_path: Path) -> None:
    # A worker that waits for its run, as Prefect's does once it is told to stop.
    run = "trap 'touch stopped; exit 0' TERM; touch began; while :; do sleep 0.05; done"
    worker = f'trap : TERM; sh -c "{run}" & wait; wait'
    part = Part("worker", lambda: subprocess.Popen(["sh", "-c", worker], cwd=tmp_path), lambda _: None)
    part.look()
    eventually((tmp_path / "began").exists)
    said: list[str] = []
    wish = standing.Wish(tmp_path, 0, None, "any", 1, {}, patience_seconds=0.2)
    server = Part("server", lambda: subprocess.Popen(["sleep", "600"]), lambda _: None)
    server.look()
    standing._end(wish, server, part, said.append)
    assert (tmp_path / "stopped").exists()
    assert said[0].startswith("stopping ")
    for each in (server, part):
        assert each.process is not None
        assert each.process.poll() is not None


def test_who_keeps_dying_is_started_again_later_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    started: list[float] = []

    class Dead:
        def poll(self) -> int:
            return 1

    def start() -> Any:
        started.append(now[0])
        return Dead()

    part = Part("worker", start, lambda _: None)
    for _ in range(1200):
        part.look()
        now[0] += 0.1
    pauses = [later - earlier for earlier, later in pairwise(started)]
    assert [round(pause) for pause in pauses] == [1, 2, 4, 8, 16, 32]


def test_who_can_not_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now, said = [1000.0], list[str]()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def start() -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    part = Part("Prefect server", start, said.append)
    for _ in range(30):
        part.look()
        now[0] += 0.1
    assert said == [
        f"the Prefect server could not be started: No space left on device; it is started again in {pause} s"
        for pause in (1, 2)
    ]


def test_a_folder_that_can_not_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wish = Wish(tmp_path / "file" / "up", 0, None, "pool", 1, {}, 0.0)
    with pytest.raises(ConfigurationError, match=r"can't write to .*: Not a directory"):
        stand(wish, print, print)


def test_runs_inherit_what_is_no_secret_of_the_fleet(tmp_path: Path) -> None:
    fleet(tmp_path)
    given = {**CANARIES, "PATH": "/bin", "AWS_PROFILE": "p", "PREFECT_API_URL": "u", "BACKPROOF_FLEET": "f", "APP": "1"}
    assert environment_for_runs(given, tmp_path / "fleet.yaml") == {"PATH": "/bin", "AWS_PROFILE": "p", "APP": "1"}
