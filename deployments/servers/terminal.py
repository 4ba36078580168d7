"""Runs that a terminal started: when the process dies, nobody tells Prefect, and they would be "Running" for ever."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import tags
from prefect.states import Crashed

from deployments.servers import processes
from tasks import stopping

TAG = "terminal"


@contextmanager
def terminal_run() -> Iterator[None]:
    """Runs started inside say whose they are; those of this machine whose process is dead are marked ``Crashed``."""
    mark_the_dead()
    stopping.own_process = True
    with tags(TAG, f"process:{socket.gethostname()}:{os.getpid()}:{processes.started(os.getpid())}"):
        yield


def mark_the_dead() -> list[str]:
    """Close the runs whose process is gone, also by kill -9; returns their names."""
    with get_client(sync_client=True) as client:
        dead = [run for run in _open_runs(client) if not _lives(run)]
        for run in dead:
            message = "Its process ended without a word. What it left behind is swept by the plan's next run."
            client.set_flow_run_state(run.id, Crashed(message=message), force=True)
    return [run.name for run in dead]


def _open_runs(client: SyncPrefectClient) -> list[FlowRun]:
    unfinished = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[TAG]), state=FlowRunFilterState(type=unfinished))
    )


def _lives(run: FlowRun) -> bool:
    """Whether its process runs; of another machine's processes nothing is known."""
    for tag in run.tags:
        kind, *process = tag.split(":")
        if kind == "process" and len(process) == 3 and process[0] == socket.gethostname():
            return processes.is_running(int(process[1]), process[2])
    return True
