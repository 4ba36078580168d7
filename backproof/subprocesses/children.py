"""The children of this process that live: each leads a group of its own, and all can be ended from any thread."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import IO

STDERR_BYTES = 64 * 1024
"""How much of a program's stderr is kept: its end, where the reason stands."""

GRACE_SECONDS = 1.5
"""Between the polite signal and SIGKILL."""


class Running:
    """A live child. Made by ``start``, not by hand."""

    def __init__(self, argv: Sequence[str], process: "subprocess.Popen[bytes]", stop_signal: signal.Signals) -> None:
        self.program = Path(argv[0]).name
        self.pid = process.pid
        self.stop_signal = stop_signal
        self._process = process
        self._tail = _Tail(process.stderr) if process.stderr else None

    @property
    def stdout(self) -> BufferedReader:
        """What the program writes, as bytes; ``read1`` and ``readinto1`` return what is there."""
        if not isinstance(self._process.stdout, BufferedReader):
            raise TypeError("only a stream has a pipe to read")
        return self._process.stdout

    @property
    def finished(self) -> bool:
        """True once the exit status has been taken."""
        return self._process.returncode is not None

    def alive(self) -> bool:
        """Whether the program still runs; leaves its exit status for ``finish``."""
        return not self.finished and not _ended(self.pid, os.WNOHANG)

    def finish(self) -> tuple[int, str]:
        """Wait for the end and return the exit status and the end of stderr.

        Our end of stdout is closed first, so that a program which still writes fails instead of waiting for ever.
        """
        if self._process.stdout:
            self._process.stdout.close()
        if not self.finished:
            _ended(self.pid, 0)
            _reap(self)
        return self._process.returncode, self._tail.text() if self._tail else ""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program's whole group; harmless once it is gone."""
        with _lock:
            # A pid that is not reaped is not given to anybody else.
            if self.pid in _live:
                _signal_group(self.pid, number)

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> int:
        """End the group, politely and then surely; returns the exit status."""
        self.signal(self.stop_signal)
        wait_until_ended([self], grace_seconds)
        self.signal(signal.SIGKILL)
        return self.finish()[0]


class _Tail:
    """Drains stderr in a thread, so that the program never waits for us, and keeps its end."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._kept = bytearray()
        self._pipe = pipe
        self._thread = threading.Thread(target=self._drain, name="stderr", daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        while chunk := os.read(self._pipe.fileno(), STDERR_BYTES):
            self._kept += chunk
            del self._kept[:-STDERR_BYTES]

    def text(self) -> str:
        self._thread.join()
        self._pipe.close()
        return self._kept.decode("utf-8", "replace")


_live: dict[int, Running] = {}
_lock = threading.RLock()
# A forked copy of this process must not end what its parent started.
os.register_at_fork(after_in_child=lambda: _live.clear())


def kill_all(spare: Collection[int] = ()) -> None:
    """End every live process group: the polite signal to all, a short wait, SIGKILL. From any thread.

    Args:
        spare: pids of children that are not the caller's to end, such as ``live()`` returned when its run began.
    """
    with _lock:
        doomed = [running for running in _live.values() if running.pid not in spare]
    for running in doomed:
        running.signal(running.stop_signal)
    for running in wait_until_ended(doomed, GRACE_SECONDS):
        running.signal(signal.SIGKILL)


def start(argv: Sequence[str], stop_signal: signal.Signals, popen: Callable[[], "subprocess.Popen[bytes]"]) -> Running:
    """Bear a child; under the lock, so that ``kill_all`` can't run between its birth and its entry in the registry."""
    with _lock:
        process = popen()
        running = _live[process.pid] = Running(argv, process, stop_signal)
    return running


def live() -> list[int]:
    """Pids of the children that run now."""
    with _lock:
        return list(_live)


class ending:
    """Surely ends a child when its context does, whatever happened in it."""

    def __init__(self, running: Running, grace_seconds: float = GRACE_SECONDS) -> None:
        self._running = running
        self._grace_seconds = grace_seconds

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._running.finished:
            self._running.stop(self._grace_seconds)


def _ended(pid: int, flags: int) -> bool:
    """Whether a child has ended; it stays a zombie, so its pid, and its group's id, stay its own."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | flags) is not None
    except ChildProcessError:
        return True  # another thread has just taken its exit status


def _reap(running: Running) -> None:
    with _lock:
        # What it left behind in its group would hold the pipes open.
        if _live.pop(running.pid, None):
            _signal_group(running.pid, signal.SIGKILL)
        running._process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    # PermissionError: the last one left in the group runs as another user; it is not ours.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def wait_until_ended(children: Sequence[Running], seconds: float) -> list[Running]:
    """Poll with a deadline; returns those still running. A thread blocked in a wait could not be interrupted."""
    deadline = time.monotonic() + seconds
    pause = 0.001
    while (left := [child for child in children if child.alive()]) and time.monotonic() < deadline:
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(pause * 2, 0.05)
    return left
