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
