"""Private folders that never outlive their owner by long: for scratch servers, sockets and other throwaway things.

A workspace's *name* is its owner mark: pid, start time of that process, and a token of the boot and the pid namespace.
So the mark is there from the first moment, a reused pid is not taken for the owner, and a container does not judge the
processes of another. Whatever runs with its working folder inside a workspace belongs to it and ends with it: database
servers change into their data folder, so servers, their orphaned children included, are found without a list.
"""

import hashlib
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NOBODY = 65534
"""The uid and gid of servers that refuse to run as root."""

FOREIGN_SECONDS = 7 * 86400.0
"""A workspace of another boot or container, whose owner can't be looked up, is left alone this long."""

_MARK = re.compile(r"backproof-[a-z0-9_]+-(?P<pid>\d+)-(?P<start>\d+)-(?P<origin>[0-9a-f]{8})-\w{8}")


@contextmanager
def workspace(prefix: str, folder: Path | None = None) -> Iterator[Path]:
    """A private folder, removed at the end together with all processes that work in it.

    Only its owner may list it; when that is root, the user servers run as may pass through to what it is given.

    Args:
        prefix: what it is for, one lower-case word; shows in its name.
        folder: where to make it, made if missing; the system's folder for temporary things if None.
    """
    user = unprivileged()
    if folder is not None:
        make_folder(folder)
    pid = os.getpid()
    name = f"backproof-{prefix}-{pid}-{_start_time(pid)}-{_origin()}-"
    path = Path(tempfile.mkdtemp(prefix=name, dir=folder)).resolve()
    try:
        if user:
            os.chown(path, -1, user[1])
            path.chmod(0o710)
        yield path
    finally:
        _remove(path)


def sweep(folder: Path | None = None) -> list[str]:
    """Remove the workspaces of dead owners in ``folder`` and in the system's folder for temporary things.

    Only what this user owns is touched. Safe to run at any time, also twice at once.

    Returns:
        The paths that were removed.
    """
    places = {place.resolve() for place in (folder, Path(tempfile.gettempdir()), Path("/tmp")) if place}  # noqa: S108
    swept = []
    for path in sorted(path for place in places if place.is_dir() for path in place.glob("backproof-*-*-*-*")):
        if _is_abandoned(path):
            _remove(path)
            swept.append(str(path))
    return swept


def unprivileged() -> tuple[int, int] | None:
    """Whom to run a server as: nobody when we are root, else None: ourselves."""
    return (NOBODY, NOBODY) if os.geteuid() == 0 else None


def make_folder(folder: Path) -> None:
    """Make a folder that only we may list, whatever the umask; what is there already is left as it is."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711 if unprivileged() else 0o700)


def end_processes(folder: Path, grace_seconds: float = 5.0) -> None:
    """End every process that works inside a folder of ours.

    SIGQUIT first: on it PostgreSQL and MariaDB stop at once and still give back shared memory.
    """
    for number, patience in ((signal.SIGQUIT, grace_seconds), (signal.SIGKILL, 2.0)):
        deadline = time.monotonic() + patience
        for pid in _working_in(folder):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        while _working_in(folder) and time.monotonic() < deadline:
            time.sleep(0.01)


def _working_in(folder: Path) -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _works_in(entry, folder)]


def _works_in(process: Path, folder: Path) -> bool:
    try:
        cwd = (process / "cwd").readlink()
    except OSError:  # ended, a zombie, or of another user
        return False
    return process.name != str(os.getpid()) and cwd.is_relative_to(folder)


def _is_abandoned(path: Path) -> bool:
    mark = _MARK.fullmatch(path.name)
    with suppress(OSError):
        status = path.lstat()
        # Anybody may plant a name in a shared folder; following a link or removing another's files is not for us.
        if mark and path.is_dir() and not path.is_symlink() and status.st_uid == os.geteuid():
            if mark["origin"] != _origin():
                return time.time() - status.st_mtime > FOREIGN_SECONDS
            return _start_time(int(mark["pid"])) != int(mark["start"])
    return False


def _remove(path: Path) -> None:
    end_processes(path)
    for _ in range(3):
        # What can't be removed now bears its mark and goes with the next sweep; the error in flight matters more.
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.1)


def _start_time(pid: int) -> int | None:
    """In clock ticks since boot; None when there is no such process or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def _origin() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    return hashlib.sha256(f"{boot}{Path('/proc/self/ns/pid').readlink()}".encode()).hexdigest()[:8]
