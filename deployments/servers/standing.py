"""A Prefect server and a worker that stay, in the foreground and supervised: what ``backproof up`` runs.

Whoever dies is started again, after a pause that grows as long as it keeps dying. The listening socket is ours and
stays open meanwhile, so that clients wait instead of being refused. On Ctrl-C or SIGTERM the worker takes no more runs;
those it has may end, and after a while are told to; the server goes last, and hears of all that.
"""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from backproof.errors import AlreadyExists, ConfigurationError
from deployments.servers import prefect, processes

HISTORY_DAYS = 400
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
HEALTHY_AFTER_SECONDS = 60.0
LEAVING_SECONDS = 25.0
"""A run that is told to stop needs fifteen, at most."""

_LOOK_EVERY_SECONDS = 0.2
_RECORD = "up.json"
_DATABASE = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
_SERVER_SETTINGS = {
    # Runs are kept for more than a year, so that each monthly backup's is there. Their artifacts go with them.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(HISTORY_DAYS * 24 * 3600),
}
_WORKER_SETTINGS = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "60",
    "PREFECT_WORKER_QUERY_SECONDS": "5",
    "PREFECT_LOGGING_LEVEL": "INFO",
}
_NAMED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Wish:
    """What is to run."""

    folder: Path
    """0700; Prefect's database, the logs and the records lie there."""
    port: int
    password: str | None
    """``user:password``, or None: whoever is on this machine may use the server."""
    pool: str
    limit: int
    """So many runs at once."""
    worker_environment: Mapping[str, str]
    patience_seconds: float
    """So long may runs go on after we are told to stop."""


@dataclass
class Part:
    """One supervised process."""

    name: str
    start: Callable[[], "subprocess.Popen[bytes]"]
    say: Callable[[str], None]
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    again_at: float = 0.0
    pause_seconds: float = FIRST_PAUSE_SECONDS

    def look(self) -> None:
        """Start it where it does not run and its pause is over."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.again_at:
                try:
                    self.process, self.started_at = self.start(), now
                except OSError as error:  # a full disk, as a rule
                    self._later(now, f"could not be started: {error.strerror or error}")
        elif (status := self.process.poll()) is not None:
            if now - self.started_at > HEALTHY_AFTER_SECONDS:
                self.pause_seconds = FIRST_PAUSE_SECONDS
            self._later(now, f"ended with status {status}")

    def _later(self, now: float, why: str) -> None:
        self.say(f"the {self.name} {why}; it is started again in {self.pause_seconds:.0f} s")
        self.process, self.again_at = None, now + self.pause_seconds
        self.pause_seconds = min(self.pause_seconds * 2, LONGEST_PAUSE_SECONDS)

    def ask_to_end(self) -> None:
        """Once: asked a second time, Prefect's worker kills its runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def has_ended(self, patience_seconds: float) -> bool:
        """Whether it ends within that time."""
        if self.process is None:
            return True
        try:
            self.process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def stand(wish: Wish, say: Callable[[str], None], ready: Callable[[prefect.PrefectServer], None]) -> None:
    """Run server and worker until interrupted.

    Args:
        wish: what is to run.
        say: told what happens, a line each.
        ready: called once the server answers.

    Raises:
        AlreadyExists: they run already.
        ConfigurationError: the port is taken, or the folder can't be written to.
    """
    with _writing(wish.folder):
        wish.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _only_one(wish.folder)
    try:
        with _listening(wish.port) as listening:
            with _writing(wish.folder):
                _write_record(wish.folder)
            server = Part("Prefect server", lambda: _start_server(wish, listening), say)
            worker = Part("worker", lambda: _start_worker(wish), say)
            try:
                _run(wish, server, worker, ready)
            except KeyboardInterrupt:
                say(f"stopping; runs may go on for {wish.patience_seconds:.0f} s. Once more: stop them now")
            finally:
                _end(wish, server, worker, say)
    finally:
        (wish.folder / _RECORD).unlink(missing_ok=True)
        os.close(lock)


def stop(folder: Path, patience_seconds: float) -> bool:
    """Stop what stands, from elsewhere; whether anything did.

    Raises:
        ConfigurationError: it does not end in time.
    """
    try:
        record = json.loads((folder / _RECORD).read_text())
    except (FileNotFoundError, ValueError):
        return False
    if not processes.is_running(record["pid"], record["started"]):
        return False
    os.kill(record["pid"], signal.SIGTERM)
    deadline = time.monotonic() + patience_seconds
    while processes.is_running(record["pid"], record["started"]):
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"`backproof up`, process {record['pid']}, has not ended after {patience_seconds:.0f} s",
                "It waits for runs to end; once more makes it stop them.",
            )
        time.sleep(_LOOK_EVERY_SECONDS)
    return True


def environment_for_runs(environment: Mapping[str, str], fleet_file: Path) -> dict[str, str]:
    """Ours, without the secrets of the fleet file, which runs read from blocks, and without Prefect's variables."""
    named = set(_NAMED.findall(fleet_file.read_text())) - set(prefect.INHERITED)
    return {
        name: value
        for name, value in environment.items()
        if name not in named and not name.startswith(("PREFECT", "BACKPROOF_FLEET"))
    }


def _run(wish: Wish, server: Part, worker: Part, ready: Callable[[prefect.PrefectServer], None]) -> None:
    told = False
    while True:
        server.look()
        standing = None if told or server.process is None else prefect.recorded(wish.folder)
        if standing and standing.pid == getattr(server.process, "pid", None) and standing.answers():
            told = True
            ready(standing)
        if told:
            worker.look()
        time.sleep(_LOOK_EVERY_SECONDS)


def _end(wish: Wish, server: Part, worker: Part, say: Callable[[str], None]) -> None:
    """The worker first, and its runs: while the server can still be told how they ended."""
    worker.ask_to_end()
    try:
        drained = worker.has_ended(wish.patience_seconds)
    except KeyboardInterrupt:
        drained = False
    if not drained and worker.process is not None:
        runs = processes.children(worker.process.pid)
        say(f"stopping {len(runs)} runs")
        for run in runs:
            processes.signal_one(run, signal.SIGTERM)
        if not worker.has_ended(LEAVING_SECONDS):
            for pid in [*processes.children(worker.process.pid), worker.process.pid]:
                processes.signal_one(pid, signal.SIGKILL)
            worker.process.wait()
    server.ask_to_end()
    if not server.has_ended(LEAVING_SECONDS) and server.process is not None:
        server.process.kill()
        server.process.wait()
    (wish.folder / "server.json").unlink(missing_ok=True)


def _start_server(wish: Wish, listening: socket.socket) -> "subprocess.Popen[bytes]":
    database = {name: os.environ[name] for name in _DATABASE if name in os.environ}
    with suppress(FileNotFoundError):
        (wish.folder / "server.log").replace(wish.folder / "server.log.1")  # why the one before ended
    process, _ = prefect.launch(
        wish.folder, listening, prefect.as_long_as_us(), wish.password, _SERVER_SETTINGS | database
    )
    return process


def _start_worker(wish: Wish) -> "subprocess.Popen[bytes]":
    server = prefect.recorded(wish.folder)
    own = {"PREFECT_HOME": str(wish.folder / "worker")} | _WORKER_SETTINGS
    environment = dict(wish.worker_environment) | own | (server.environment() if server else {})
    argv = [sys.executable, "-P", "-m", "deployments.servers.worker_process", "--pool", wish.pool]
    with (wish.folder / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [*argv, "--limit", str(wish.limit), *prefect.as_long_as_us()],
            env=environment,
            cwd=wish.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on port {port}: {error.strerror}", "Name another with --port; 0 takes any that is free."
        ) from None


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"`backproof up` can't write to {folder}: {error.strerror or error}",
            "Make room there and let us write, or name another folder in XDG_STATE_HOME.",
        ) from None


def _only_one(folder: Path) -> int:
    descriptor = os.open(folder / "standing", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AlreadyExists("a Prefect server and a worker run here already", "`backproof down` stops them.") from None
    return descriptor


def _write_record(folder: Path) -> None:
    pid = os.getpid()
    (folder / _RECORD).write_text(json.dumps({"pid": pid, "started": processes.started(pid)}))
