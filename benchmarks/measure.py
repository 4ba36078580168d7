"""Time a whole command from outside: wall clock, CPU of all its processes, and their peak memory together."""

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Run:
    """One finished run."""

    seconds: float
    cpu_seconds: float
    """User and system, of the command and its children; not of the database server."""
    peak_mb: float
    """Proportional set size of the process tree, sampled: shared pages are counted once. 0 where nobody watched it."""
    output: str


def run(argv: Sequence[str], env: Mapping[str, str], watched: bool = False) -> Run:
    """Run a command to its end.

    Args:
        argv: program and arguments.
        env: what is set beside our own environment.
        watched: for its memory too, which slows it: the watcher takes processor time of its own, the more the larger
            the processes are, and keeps them from getting more memory while it reads.

    Raises:
        SystemExit: it failed; a benchmark of a failure is worth nothing.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    process = subprocess.Popen(
        list(argv), env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with _Sampler(process.pid) if watched else nullcontext() as sampler:
        output, errors = process.communicate()
        seconds = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode != 0:
        sys.exit(f"{' '.join(argv)} ended with {process.returncode}:\n{errors}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(seconds, cpu, sampler.peak_bytes / 1e6 if sampler else 0.0, output)


class _Sampler(threading.Thread):
    """Watches a process tree while it is entered; servers that left it for a session of their own are not in it."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self.peak_bytes = 0

    def run(self) -> None:
        while not self._over.wait(_SAMPLE_SECONDS):
            self.peak_bytes = max(self.peak_bytes, sum(map(_proportional_bytes, _tree(self._pid))))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def _tree(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
    tree = [root]
    for pid in tree:
        tree += [child for child, parent in parents.items() if parent == pid]
    return [pid for pid in tree if not _is_server(pid)]


def _is_server(pid: int) -> bool:
    """A scratch server is a database server, not a tool: its memory is the server's affair, as the live one's is."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() in ("postgres", "mariadbd")
    except OSError:
        return True


def _proportional_bytes(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
