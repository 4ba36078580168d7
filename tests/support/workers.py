"""A real worker, in a process of its own, for as long as a test wants one."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def worker(environment: Mapping[str, str], pool: str, home: Path, temporary: Path) -> Iterator[None]:
    """It takes a pool's runs; its log is ``home/worker.log``.

    Args:
        environment: what it takes to reach the Prefect server.
        pool: whose runs.
        home: its home and that of its runs.
        temporary: for scratch servers; other users may pass through it.
    """
    own = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PREFECT_HOME": str(home / "worker"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    argv = [sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
    with (home / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            argv, env={**environment, **own}, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)
