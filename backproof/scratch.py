"""Private folders that never outlive their owner by long: for scratch servers, sockets and other throwaway things.

A workspace's *name* is its owner mark: pid, start time of that process, and a token of the boot and the pid namespace.
So the mark is there from the first moment, a reused pid is not taken for the owner, and a container does not judge the
processes of another. Whatever runs with its working folder inside a workspace belongs to it and ends with it: database
servers change into their data folder, so servers, their orphaned children included, are found without a list.

Other things bear the same mark, or have a workspace stand for them: unfinished files and uploads of the stores.
"""

import errno
import hashlib
import os
import re
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from backproof.errors import AccessDenied, NoSpace

NOBODY = 65534
"""The uid and gid of servers that refuse to run as root."""

FOREIGN_SECONDS = 7 * 86400.0
"""A workspace of another boot or container, whose owner can't be looked up, is left alone this long."""

UPLOAD = "upload"
"""The prefix of workspaces that stand for uploads. ``sweep`` leaves them, for as long as foreign ones, to the stores'
sweeps, which know how to end an upload."""

OWNER = r"\d+-\d+-[0-9a-f]{8}"
"""An owner's mark: pid, start time, boot and pid namespace."""

_MARK = re.compile(rf"backproof-(?P<prefix>[a-z0-9_]+)-(?P<owner>{OWNER})-\w{{8}}")


@contextmanager
def workspace(prefix: str, folder: Path | None = None) -> Iterator[Path]:
    """A private folder, removed at the end together with all processes that work in it.

    Only its owner may list it; when that is root, the user servers run as may pass through to what it is given.

    Args:
        prefix: what it is for, one lower-case word; shows in its name.
        folder: where to make it, made if missing; the system's folder for temporary things if None.

    Raises:
        NoSpace, AccessDenied: it can't be made.
    """
    user = unprivileged()
    path = make_workspace(prefix, folder)
    try:
        if user:
            os.chown(path, -1, user[1])
            path.chmod(0o710)
        yield path
    finally:
        remove_workspace(path)


def make_workspace(prefix: str, folder: Path | None = None) -> Path:
    """A workspace that stays until somebody removes it; ``workspace`` is for what ends with a context.

    Raises:
        NoSpace: the disk is full.
        AccessDenied: we may not write there, or nobody may.
    """
    try:
        if folder is not None:
            make_folder(folder)
        return Path(tempfile.mkdtemp(prefix=f"backproof-{prefix}-{owner_mark()}-", dir=folder)).resolve()
    except OSError as error:
        kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else AccessDenied
        raise kind(
            f"cannot make a folder for throwaway things in {folder or 'TMPDIR'}: {error.strerror}",
            "Make room there or let us write there; a fleet's scratch_folder says where proofs are to run.",
        ) from error


def remove_workspace(path: Path) -> None:
    """End what works in it, and remove it. What can't be removed now goes with a later sweep."""
    end_processes(path)
    for _ in range(3):
        # Whatever stands in the way, the error in flight matters more.
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.1)


def workspaces(prefix: str) -> list[tuple[Path, bool | None]]:
    """Ours of one prefix in the system's folder for temporary things, each with whether its owner lives."""
    found = []
    for path in _ours(_places(), f"backproof-{prefix}-*-*-*-*"):
        mark = _MARK.fullmatch(path.name)
        if mark and mark["prefix"] == prefix:
            found.append((path, is_alive(mark["owner"])))
    return found


def owner_mark() -> str:
    """This process, told from every other one before and after: for names of what must not outlive it."""
    pid = os.getpid()
    return f"{pid}-{_start_time(pid)}-{_origin()}"


def is_alive(owner: str) -> bool | None:
    """Whether the process of a mark lives; None where that can't be looked up: of another boot, container or machine.

    ``hidepid`` and the like make processes of other users look dead: ask only about what is yours.
    """
    pid, start, origin = owner.split("-")
    return _start_time(int(pid)) == int(start) if origin == _origin() else None


def sweep(folder: Path | None = None) -> list[str]:
    """Remove the workspaces of dead owners in ``folder`` and in the system's folder for temporary things.

    Only what this user owns is touched. Safe to run at any time, also twice at once.

    Returns:
        The paths that were removed.
    """
    swept = []
    for path in _ours(_places(folder), "backproof-*-*-*-*-*"):
        if _is_abandoned(path):
            remove_workspace(path)
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


def _places(folder: Path | None = None) -> set[Path]:
    return {place.resolve() for place in (folder, Path(tempfile.gettempdir()), Path("/tmp")) if place}  # noqa: S108


def _ours(places: Iterable[Path], pattern: str) -> list[Path]:
    return sorted(path for place in places if place.is_dir() for path in place.glob(pattern) if _is_ours(path))


def _is_ours(path: Path) -> bool:
    """Anybody may plant a name in a shared folder; following a link or removing another's files is not for us."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _is_abandoned(path: Path) -> bool:
    mark = _MARK.fullmatch(path.name)
    if mark is None or (alive := is_alive(mark["owner"])):
        return False
    if alive is None or mark["prefix"] == UPLOAD:
        with suppress(FileNotFoundError):
            return time.time() - path.stat().st_mtime > FOREIGN_SECONDS
    return True


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
