"""``backproof up`` at work: a Prefect server and a worker that a test may kill."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.servers import processes
from deployments.servers.prefect import PrefectServer, recorded
from tests.support.prefect_fixtures import eventually
from tests.support.proc import command_of

BACKPROOF = str(Path(sys.executable).with_name("backproof"))


@dataclass
class Up:
    """One that runs."""

    process: "subprocess.Popen[str]"
    folder: Path
    """Where Prefect's database, the logs and the records lie."""
    environment: dict[str, str]
    cwd: Path
    """Where fleet.yaml lies."""
    secrets: tuple[str, ...]
    """What no command may say."""

    @property
    def server(self) -> PrefectServer:
        found = recorded(self.folder)
        assert found is not None
        return found

    def worker(self) -> int | None:
        """The worker's pid, once it polls its pool."""
        if "started!" not in (self.folder / "worker.log").read_text():
            return None
        found = [pid for pid in processes.children(self.process.pid) if "worker_process" in command_of(pid)]
        return found[0] if found else None

    def command(self, *arguments: str) -> Any:
        """The document that a command answers with."""
        done = subprocess.run(
            [BACKPROOF, "--json", *arguments], cwd=self.cwd, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert not [secret for secret in self.secrets if secret in done.stdout + done.stderr]
        return json.loads(done.stdout)


@contextmanager
def backproof_up(folder: Path, given: Mapping[str, str], *options: str, secrets: tuple[str, ...] = ()) -> Iterator[Up]:
    """``backproof up`` for the fleet.yaml of a folder, on any free port; answers by now.

    Args:
        folder: holds fleet.yaml; its state goes there too.
        given: variables besides those of this process.
        options: of ``up``.
        secrets: what no command may say.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "BACKPROOF"))}
    environment = {**clean, **given, "XDG_STATE_HOME": str(folder / "state")}
    process = subprocess.Popen(
        [BACKPROOF, "--json", "up", "--port", "0", *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    up = Up(process, folder / "state" / "backproof" / "up", environment, folder, secrets)
    try:
        eventually(lambda: (up.folder / "server.json").exists(), 60, "no server was started")
        up.server.wait_until_ready(300)
        yield up
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                process.kill()
        process.communicate()
