"""How long ``backproof apply`` takes for a fleet of many plans, on a Prefect server of its own with SQLite.

By the clock, and by the processor: on a machine that has other work the latter tells more. The server's share holds
what its scheduler does meanwhile, which plans three runs ahead for each schedule.
"""

import base64
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks import measure
from deployments.servers.prefect import prefect_server

Row = dict[str, object]


def measured(folder: Path, plans: int, say: Callable[[str], None]) -> Iterator[Row]:
    """First apply, one that changes nothing, one after an edit of the file; seconds of the whole command and server."""
    file = folder / f"fleet-{plans}.yaml"
    fleet = _fleet(plans)
    with prefect_server(folder / f"prefect-{plans}", ui=True) as server:
        for case, change in (("first", None), ("no change", None), ("one plan changed", "0 5 * * *")):
            if change:
                fleet["plans"]["plan-0"]["schedules"] = {"daily": change}
            file.write_text(yaml.safe_dump(fleet))
            before = _cpu_seconds(server.pid)
            done = _apply(file, server.environment())
            row = {
                "case": case,
                "plans": plans,
                "changes": len(json.loads(done.output)["changes"]),
                "seconds": round(done.seconds, 1),
                "cpu_seconds": round(done.cpu_seconds, 1),
                "server_cpu_seconds": round(_cpu_seconds(server.pid) - before, 1),
                "load": round(os.getloadavg()[0], 1),
            }
            say(f"apply, {plans} plans, {case}: {row['seconds']} s, {row['changes']} changes")
            yield row


def _apply(file: Path, environment: dict[str, str]) -> measure.Run:
    command = [str(Path(sys.executable).with_name("backproof")), "--json", "--fleet", str(file), "apply"]
    return measure.run(command, environment)


def _cpu_seconds(pid: int) -> float:
    """What a process has used so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
