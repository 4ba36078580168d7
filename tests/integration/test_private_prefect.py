"""The private Prefect server of the command line: started once, shared, gone by itself."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.servers import processes
from deployments.servers.prefect import PrefectServer, default_state_folder, recorded, start
from tests.support.prefect_fixtures import eventually
from tests.support.webhook import webhook

COMMAND = """
import json, os, sys
from pathlib import Path
from deployments.servers.prefect import ensure_api
ensure_api(Path(sys.argv[1]), idle_seconds=float(sys.argv[2]))
from prefect import flow

@flow(persist_result=False)
def hello():
    return "done"

print(json.dumps({"said": hello(), "url": os.environ["PREFECT_API_URL"]}))
"""


def command(state: Path, idle_seconds: float = 600.0, **environment: str) -> "subprocess.Popen[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(state), str(idle_seconds)],
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process: "subprocess.Popen[str]") -> dict[str, str]:
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stderr) == (0, "")
    said: dict[str, str] = json.loads(stdout)
    return said


def server_of(state: Path) -> PrefectServer | None:
    return next((recorded(home) for home in state.glob("prefect-*")), None)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One user's state for all tests: starting a server is what takes the time."""
    folder = tmp_path_factory.mktemp("user") / "state"
    yield folder
    for home in folder.glob("prefect-*"):
        if server := recorded(home):
            server.stop()


def test_two_commands_at_once_share_one_server_and_leave_no_noise(state: Path) -> None:
    secrets = {"SHOP_PASSWORD": "canary", "PREFECT_API_KEY": "canary"}
    first, second = [answer(process) for process in [command(state, **secrets), command(state, **secrets)]]
    assert first == second
    assert first["said"] == "done"
    server = server_of(state)
    assert server is not None
    assert server.url == first["url"]
    assert server.is_running()


def test_a_killed_server_is_replaced(state: Path) -> None:
    answer(command(state))
    before = server_of(state)
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)
    eventually(lambda: not before.is_running())
    assert answer(command(state))["url"] != before.url


def test_it_ends_by_itself_some_time_after_its_last_use(tmp_path: Path) -> None:
    starting = command(tmp_path, idle_seconds=1.0)
    server = eventually(lambda: server_of(tmp_path))
    answer(starting)  # which took longer than a second: a server in use does not end
    eventually(lambda: not server.is_running(), what="the server did not end")
    assert server_of(tmp_path) is None


def test_nobody_else_on_the_machine_may_use_it(state: Path) -> None:
    url = answer(command(state))["url"]
    stranger = command(state, PREFECT_API_URL=url)
    _, stderr = stranger.communicate(timeout=120)
    assert stranger.returncode != 0
    assert "401" in stderr
    [home] = state.glob("prefect-*")
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "server.json").stat().st_mode & 0o777 == 0o600


def test_its_environment_holds_nothing_of_ours(state: Path) -> None:
    answer(command(state, SHOP_PASSWORD="canary", PREFECT_API_KEY="canary"))
    server = server_of(state)
    assert server is not None
    assert b"canary" not in Path(f"/proc/{server.pid}/environ").read_bytes()


def test_a_prefect_server_that_is_not_there_is_told_in_one_sentence(tmp_path: Path) -> None:
    asking = command(tmp_path, PREFECT_API_URL="http://127.0.0.1:1/api")
    _, stderr = asking.communicate(timeout=120)
    assert "no Prefect server answers at http://127.0.0.1:1/api" in stderr.splitlines()[-1]
    assert server_of(tmp_path) is None


def test_what_is_no_prefect_server_is_told_in_one_sentence(tmp_path: Path) -> None:
    with webhook() as other:
        asking = command(tmp_path, PREFECT_API_URL=other.url)
        _, stderr = asking.communicate(timeout=120)
    assert f"what answers at {other.url} is not the API of a Prefect server" in stderr.splitlines()[-1]


def test_a_dedicated_server_goes_with_whoever_started_it_even_by_kill_9(tmp_path: Path) -> None:
    script = f"from deployments.servers.prefect import start; from pathlib import Path; start(Path({str(tmp_path)!r}))"
    owner = subprocess.Popen([sys.executable, "-c", f"{script}; import time; time.sleep(600)"])
    server = eventually(lambda: recorded(tmp_path))
    owner.kill()
    owner.wait()
    eventually(lambda: not processes.is_running(server.pid, server.started), what="the server outlived its owner")


def test_a_stopped_server_is_gone(tmp_path: Path) -> None:
    server = start(tmp_path)
    server.stop()
    assert not server.is_running()


def test_the_state_folder_follows_the_environment() -> None:
    assert default_state_folder({"XDG_STATE_HOME": "/var/state"}) == Path("/var/state/backproof")
    assert default_state_folder({"HOME": "/home/ada", "XDG_STATE_HOME": "relative"}) == Path(
        "/home/ada/.local/state/backproof"
    )
