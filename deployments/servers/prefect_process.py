"""The process of a Prefect server of ours: ``python -m deployments.servers.prefect_process …``.

It serves on a listening socket it inherits, so that clients may connect before it is ready and no port is raced for. It
ends by itself: when nobody has used it for a while (``--in-use``), or when whoever started it is gone (``--owner``).
"""

import argparse
import fcntl
import importlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from backproof.garbage import loading
from deployments.servers import time_zones
from deployments.servers.processes import is_running

LOOK_EVERY_SECONDS = 1.0
ENDING_SECONDS = 8.0


def unused_for(in_use: Path, idle_seconds: float) -> Callable[[], bool]:
    """Whether no command has held the ``in_use`` lock for so long; once it says so, the lock is ours and stays ours.

    A command holds the lock, shared, while it lives; the kernel frees it whatever the command dies of. Ending with the
    lock held makes a command that comes this very moment wait, and then start a server of its own.
    """
    descriptor = os.open(in_use, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    last_used = time.monotonic()

    def look() -> bool:
        nonlocal last_used
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            last_used = time.monotonic()
            return False
        if time.monotonic() - last_used >= idle_seconds:
            return True
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return False

    return look


def owner_gone(pid: int, started: str) -> Callable[[], bool]:
    """Whether the process that wanted this server is dead, also by kill -9."""
    return lambda: not is_running(pid, started)


def end_when(over: Callable[[], bool], on_end: Callable[[], None]) -> None:
    """Look every second from a thread; in the end ask uvicorn to shut down, and do not wait for ever."""
    while not over():
        time.sleep(LOOK_EVERY_SECONDS)
    on_end()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ENDING_SECONDS)
    os._exit(0)


def main() -> None:
    """Serve until it is over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--in-use", type=Path)
    parser.add_argument("--idle-seconds", type=float, default=600.0)
    parser.add_argument("--owner", nargs=2, metavar=("PID", "STARTED"))
    options = parser.parse_args()

    if options.in_use or options.owner:
        over = (
            unused_for(options.in_use, options.idle_seconds)
            if options.in_use
            else owner_gone(int(options.owner[0]), options.owner[1])
        )

        def remove() -> None:
            with suppress(OSError):  # a record that stays names a process that is gone
                options.record.unlink(missing_ok=True)

        threading.Thread(target=end_when, args=(over, remove), daemon=True).start()

    time_zones.remember()
    with loading():  # after the watch began: it takes seconds
        import uvicorn

        importlib.import_module("prefect.server.api.server")

    config = uvicorn.Config(
        "prefect.server.api.server:create_app",
        factory=True,
        lifespan="on",
        log_level="error",
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=options.socket)])


if __name__ == "__main__":
    main()
