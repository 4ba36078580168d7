"""Private PostgreSQL servers, for proofs, the demo and the tests: started, surely ended, reachable by nobody else."""

import base64
import hashlib
import hmac
import re
import secrets
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import SecretStr

from backproof import subprocesses
from backproof.engines.postgresql import binaries, runtime
from backproof.errors import BackproofError, ConfigurationError, NoSpace, Permanent, Transient
from backproof.hosts import free_ports
from backproof.records import Target
from backproof.scratch import end_processes, make_folder, unprivileged, workspace

SUPERUSER = "postgres"

SOCKET_PATH_BYTES = 107
"""What the kernel takes for the path of a Unix socket."""

SOCKET_PORT = 5432
"""Only names the socket in a private folder; nothing listens on it."""

START_SECONDS = 60.0

THROWAWAY = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
}
"""Half the restore time, for a server that nobody wants back after a crash."""

_ALWAYS = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    # A dump locks every table of the database in one transaction; 64 is few for thousands of partitions.
    "max_locks_per_transaction": "256",
    # Containers give /dev/shm 64 MB, too little for parallel index builds, and what lies there survives kill -9.
    "dynamic_shared_memory_type": "mmap",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    # Above "error" in rank: errors reach the client anyway, in a log they would be rows of data on a disk.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
}

_HBA = """\
local all,replication all scram-sha-256
host all,replication all 127.0.0.1/32 scram-sha-256
"""


@contextmanager
def private_server(
    major: int,
    folder: Path,
    *,
    tool_folders: Sequence[Path] = (),
    port: int | None = None,
    password: str | None = None,
    settings: Mapping[str, str] | None = None,
    locale: str = "C.UTF-8",
    durable: bool = False,
) -> Iterator[Target]:
    """Run a server of our own until the context ends.

    As root it runs as nobody, which must be able to enter ``folder``. Everybody needs the superuser's password.

    Args:
        major: PostgreSQL's major version.
        folder: the server's own: made if missing, holds ``data`` and ``server.log`` afterwards. A cluster that is there
            already is started again.
        tool_folders: where to look for its programs first.
        port: None: a Unix socket in a private folder alone; else also 127.0.0.1 on that port, 0: on a free one.
        password: the superuser's; a random one if None.
        settings: over ours, in postgresql.conf's words.
        locale: of the cluster; databases may differ.
        durable: keep what was committed over a crash. Throwaway servers don't, and are twice as fast.

    Returns:
        The superuser on database ``postgres``: on 127.0.0.1 where there is a port, else on the socket.

    Raises:
        MissingTool: no binaries of that major version.
        ConfigurationError: the server can't use the folder or the locale.
        NoSpace: no room for a new cluster.
        Permanent: it does not start; with the last line it logged.
    """
    own = password is None
    password = password or secrets.token_urlsafe(24)
    with ExitStack() as stack:
        bin_folder = _programs(major, folder, tool_folders)
        _make_cluster(bin_folder, folder, _quick_secret(password) if own else password, locale)
        sockets = _socket_folder(folder, stack)
        settings = dict(settings or {})
        chosen = {} if durable else dict(THROWAWAY)
        if "wal_level" in settings:
            chosen.pop("max_wal_senders", None)  # only fits "minimal"
        network = {"unix_socket_directories": f'"{sockets}"', "listen_addresses": "" if port is None else "127.0.0.1"}
        for attempt in range(5):
            number = SOCKET_PORT if port is None else port or free_ports(1)[0]
            _configure(folder, {**_ALWAYS, **chosen, **settings, **network, "port": str(number)})
            host = str(sockets) if port is None else "127.0.0.1"
            target = Target(host=host, port=number, database="postgres", user=SUPERUSER, password=SecretStr(password))
            try:
                stack.enter_context(_running(bin_folder, folder, target, durable))
                break
            except Permanent:
                # Between finding a free port and listening on it somebody else may have taken it.
                if port != 0 or attempt == 4 or "Address already in use" not in _log(folder):
                    raise
        yield target


def _programs(major: int, folder: Path, tool_folders: Sequence[Path]) -> Path:
    postgres = binaries.find("postgres", major, tool_folders)
    make_folder(folder)
    if not unprivileged():
        return postgres.parent
    if not runtime.can_enter(folder):
        raise ConfigurationError(
            f"{folder} can't be entered by the user that servers run as, since PostgreSQL refuses to run as root",
            "Choose a scratch folder that is not below a private one: mode 0711 or 0755 all the way.",
        )
    return runtime.runnable(
        next(each for each in binaries.folders(tool_folders) if each.bin == postgres.parent), folder
    )


def _quick_secret(password: str) -> str:
    """What PostgreSQL keeps of a random password instead of the password, made in one round (RFC 5803).

    Its own 4,096 protect what can be guessed, and cost every connection 5 ms.
    """
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return "SCRAM-SHA-256$1:{}${}:{}".format(*(base64.b64encode(each).decode() for each in (salt, stored, server)))


def _make_cluster(bin_folder: Path, folder: Path, password: str, locale: str) -> None:
    data = folder / "data"
    if (data / "PG_VERSION").exists():
        return
    _own_folder(data)
    with subprocesses.secret_file(password, folder) as password_file:
        if user := unprivileged():
            shutil.chown(password_file, *user)
        made = subprocesses.run(
            [
                str(bin_folder / "initdb"),
                f"--pgdata={data}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                f"--locale={locale}",
                "--no-sync",
            ],
            deadline_seconds=300,
            env={"LC_ALL": "C", "HOME": str(folder)},
            user=user,
            cwd=folder,
        )
    if made.returncode != 0:
        raise _initdb_failed(made.stderr, folder, locale)


def _initdb_failed(stderr: str, folder: Path, locale: str) -> BackproofError:
    reason = next((line for line in stderr.splitlines() if "error:" in line), stderr.strip()[-200:])
    if "No space left" in stderr:
        return NoSpace(f"no room for a new PostgreSQL cluster in {folder}", "Free some space or choose another folder.")
    if "locale" in reason:
        return ConfigurationError(f"initdb refuses the locale {locale!r}", "Install it, or choose one of 'locale -a'.")
    return Permanent(f"initdb failed in {folder}: {reason.strip()}")


def _own_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if user := unprivileged():
        shutil.chown(folder, *user)


def _socket_folder(folder: Path, stack: ExitStack) -> Path:
    sockets = folder.resolve() / "socket"
    longest = len(f"{sockets}/.s.PGSQL.65535".encode())
    if longest > SOCKET_PATH_BYTES or not re.fullmatch(r"[\w./-]+", str(sockets), re.ASCII):
        sockets = stack.enter_context(workspace("socket", Path("/tmp"))) / "socket"  # noqa: S108 - a private folder in it
    _own_folder(sockets)
    return sockets


def _configure(folder: Path, settings: Mapping[str, str]) -> None:
    """Beside the data, which belongs to the server's user: root must not write where another could plant a link."""
    files = {"data_directory": "data", "ident_file": "data/pg_ident.conf", "hba_file": "pg_hba.conf"}
    everything = {**{name: str(folder.resolve() / path) for name, path in files.items()}, **settings}
    lines = [f"{name} = '{_escape(value)}'\n" for name, value in everything.items()]
    for name, text in (("postgresql.conf", "".join(lines)), ("pg_hba.conf", _HBA)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


@contextmanager
def _running(bin_folder: Path, folder: Path, target: Target, durable: bool) -> Iterator[None]:
    data = folder.resolve() / "data"
    server = subprocesses.background(
        [str(bin_folder / "postgres"), f"--config-file={folder.resolve() / 'postgresql.conf'}"],
        log=folder / "server.log",
        env={"HOME": str(folder), "LC_ALL": "C"},
        user=unprivileged(),
        cwd=data,
        # "Fast" writes a checkpoint first; "immediate" is what a throwaway server is for.
        stop_signal=signal.SIGINT if durable else signal.SIGQUIT,
        grace_seconds=30 if durable else 5,
    )
    try:
        with server as process:
            _wait_until_it_answers(process, folder, target)
            yield
    finally:
        # A backend has a session of its own; one that is busy outlives a killed postmaster.
        end_processes(data)


def _wait_until_it_answers(process: subprocesses.Running, folder: Path, target: Target) -> None:
    import psycopg2

    password = target.password.get_secret_value() if target.password else None
    deadline = time.monotonic() + START_SECONDS
    while process.alive():
        try:
            psycopg2.connect(
                host=target.host,
                port=target.port,
                dbname=target.database,
                user=target.user,
                password=password,
                connect_timeout=5,
            ).close()
            return
        except psycopg2.OperationalError:
            if time.monotonic() > deadline:
                raise Transient(f"the PostgreSQL server in {folder} does not answer", _log(folder)) from None
            time.sleep(0.02)
    raise Permanent(f"the PostgreSQL server in {folder} does not start: {_log(folder)}")


def _log(folder: Path) -> str:
    """The last words of a server, without their time stamps."""
    lines = (folder / "server.log").read_text(errors="replace").splitlines()
    return "; ".join(re.sub(r"^[\d: .-]+[A-Z]+ \[\d+\] ", "", line) for line in lines[-4:])
