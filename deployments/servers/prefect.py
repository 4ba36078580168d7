"""Prefect servers of our own: a private one for the command line, dedicated ones for the demo and the tests.

Prefect's own ephemeral mode costs 17 seconds and prints ``CancelledError`` at exit. Here a command starts a real server
once, on a free loopback port and behind a password; it stays ten minutes for the next command, and ends by itself. This
module does not import Prefect until the server is on its way: both then start at the same time.
"""

import atexit
import base64
import fcntl
import gc
import importlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from backproof.errors import ConfigurationError, ConnectionLost
from deployments.servers import prefect_database, processes, time_zones

IDLE_SECONDS = 600.0
ANSWER_SECONDS = 15.0
START_SECONDS = 90.0
_HEALTHY_BYTES = 100
STANDING = "up"
"""The folder, in a user's state, of the server that ``backproof up`` runs."""

_QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_CLI_COLORS": "false",
}
_SERVER = _QUIET | {
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "deployments.servers.ordering",  # messages come at once after a restart
    "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "deployments.servers.messaging",  # and once
    # Else a restart forgets which runs are under way, and ends them (docs/decisions/012).
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",  # saving a block there, nothing changed, destroys what it refers to
}
_PRIVATE = {
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT_SERVER_UI_ENABLED": "false",
}
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """A server of ours, as its record file describes it."""

    pid: int
    started: str
    url: str
    """The API: ``http://127.0.0.1:PORT/api``."""
    password: str | None
    """What a client sends, as ``user:password``; None where the server asks for none."""

    @property
    def ui_url(self) -> str:
        """Where a person looks."""
        return self.url.removesuffix("/api")

    def environment(self) -> dict[str, str]:
        """What a process needs in its environment, before it imports Prefect, to use this server."""
        password = {"PREFECT_API_AUTH_STRING": self.password} if self.password else {}
        return {"PREFECT_API_URL": self.url} | password | _QUIET

    def is_running(self) -> bool:
        """Whether its process lives."""
        return processes.is_running(self.pid, self.started)

    def wait_until_ready(self, seconds: float = START_SECONDS) -> None:
        """Return once it answers.

        Raises:
            ConnectionLost: it ended, or does not answer in time.
        """
        deadline = time.monotonic() + seconds
        while not _answers(f"{self.url}/health", self.password):
            if not self.is_running() or time.monotonic() > deadline:
                raise ConnectionLost(f"the Prefect server at {self.url} does not answer", "Its server.log says why.")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether it does now."""
        return _answers(f"{self.url}/health", self.password, 1.0)

    def stop(self) -> None:
        """End it; no error where it has ended."""
        processes.end(self.pid, self.started)


def default_state_folder(environment: Mapping[str, str]) -> Path:
    """Where a user's state lies: ``$XDG_STATE_HOME/backproof`` or ``~/.local/state/backproof``."""
    state = environment.get("XDG_STATE_HOME", "")
    base = (
        Path(state) if state.startswith("/") else Path(environment.get("HOME", "~")).expanduser() / ".local" / "state"
    )
    return base / "backproof"


def ensure_api(state_folder: Path | None = None, idle_seconds: float = IDLE_SECONDS, private: bool = True) -> str:
    """Make Prefect usable in this process, and import it.

    Uses ``PREFECT_API_URL`` where it is set; else the server that ``backproof up`` runs here; else the private server
    of this user, which is started where none runs.

    Args:
        state_folder: of this user.
        idle_seconds: so long a private server waits for the next command.
        private: whether a private server will do.

    Returns:
        The API's URL.

    Raises:
        ConfigurationError: Prefect was imported before: it reads its settings only then; or no server stays here, and a
            private one will not do.
        ConnectionLost: the server did not start.
    """
    if "prefect" in sys.modules:
        raise ConfigurationError("Prefect was imported before its server was chosen", "Call ensure_api() first.")
    time_zones.remember()
    for name, value in (_QUIET | _client_settings()).items():
        os.environ.setdefault(name, value)
    if url := os.environ.get("PREFECT_API_URL"):
        _require_somebody_at(url)
        return url
    state = state_folder or default_state_folder(os.environ)
    if (standing := recorded(state / STANDING)) and standing.is_running():
        os.environ.update(standing.environment())
        standing.wait_until_ready()
        importlib.import_module("prefect.main")
        return standing.url
    if not private:
        raise ConfigurationError(
            "there is no Prefect server to work with",
            "Start one here with `backproof up`, or name one in PREFECT_API_URL.",
        )
    folder = state / f"prefect-{version('prefect')}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _hold(folder / "in-use")
        with _locked(folder / "starting"):
            server = _running(folder) or start(folder, idle_seconds=idle_seconds)
    except OSError as error:
        raise ConfigurationError(
            f"the private Prefect server can't use {folder}: {error.strerror or error}",
            "Make room there and let us write, or name another folder in XDG_STATE_HOME, or set PREFECT_API_URL.",
        ) from None
    os.environ.update(server.environment(), PREFECT_HOME=str(folder))
    # What a failed run leaves in cycles holds times made by pydantic, which can crash if it frees them during shutdown.
    atexit.register(gc.collect)
    importlib.import_module("prefect.main")  # two to four seconds in which the server starts too
    server.wait_until_ready()
    return server.url


def start(
    folder: Path, *, idle_seconds: float | None = None, ui: bool = False, password: bool = True, outlive: bool = False
) -> PrefectServer:
    """Start a server whose home is ``folder``; it may not be ready yet.

    Args:
        folder: 0700; database, log and record lie there.
        idle_seconds: end when no command has used it for so long; None: end with this process.
        ui: with the web page and the scheduler.
        password: ask for a random one.
        outlive: never end by itself (and ``idle_seconds`` None): somebody will call ``stop``.
    """
    secret = f"backproof:{secrets.token_urlsafe(24)}" if password else None
    with socket.create_server(("127.0.0.1", 0)) as listening:
        life = _life(folder, idle_seconds, outlive)
        process, server = launch(folder, listening, life, secret, {} if ui else _PRIVATE)
    process.returncode = 0  # not ours to wait for: it may outlive us, and init reaps it then
    return server


def launch(
    folder: Path, listening: socket.socket, life: list[str], secret: str | None, settings: Mapping[str, str]
) -> "tuple[subprocess.Popen[bytes], PrefectServer]":
    """Start a server's process on a listening socket, and write its record.

    Args:
        folder: its home.
        listening: bound to loopback.
        life: when it ends by itself, as options of ``prefect_process``.
        secret: the ``user:password`` it asks for; None: none.
        settings: of Prefect, over ours.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    prefect_database.give(folder)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
    process = _spawn(folder, listening, life, _settings(folder, url, secret) | settings)
    server = PrefectServer(process.pid, processes.started(process.pid) or "", url, secret)
    try:
        _write(folder / "server.json", json.dumps(asdict(server)))
    except OSError:  # nobody would know of it
        process.kill()
        process.wait()
        raise
    return process, server


def as_long_as_us() -> list[str]:
    """For ``launch``: it ends when this process does, whatever it dies of."""
    return ["--owner", str(os.getpid()), processes.started(os.getpid()) or ""]


def recorded(folder: Path) -> PrefectServer | None:
    """The server whose home is ``folder``, running or not; None where there is no record of one."""
    try:
        return PrefectServer(**json.loads((folder / "server.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


@contextmanager
def prefect_server(folder: Path, *, ui: bool = True, password: bool = False) -> Iterator[PrefectServer]:
    """A dedicated server, ready, with scheduler and (``ui``) web page; gone afterwards, even if we are killed."""
    server = start(folder, ui=ui, password=password)
    try:
        server.wait_until_ready()
        yield server
    finally:
        drain()
        server.stop()


def drain() -> None:
    """Let Prefect's threads hand over what they hold; stopping the server before makes the process hang a minute."""
    if "prefect" not in sys.modules:
        return
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    EventsWorker.drain_all()
    APILogWorker.drain_all(timeout=5)


def _client_settings() -> dict[str, str]:
    return {
        "PREFECT_LOGGING_SETTINGS_PATH": str(Path(__file__).with_name("logging.yml")),
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
    }


def _running(folder: Path) -> PrefectServer | None:
    server = recorded(folder)
    if server is None or not server.is_running():
        return None
    try:
        server.wait_until_ready()
    except ConnectionLost:
        server.stop()  # alive, and deaf
        return None
    return server


def _life(folder: Path, idle_seconds: float | None, outlive: bool) -> list[str]:
    if idle_seconds is not None:
        return ["--in-use", str(folder / "in-use"), "--idle-seconds", str(idle_seconds)]
    return [] if outlive else as_long_as_us()


def _settings(folder: Path, url: str, password: str | None) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    own = {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(folder / "ui"),
    }
    guarded = {"PREFECT_SERVER_API_AUTH_STRING": password, "PREFECT_API_AUTH_STRING": password} if password else {}
    return inherited | _SERVER | own | guarded


def _spawn(
    folder: Path, listening: socket.socket, life: list[str], settings: dict[str, str]
) -> "subprocess.Popen[bytes]":
    # Not by backproof.subprocesses: what a flow kills at its end must not be the server that it reports to.
    descriptor = listening.fileno()
    argv = [sys.executable, "-P", "-m", "deployments.servers.prefect_process", "--socket", str(descriptor)]
    log = os.open(folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        return subprocess.Popen(
            [*argv, "--record", str(folder / "server.json"), *life],
            env=settings,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(descriptor,),
            start_new_session=True,
        )
    finally:
        os.close(log)


def _answers(url: str, password: str | None, seconds: float = START_SECONDS) -> bool:
    request = urllib.request.Request(url)  # noqa: S310 — our own, on loopback
    if password:
        request.add_header("Authorization", f"Basic {base64.b64encode(password.encode()).decode()}")
    past_any_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with past_any_proxy.open(request, timeout=seconds) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _require_somebody_at(url: str) -> None:
    """Say at once, and in one sentence, what Prefect would say after a minute, in a hundred lines."""
    request = urllib.request.Request(f"{url.rstrip('/')}/health")  # noqa: S310 — the user's own
    if secret := os.environ.get("PREFECT_API_AUTH_STRING"):
        request.add_header("Authorization", f"Basic {base64.b64encode(secret.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310 — the user's own
            is_prefect = answer.read(_HEALTHY_BYTES).strip() == b"true"
    except urllib.error.HTTPError as error:
        if error.code in (401, 403) and "PREFECT_API_KEY" not in os.environ:
            raise ConfigurationError(
                f"the Prefect server at {url} asks for a password, and refuses ours: {error.code}",
                "Set PREFECT_API_AUTH_STRING to its user:password.",
            ) from None
        is_prefect = error.code not in (404, 405, 501)  # of any other Prefect's client knows more than we do
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConnectionLost(
            f"no Prefect server answers at {url}: {reason}",
            "Start it, or correct PREFECT_API_URL; without that variable a private server is used.",
        ) from None
    if not is_prefect and "PREFECT_API_KEY" not in os.environ:
        raise ConfigurationError(
            f"what answers at {url} is not the API of a Prefect server",
            "Correct PREFECT_API_URL: it ends with /api, as a rule.",
        )


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    part.replace(path)


_held: list[int] = []


def _hold(path: Path) -> None:
    """Use the server until this process ends, whatever it ends of."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    _held.append(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
