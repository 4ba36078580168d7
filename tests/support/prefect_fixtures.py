"""One real Prefect server a session, with its scheduler, for every test of a flow."""

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.servers.prefect import PrefectServer, prefect_server

_running: list[PrefectServer] = []


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A server that this process talks to for the rest of the session; other processes by ``environment()``."""
    from prefect.context import _temporary_global_settings_context, get_settings_context
    from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_LEVEL, temporary_settings

    home = tmp_path_factory.mktemp("prefect")
    with (
        prefect_server(home, ui=True) as server,
        temporary_settings({PREFECT_API_URL: server.url, PREFECT_LOGGING_LEVEL: "WARNING"}),
        _temporary_global_settings_context(get_settings_context()),
    ):
        _running.append(server)
        yield server
        _running.remove(server)
    # What a failed run left in cycles holds times made by pydantic, which crashes when it frees them during shutdown.
    gc.collect()


@pytest.fixture(scope="module", autouse=True)
def no_blocks_of_others() -> Iterator[None]:
    """The fleets of one file of tests name their blocks as those of another do: at its end none are left."""
    yield
    if _running:
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            for each in client.request("POST", "/block_documents/filter", json={"limit": 200}).json():
                client.delete_block_document(each["id"])


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same retries, without the waiting."""
    from tasks.copy import copy
    from tasks.preflight import preflight
    from tasks.prove import prove
    from tasks.seal import seal

    for task in (copy, preflight, prove, seal):
        monkeypatch.setattr(task, "retry_delay_seconds", [0.01])


def eventually(found: Callable[[], Any], seconds: float = 60.0, what: str = "", every: float = 0.1) -> Any:
    """What ``found`` returns, once it is true; an error when that takes too long."""
    deadline = time.monotonic() + seconds
    while not (given := found()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or found}")
        time.sleep(every)
    return given


def text_of(folder: Path) -> bytes:
    """Every byte of every file below a folder: for canaries."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
