"""How long ``backproof apply`` takes for a fleet of many plans, on a Prefect server of its own with SQLite."""

import base64
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from deployments.servers.prefect import prefect_server

Row = dict[str, object]


def measured(folder: Path, plans: int, say: Callable[[str], None]) -> Iterator[Row]:
    """First apply, one that changes nothing, one after an edit of the file; seconds of the whole command."""
    file = folder / f"fleet-{plans}.yaml"
    fleet = _fleet(plans)
    with prefect_server(folder / f"prefect-{plans}", ui=True) as server:
        for case, change in (("first", None), ("no change", None), ("one plan changed", "0 5 * * *")):
            if change:
                fleet["plans"]["plan-0"]["schedules"] = {"daily": change}
            file.write_text(yaml.safe_dump(fleet))
            began = time.monotonic()
            document = _apply(file, server.environment())
            seconds = round(time.monotonic() - began, 1)
            say(f"apply, {plans} plans, {case}: {seconds} s, {len(document['changes'])} changes")
            yield {"case": case, "plans": plans, "seconds": seconds, "changes": len(document["changes"])}


def _apply(file: Path, environment: dict[str, str]) -> dict[str, Any]:
    command = [str(Path(sys.executable).with_name("backproof")), "--json", "--fleet", str(file), "apply"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "BACKPROOF"))}
    done = subprocess.run(command, env=clean | environment, stdout=subprocess.PIPE, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _fleet(plans: int) -> dict[str, Any]:
    """A database a plan, as in life; two stores."""
    names = [f"plan-{number}" for number in range(plans)]
    database = {"engine": "postgresql", "port": 5432, "user": "backup", "password": "secret"}
    return {
        "fleet": "many",
        "signing": {"private_key": _key()},
        "keys": {"main": {"aes256": _key()}},
        "stores": {
            "near": {"type": "local", "path": "/srv/backups"},
            "far": {"type": "s3", "bucket": "backups", "region": "eu-west-1"},
        },
        "databases": {name: {**database, "name": name} for name in names},
        "plans": {name: {"database": name} for name in names},
    }


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()
