"""A flow that ends early takes what it started with it; a terminal that died is not "Running" for ever."""

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.context import tags

from backproof import subprocesses
from backproof.errors import ConnectionLost
from deployments.servers.prefect import PrefectServer
from deployments.servers.terminal import mark_the_dead
from tasks import stopping
from tasks.steps import step
from tests.support.prefect_fixtures import eventually


def test_what_is_told_to_stop_stops_at_its_next_progress_or_question_for_the_time() -> None:
    stopping.check()
    with suppress(KeyboardInterrupt), stopping.stopping_cleanly():
        told = stopping.told()
        assert not told.is_set()
        raise KeyboardInterrupt
    with pytest.raises(stopping.Stopped):
        stopping.check(told)


def test_a_submitted_task_whose_child_is_killed_does_not_try_again(prefect_api: PrefectServer) -> None:
    tries: list[int] = []
    started = threading.Event()
    others = subprocesses.live()  # servers that tests share

    @step("sleep")
    def sleep() -> None:
        tries.append(1)
        with subprocesses.stream(["sleep", "600"]) as running:
            started.set()
            running.stdout.read()
            running.finish()
        raise ConnectionLost("the child was killed")

    @flow(persist_result=False)
    def interrupted() -> None:
        with stopping.stopping_cleanly():
            sleep.submit()
            assert started.wait(60)
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert tries == [1]
    assert subprocesses.live() == others
    assert time.monotonic() - began < 60


def test_the_run_of_a_terminal_that_was_killed_is_marked_at_the_next_start(prefect_api: PrefectServer) -> None:
    script = """
import time
from deployments.servers.terminal import terminal_run
from prefect import flow

@flow(flow_run_name="killed", persist_result=False)
def waiting():
    time.sleep(600)

with terminal_run():
    waiting()
"""
    environment = {**os.environ, **prefect_api.environment(), "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    terminal = subprocess.Popen([sys.executable, "-c", script], env=environment)
    try:
        eventually(lambda: _state("killed") == "RUNNING", what="the run did not start")
        assert "killed" not in mark_the_dead()
    finally:
        terminal.kill()
        terminal.wait()
    assert mark_the_dead() == ["killed"]
    assert _state("killed") == "CRASHED"


def test_a_run_of_another_machine_is_left_alone(prefect_api: PrefectServer) -> None:
    @flow(persist_result=False)
    def elsewhere() -> list[str]:
        return mark_the_dead()

    with tags("terminal", "process:another-machine:1:1"):
        assert elsewhere() == []


def _state(name: str) -> str | None:
    with get_client(sync_client=True) as client:
        found = [run.state for run in client.read_flow_runs() if run.name == name]
    return found[0].type.value if found and found[0] else None
