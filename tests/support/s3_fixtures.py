"""S3 servers for the tests: SeaweedFS, a process a region, and moto where a test wants what only moto does."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from secrets import token_hex
from typing import Any

import pytest

from backproof import scratch
from backproof.stores.s3 import S3Store
from deployments.servers.seaweedfs import S3Server, start

REGIONS = ("eu-west-1", "us-east-1")
BUCKET = "backups"
ACCESS_KEY = "BACKPROOFTEST"
SECRET_KEY = "canary-secret-key-that-must-not-leak"

MakeStore = Callable[..., S3Store]


@pytest.fixture(scope="session")
def regions() -> Iterator[tuple[S3Server, S3Server]]:
    """Two SeaweedFS servers, each with an empty bucket ``backups``. Tests share them: use a prefix of your own."""
    with scratch.workspace("test") as home, ExitStack() as started, ThreadPoolExecutor() as threads:
        starting = [threads.submit(start, home / name, ACCESS_KEY, SECRET_KEY, [BUCKET]) for name in REGIONS]
        for each in starting:
            started.callback(_stop, each)
        one, other = (each.result() for each in starting)
        yield one, other
    for note, _ in scratch.workspaces(
        scratch.UPLOAD
    ):  # of uploads that a fault kept from ending; their servers are gone
        if f"-{os.getpid()}-" in note.name:
            scratch.remove_workspace(note)


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """The address of a moto server: it forgets nothing within a session and authenticates nobody."""
    from moto.server import ThreadedMotoServer  # slow to import, and this module is loaded for every test

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def s3_store(regions: tuple[S3Server, S3Server]) -> MakeStore:
    """Make a store on the first region (``region=1``: the second) below a prefix that only this test has."""
    prefix = f"t-{token_hex(6)}"

    def make(region: int = 0, **changes: Any) -> S3Store:
        settings: dict[str, Any] = {
            "prefix": prefix,
            "endpoint_url": regions[region].endpoint_url,
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
        }
        return S3Store(REGIONS[region], BUCKET, REGIONS[region], **(settings | changes))

    return make


def _stop(starting: Any) -> None:
    if starting.exception() is None:
        starting.result().stop()
