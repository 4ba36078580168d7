"""Private MariaDB servers, for proofs, the demo and the tests: started, surely ended, reachable by nobody else.

MySQL's are started in the same way, untested.
"""

import secrets
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from backproof import subprocesses
from backproof.engines.mysql import binaries, system_tables
from backproof.engines.mysql.binaries import Flavour, Program
from backproof.engines.mysql.connect import SOCKET, connect
from backproof.engines.mysql.names import quote_literal
from backproof.engines.mysql.system_tables import SUPERUSER
from backproof.errors import AccessDenied, BackproofError, ConnectionLost, NoSpace, Permanent, Transient
from backproof.hosts import free_ports
from backproof.records import Target
from backproof.scratch import end_processes, make_folder, unprivileged, workspace

SOCKET_PATH_BYTES = 107
"""What the kernel takes for the path of a Unix socket."""

SOCKET_PORT = 3306
"""Stands in a ``Target`` on a socket; nothing listens on it."""

START_SECONDS = 60.0

THROWAWAY = {
    "innodb_flush_log_at_trx_commit": "0",
    "innodb_flush_method": "nosync",
    "innodb_doublewrite": "0",
    "sync_binlog": "0",
    "innodb_log_file_size": "32M",
    "loose_debug_no_sync": "1",
    "loose_sync_frm": "0",
}
"""For a server that nobody wants back after a crash."""

_ALWAYS = {
    "innodb_buffer_pool_size": "128M",
    "innodb_buffer_pool_dump_at_shutdown": "0",
    "innodb_buffer_pool_load_at_startup": "0",
    "max_connections": "200",
    "max_allowed_packet": "1G",
    "performance_schema": "OFF",
    "character_set_server": "utf8mb4",
    "default_time_zone": "+00:00",
    "lc_messages": "en_US",
    # Not every client that goes away.
    "loose_log_warnings": "1",
    # A server that crashes prints the statement it was at: in a log that would be rows of data on a disk.
    "skip_stack_trace": "1",
}


class _Place(NamedTuple):
    """What a server is started with."""

    program: Program
    folder: Path
    sockets: Path
    password: str
    durable: bool

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def target(self, port: int | None) -> Target:
        where = (str(self.sockets), SOCKET_PORT) if port is None else ("127.0.0.1", port)
        password = SecretStr(self.password)
        return Target(host=where[0], port=where[1], database="mysql", user=SUPERUSER, password=password)


@contextmanager
def private_server(
    folder: Path,
    *,
    flavour: Flavour = "mariadb",
    version: str | None = None,
    tool_folders: Sequence[Path] = (),
    port: int | None = None,
    password: str | None = None,
    settings: Mapping[str, str] | None = None,
    time_zones: bool = False,
    durable: bool = False,
) -> Iterator[Target]:
    """Run a server of our own until the context ends.

    As root it runs as nobody, which must be able to enter ``folder``. Everybody needs the superuser's password.

    Args:
        folder: the server's own: made if missing, holds ``data`` and ``server.log`` afterwards. What is there already
            is started again.
        flavour: MariaDB, or MySQL.
        version: of that series, or else the next newer one there is; None: the newest.
        tool_folders: where to look for its programs first.
        port: None: a Unix socket in a private folder alone; else also 127.0.0.1 on that port, 0: on a free one.
        password: the superuser's; a random one if None.
        settings: over ours, in the words of ``SHOW VARIABLES``, such as ``{"log_bin": "binlog"}``.
        time_zones: know time zones by name, which takes a second more where the server is new.
        durable: keep what was committed over a crash. Throwaway servers don't, and are faster.

    Returns:
        ``root`` on database ``mysql``: on 127.0.0.1 where there is a port, else on the socket.

    Raises:
        MissingTool: no such server on this machine.
        ConfigurationError: the server can't use the folder.
        NoSpace: no room for a new server.
        Permanent: it does not start; with the last it logged.
    """
    program = binaries.best("server", flavour, version, tool_folders)
    make_folder(folder)
    with ExitStack() as stack:
        chosen = {**_ALWAYS, **({} if durable else THROWAWAY), **(settings or {})}
        _make_data(program, folder, chosen, time_zones)
        sockets = _socket_folder(folder, stack)
        place = _Place(program, folder, sockets, password or secrets.token_urlsafe(24), durable)
        for attempt in range(5):
            number = free_ports(1)[0] if port == 0 else port
            try:
                stack.enter_context(_running(place, chosen, number))
                break
            except Permanent as error:
                # Between finding a free port and listening on it somebody else may have taken it.
                if port != 0 or attempt == 4 or "Address already in use" not in error.fact:
                    raise
        yield place.target(number)


def _make_data(program: Program, folder: Path, settings: Mapping[str, str], time_zones: bool) -> None:
    """Once: a mark beside it says that it is whole."""
    made, data = folder / "made", folder / "data"
    _own_folder(folder / "tmp")
    if made.exists():
        return
    shutil.rmtree(data, ignore_errors=True)
    _own_folder(data)
    system_tables.make(program, folder, settings, time_zones)
    made.write_text(f"{program.version}\n")


def _own_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if user := unprivileged():
        shutil.chown(folder, *user)


def _socket_folder(folder: Path, stack: ExitStack) -> Path:
    sockets = folder.resolve() / "socket"
    if len(f"{sockets}/{SOCKET}".encode()) > SOCKET_PATH_BYTES:
        sockets = stack.enter_context(workspace("socket", Path("/tmp"))) / "socket"  # noqa: S108 - a private folder in it
    _own_folder(sockets)
    return sockets


@contextmanager
def _running(place: _Place, settings: Mapping[str, str], port: int | None) -> Iterator[None]:
    data = place.folder.resolve() / "data"
    logged = place.log.stat().st_size if place.log.exists() else 0
    with subprocesses.secret_file(_first_words(place, port), place.folder) as words:
        if user := unprivileged():
            shutil.chown(words, *user)
        server = subprocesses.background(
            _command(place, settings, port, words),
            log=place.log,
            env={"HOME": str(place.folder), "LC_ALL": "C"},
            user=user,
            cwd=data,
            stop_signal=signal.SIGTERM if place.durable else signal.SIGKILL,
            grace_seconds=30,
        )
        with ExitStack() as stack:
            stack.callback(end_processes, data)
            process = stack.enter_context(server)
            _wait_until_it_answers(process, place, logged)
            words.unlink()
            yield


def _first_words(place: _Place, port: int | None) -> str:
    """What the server obeys before it lets anybody in."""
    password = quote_literal(place.password)
    lines = ["SET NAMES utf8mb4;", "SET SESSION sql_mode = '';", "SET SESSION sql_log_bin = 0;"]
    lines += [f"ALTER USER {SUPERUSER}@localhost IDENTIFIED BY {password};"]
    if port is not None:
        user = f"{SUPERUSER}@'127.0.0.1'"
        lines += [f"CREATE USER IF NOT EXISTS {user};", f"ALTER USER {user} IDENTIFIED BY {password};"]
        lines += [f"GRANT ALL PRIVILEGES ON *.* TO {user} WITH GRANT OPTION;"]
    return "".join(f"{line}\n" for line in lines)


def _command(place: _Place, settings: Mapping[str, str], port: int | None, words: Path) -> list[str]:
    folder = place.folder.resolve()
    fixed = {
        "basedir": str(system_tables.home(place.program)),
        "datadir": str(folder / "data"),
        "socket": str(place.sockets / SOCKET),
        "pid_file": str(folder / "data" / "mysqld.pid"),
        "tmpdir": system_tables.TEMPORARY,
        # Statements reach no other file of the machine.
        "secure_file_priv": str(folder / "tmp"),
        "init_file": str(words.resolve()),
    }
    network = {"skip_networking": "1"} if port is None else {"bind_address": "127.0.0.1", "port": str(port)}
    if place.program.flavour == "mysql":
        network["mysqlx"] = "OFF"
    unlogged = [] if "log_bin" in settings else ["--skip-log-bin"]
    return [
        *(str(place.program.path), "--no-defaults"),
        *system_tables.options({**settings, **fixed, **network}),
        *unlogged,
    ]


def _wait_until_it_answers(process: subprocesses.Running, place: _Place, logged: int) -> None:
    """On the socket, which is its own: on a port somebody else may answer."""
    target = place.target(None)
    deadline = time.monotonic() + START_SECONDS
    while process.alive():
        try:
            if _listens(place.sockets / SOCKET):
                connect(target).close()
                return
        except ConnectionLost:
            pass
        except AccessDenied:
            raise Permanent(f"the server in {place.folder} lets nobody in: {_reasons(place, logged)}") from None
        if time.monotonic() > deadline:
            raise _did_not_start(place, _reasons(place, logged), Transient)
        time.sleep(0.01)
    raise _did_not_start(place, _reasons(place, logged))


def _listens(path: Path) -> bool:
    """Asked by hand: the driver leaves its socket open where nobody listens."""
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.connect(str(path))
        return True
    return False


def _did_not_start(place: _Place, reasons: str, otherwise: type[BackproofError] = Permanent) -> BackproofError:
    if system_tables.FULL.search(reasons):
        return NoSpace(
            f"no room for a server in {place.folder}: {reasons}", "Free some space or choose another folder."
        )
    return otherwise(f"the server in {place.folder} does not start: {reasons}")


def _reasons(place: _Place, logged: int) -> str:
    return system_tables.reasons(place.log.read_bytes()[logged:].decode(errors="replace"))
