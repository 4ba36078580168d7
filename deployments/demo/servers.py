"""Start, find and stop the process that holds the demo's servers."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backproof.errors import ConfigurationError, Permanent
from backproof.scratch import remove_workspace, workspaces
from deployments.servers import processes
from deployments.servers.prefect import default_state_folder

Say = Callable[[str], None]

ENDING_SECONDS = 30.0

_FILES = ("keep", "demo.json", "host.json", "fleet.yaml", "escrow.pem", "escrow-private.pem", "second-region.sql.gz")
_FOLDERS = ("backups", "prefect")


@dataclass(frozen=True, slots=True)
class Demo:
    """Running servers, as a client sees them."""

    fleet: Path
    ui_url: str
    environment: dict[str, str]


def state_folder() -> Path:
    """Where the demo keeps its fleet file, its backups and Prefect's database."""
    return default_state_folder(os.environ) / "demo"


@contextmanager
def running(say: Say, keep: bool) -> Iterator[Demo]:
    """The demo's servers; with ``keep`` they stay when the context ends well.

    Raises:
        ConfigurationError: an earlier demo's servers still run.
        Permanent: they did not start; with what they said.
    """
    state = state_folder()
    if (held := _host(state)) is not None and processes.is_running(*held):
        raise ConfigurationError("an earlier demo is still running", "End it with `backproof demo --stop`.")
    _end_orphans()
    _empty(state)
    owner = ["--owner", str(os.getpid()), processes.started(os.getpid()) or ""]
    errors = os.open(state / "host.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "deployments.demo.host", str(state), *owner],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
        text=True,
    ) as process:
        os.close(errors)
        since = processes.started(process.pid) or ""
        try:
            _write(state / "host.json", [process.pid, since])
            yield _when_ready(process, state, say)
            if keep:
                (state / "keep").touch()
        finally:
            if (state / "keep").exists():
                process.returncode = 0  # it outlives us: not ours to wait for
            else:
                processes.end(process.pid, since, ENDING_SECONDS)


def stop() -> bool:
    """End what ``--keep`` left running.

    Returns:
        Whether anything ran.
    """
    held = _host(state_folder())
    ran = held is not None and processes.is_running(*held)
    if held is not None:
        processes.end(*held, ENDING_SECONDS)
    _end_orphans()
    return ran


def _when_ready(process: "subprocess.Popen[str]", state: Path, say: Say) -> Demo:
    for line in process.stdout or ():
        if line.strip() == "ready":
            known: dict[str, Any] = json.loads((state / "demo.json").read_text())
            return Demo(Path(known["fleet"]), known["ui_url"], known["environment"])
        say(line.strip())
    process.wait()
    reason = (state / "host.log").read_text().strip().splitlines()
    raise Permanent(f"the demo's servers did not start: {reason[-1].rstrip('.') if reason else 'no word from them'}")


def _host(state: Path) -> tuple[int, str] | None:
    try:
        pid, since = json.loads((state / "host.json").read_text())
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return int(pid), str(since)


def _end_orphans() -> None:
    """Servers whose holder was killed work on in its folder."""
    for folder, alive in workspaces("demo"):
        if alive is False:
            remove_workspace(folder)


def _empty(state: Path) -> None:
    """A demo begins anew: only files and folders that a demo makes are removed."""
    for name in _FOLDERS:
        shutil.rmtree(state / name, ignore_errors=True)
    for name in _FILES:
        (state / name).unlink(missing_ok=True)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)


def _write(path: Path, value: object) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(value, file)
