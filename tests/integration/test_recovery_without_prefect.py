"""Prefect is lost amidst a recovery that its flow has begun: a terminal goes on to the end, by the journal."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any

import httpx
import pytest

from blocks.fleet import FILE_VARIABLE
from deployments.servers.prefect import PrefectServer, prefect_server
from tests.support.engine_harness import HARNESSES
from tests.support.fleets import PLAN
from tests.support.killing import CHECKOUT
from tests.support.prefect_fixtures import eventually
from tests.support.recovering import Live, world
from tests.support.server_log import ServerLog

PATIENCE_SECONDS = 240.0
BACKPROOF = str(Path(sys.executable).with_name("backproof"))
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")


class Begun:
    """A recovery that was begun by a flow, in a process that dies when the databases have just changed places."""

    def __init__(self, live: Live, prefect: PrefectServer) -> None:
        self.live = live
        self.whole = live.content()
        live.run("UPDATE parent SET name = 'gone'")
        self.log = ServerLog(live)
        self.log.mark()
        self.reason = f"rows of {live.target.database} were overwritten"
        home = {"XDG_STATE_HOME": str(live.file.parent / "state"), "PREFECT_HOME": str(live.file.parent / "prefect")}
        self._environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | home
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.dying_flow", PLAN, self.reason, "exchange", "done"],
            cwd=CHECKOUT,
            env={**self._environment, **prefect.environment(), FILE_VARIABLE: str(live.file)},
        )

    def close(self) -> None:
        """It is over."""
        self._process.kill()
        self._process.wait()
        self.log.close()

    def approve(self, prefect: PrefectServer) -> None:
        """As a person does in the form, once it waits."""
        run = eventually(lambda: self._waiting(prefect), PATIENCE_SECONDS, "the run waits for approval", every=0.5)
        answer = {"database": self.live.target.database, "approve": "yes", "approved_by": "the person on duty"}
        path = f"/flow_runs/{run}/resume"
        eventually(lambda: _asked(prefect, path, {"run_input": answer}), PATIENCE_SECONDS, "it is approved", every=0.5)

    def wait_for_death(self) -> None:
        """kill -9, by its own hand."""
        assert self._process.wait(PATIENCE_SECONDS) == -SIGKILL

    def backproof(self, *arguments: str) -> dict[str, Any]:
        """A command in a fresh process, which knows of no Prefect server."""
        argv = [BACKPROOF, "--fleet", str(self.live.file), "--json", *arguments]
        done = subprocess.run(
            argv, cwd=CHECKOUT, env=self._environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _waiting(self, prefect: PrefectServer) -> str | None:
        assert self._process.poll() is None, "it has ended"
        named = {"flow_runs": {"state": {"name": {"any_": ["Paused"]}}}}
        found = _asked(prefect, "/flow_runs/filter", named)
        ours = (each["id"] for each in found.json() if each["parameters"]["reason"] == self.reason) if found else ()
        return next(iter(ours), None)


def _asked(prefect: PrefectServer, path: str, said: dict[str, Any]) -> httpx.Response | None:
    """Its answer; None where its SQLite was locked, as it is at times on a busy machine."""
    answer = httpx.post(prefect.url + path, json=said, timeout=60)
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return None
    assert answer.is_success, answer.text
    return answer


@pytest.fixture
def lives(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Live]]:
    """One an engine."""
    with ExitStack() as stack:
        made = []
        for harness in HARNESSES:
            folder = tmp_path / harness.engine
            folder.mkdir()
            server = request.getfixturevalue(harness.servers[0])
            made.append(stack.enter_context(world(harness, server, folder)).live(verify_on="server", stores=["near"]))
        yield made


@contextmanager
def killed(lives: list[Live], folder: Path) -> Iterator[list[Begun]]:
    """A recovery each, killed; the Prefect server that knew of them is gone, with its database."""
    with ExitStack() as stack:
        with prefect_server(folder, ui=False) as prefect:
            begun = []
            for live in lives:
                begun.append(Begun(live, prefect))
                stack.callback(begun[-1].close)
            for each in begun:
                each.approve(prefect)
            for each in begun:
                each.wait_for_death()
        assert list(folder.rglob("*.db"))
        shutil.rmtree(folder)
        yield begun


@pytest.mark.timeout(900)
def test_a_recovery_goes_on_without_the_prefect_that_began_it_and_destroys_nothing_twice(
    lives: list[Live], tmp_path: Path
) -> None:
    with killed(lives, tmp_path / "prefect") as begun:
        for each in begun:
            [listed] = each.backproof("recovery", "list", PLAN)["recoveries"]
            assert listed["result"] == "under way"
            made = each.backproof("recover", "--resume", listed["recovery"])["recovery"]
            assert (made["result"], made["by"]) == ("recovered", "the person on duty")
            assert each.live.content() == each.whole
            assert each.live.application.told == ["commands", "on", "tests", "off"]
            assert each.log.expect_nothing_twice(each.reason) > 0
