"""A Prefect server that a test may stop and start again: same address, same database, quick services."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from deployments.servers import prefect_database

PASSWORD = "backproof:let-me-in"
QUICK = {
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "deployments.servers.ordering",
    "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "deployments.servers.messaging",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "1",
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
}


class RestartingServer:
    """Behind a password; the log lies in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port = listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self._process: subprocess.Popen[bytes] | None = None
        prefect_database.give(folder)

    def start(self) -> None:
        """Return once it answers."""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        settings = {
            "PREFECT__SERVER_FINAL": "1",
            "PREFECT_HOME": str(self.folder),
            "PREFECT_API_URL": self.url,
            "PREFECT_UI_URL": self.url.removesuffix("/api"),
            "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
            "PREFECT_API_AUTH_STRING": PASSWORD,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        factory = "prefect.server.api.server:create_app"
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--log-level", "warning"]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "uvicorn", "--factory", factory, "--lifespan", "on", *where],
                env=inherited | settings | QUICK,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 120
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < deadline, (self.folder / "server.log").read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        """Without a word, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        password = ("backproof", "let-me-in")
        try:
            # Without TLS: each of these questions would read all of a machine's authorities.
            return httpx.get(f"{self.url}/health", auth=password, trust_env=False, verify=False).is_success
        except httpx.HTTPError:
            return False
