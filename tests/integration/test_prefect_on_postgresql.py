"""Prefect's server on PostgreSQL, as docs/many-machines.md has it: a fleet is applied and scheduled there."""

import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from backproof.fleet import parse
from backproof.records import Target
from deployments.servers import prefect
from tests.support.fleets import key
from tests.support.postgres_fixtures import FreshDatabase, execute, prefect_url
from tests.support.prefect_fixtures import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CANARY = "canary-of-the-database"


@pytest.fixture
def database(postgres15: Target, fresh_database: FreshDatabase) -> Target:
    """An empty one for Prefect alone."""
    return fresh_database(postgres15)


def test_a_fleet_is_applied_twice_and_scheduled_on_postgresql(database: Target, tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from deployments.apply import carry_out, outlook

    described: dict[str, Any] = {
        "fleet": "large",
        "signing": {"private_key": key()},
        "keys": {"large-key": {"aes256": key()}},
        "stores": {"large-store": {"type": "local", "path": "/nowhere"}},
        "databases": {
            "large-db": {"engine": "postgresql", "port": 5432, "name": "shop", "user": "u", "password": CANARY}
        },
        "plans": {"large-one": {"database": "large-db"}},
    }
    spec = parse(yaml.safe_dump(described), {}, tmp_path / "fleet.yaml")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": prefect_url(database)}
        process, server = prefect.launch(tmp_path / "home", listening, prefect.as_long_as_us(), None, settings)
    try:
        server.wait_until_ready(240)
        with temporary_settings({PREFECT_API_URL: server.url}), get_client(sync_client=True) as client:
            carry_out(client, outlook(client, spec), remove=False)
            assert outlook(client, spec).changes == ()
            eventually(lambda: len(client.read_flow_runs()) >= 6, 120, "nothing was scheduled")
    finally:
        server.stop()
        process.wait()
    stored = execute(database, "SELECT string_agg(data::text, ' ') FROM block_document")
    assert CANARY not in repr(stored)
