"""Which process is meant: a pid alone may have been given to another one since."""

import os
import signal
import time
from pathlib import Path


def started(pid: int) -> str | None:
    """When a process began, in the kernel's ticks; None where there is no such process, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def is_running(pid: int, since: str) -> bool:
    """Whether that very process still runs."""
    return started(pid) == since


def end(pid: int, since: str, patience_seconds: float = 10.0) -> None:
    """Ask a process to end, and after a while make it; its whole group, where it leads one."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + patience_seconds
        if not is_running(pid, since):
            return
        _signal(pid, sent)
        while is_running(pid, since) and time.monotonic() < deadline:
            time.sleep(0.05)


def _signal(pid: int, sent: signal.Signals) -> None:
    try:
        if os.getpgid(pid) == pid:
            os.killpg(pid, sent)
        else:
            os.kill(pid, sent)
    except ProcessLookupError:
        return


def children(pid: int) -> list[int]:
    """The processes that one has started, and those that they have started."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := _parent(entry)) is not None:
            parents.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        of_one = parents.get(waiting.pop(), [])
        found += of_one
        waiting += of_one
    return found


def signal_one(pid: int, sent: signal.Signals) -> None:
    """Send a signal to one process; no error where it has ended."""
    try:
        os.kill(pid, sent)
    except ProcessLookupError:
        return


def _parent(entry: Path) -> int | None:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return None
