"""The one way a program is run: an argv list, a clean environment, a deadline, a group that can be killed.

Every child leads a session, and so a process group, of its own and stands in a registry from its start until it is
reaped; ``kill_all`` ends all of them from any thread. That matters because a cancelled flow is interrupted in its main
thread alone: the threads that wait for a child see the child end, and clean up.

After the end of a stream a killed dump looks finished, so the exit status must be asked for: a ``stream`` left without
``finish()`` raises. A child sees PATH, HOME, LANG, LC_*, TZ, TMPDIR and what it is given, nothing else of our
environment: no secret of ours can leak through it. Secrets reach programs through ``secret_file``.

``PR_SET_PDEATHSIG`` is not used: it fires when the *thread* that started the child ends, and misses grandchildren.
What outlives a killed (-9) run is found by ``backproof.scratch.sweep``, which ends every process whose working folder
is the workspace of a dead owner: give a long-lived child such a ``cwd``.
"""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import IO

from backproof.errors import MissingTool, Permanent, Transient

STDERR_BYTES = 64 * 1024
"""How much of a program's stderr is kept: its end, where the reason stands."""

PIPE_BYTES = 1024 * 1024
"""The default pipe of 64 KiB makes a dump tool and its reader wait for each other."""

GRACE_SECONDS = 1.5
"""Between the polite signal and SIGKILL."""

_PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")

User = tuple[int, int]
"""uid and gid to run a program as; only root may ask for it."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that ended by itself."""

    returncode: int
    """Negative: the signal that ended it."""
    stdout: bytes
    stderr: str


class Running:
    """A live child. Made by ``stream`` and ``background``, not by hand."""

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
        _wait_until_ended([self], grace_seconds)
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


def run(
    argv: Sequence[str],
    *,
    deadline_seconds: float,
    env: Mapping[str, str] | None = None,
    user: User | None = None,
    cwd: Path | None = None,
    input: bytes | None = None,
) -> Finished:
    """Run a short program to its end. Its output is held in memory: not for dumps.

    Raises:
        MissingTool: there is no such program, or it may not be executed.
        Transient: it did not end within the deadline; it is gone by then.
    """
    # Memory files instead of pipes: nothing to pump, so one polling loop holds the deadline.
    with _memory_file(input or b"") as given, _memory_file() as printed:
        running = _start(argv, env, user, cwd, stdin=given if input is not None else None, stdout=printed)
        with _ending(running):
            if _wait_until_ended([running], deadline_seconds):
                raise Transient(
                    f"{running.program} did not end within {deadline_seconds:g} seconds",
                    "It was stopped. Try again when the machine or the server it talks to is less busy.",
                )
            returncode, stderr = running.finish()
        printed.seek(0)
        return Finished(returncode, printed.read(), stderr)


@contextmanager
def stream(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    user: User | None = None,
    cwd: Path | None = None,
) -> Iterator[Running]:
    """Run a program whose stdout is read while it runs; call ``finish()`` after its end and judge the exit status.

    Left by an exception, the program's group is killed. Left normally without ``finish()``, likewise, and

    Raises:
        MissingTool: there is no such program, or it may not be executed.
        RuntimeError: nobody asked for the exit status. A mistake of the caller.
    """
    running = _start(argv, env, user, cwd, stdout=subprocess.PIPE)
    with _ending(running):
        yield running
        if not running.finished:
            raise RuntimeError(f"the exit status of {running.program} was not asked for")


@contextmanager
def background(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: User | None = None,
    cwd: Path | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    grace_seconds: float = GRACE_SECONDS,
) -> Iterator[Running]:
    """Run a server for as long as the context lasts; what it prints is appended to ``log`` (0600).

    Args:
        stop_signal: what makes this server end at once: SIGQUIT for PostgreSQL.
        grace_seconds: how long it may take to end before SIGKILL.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        running = _start(argv, env, user, cwd, stdout=descriptor, stderr=descriptor, stop_signal=stop_signal)
    finally:
        os.close(descriptor)
    with _ending(running, grace_seconds):
        yield running


def kill_all(spare: Collection[int] = ()) -> None:
    """End every live process group: the polite signal to all, a short wait, SIGKILL. From any thread.

    Args:
        spare: pids of children that are not the caller's to end, such as ``live()`` returned when its run began.
    """
    with _lock:
        doomed = [running for running in _live.values() if running.pid not in spare]
    for running in doomed:
        running.signal(running.stop_signal)
    for running in _wait_until_ended(doomed, GRACE_SECONDS):
        running.signal(signal.SIGKILL)


def live() -> list[int]:
    """Pids of the children that run now."""
    with _lock:
        return list(_live)


@contextmanager
def secret_file(text: str, folder: Path | None = None) -> Iterator[Path]:
    """A file of mode 0600 that holds a secret for a program, gone with the context.

    Without a folder it never touches a disk: it is memory of this process, which children of the same user open by the
    path, and nothing remains of it even after kill -9. A child that runs as another user needs a file in a folder.
    """
    if folder is None:
        descriptor = os.memfd_create("secret", os.MFD_CLOEXEC)
        path = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    else:
        descriptor, name = tempfile.mkstemp(prefix="secret-", dir=folder)
        path = Path(name)
    try:
        os.fchmod(descriptor, 0o600)
        with open(descriptor, "w", encoding="utf-8", closefd=False) as file:
            file.write(text)
        yield path
    finally:
        os.close(descriptor)
        if folder is not None:
            path.unlink(missing_ok=True)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment a child gets: the few variables every program needs, and what it is given."""
    passed_on = {name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith("LC_")}
    return passed_on | dict(extra or {})


def _memory_file(content: bytes = b"") -> IO[bytes]:
    file = os.fdopen(os.memfd_create("output", os.MFD_CLOEXEC), "w+b")
    file.write(content)
    file.seek(0)
    return file


def _start(
    argv: Sequence[str],
    env: Mapping[str, str] | None,
    user: User | None,
    cwd: Path | None,
    *,
    stdout: IO[bytes] | int,
    stdin: IO[bytes] | None = None,
    stderr: int = subprocess.PIPE,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Running:
    if isinstance(argv, str | bytes):
        raise TypeError("argv is a list: nothing is parsed by a shell")
    try:
        # Under the lock, so that kill_all can't run between a child's birth and its entry in the registry.
        with _lock:
            process = subprocess.Popen(
                list(argv),
                env=environment(env),
                cwd=cwd,
                stdin=stdin if stdin is not None else subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pipesize=PIPE_BYTES if stdout == subprocess.PIPE else -1,
                start_new_session=True,
                user=user[0] if user else None,
                group=user[1] if user else None,
                extra_groups=[] if user else None,
            )
            running = Running(argv, process, stop_signal)
            _live[process.pid] = running
    except OSError as error:
        raise _cannot_start(argv[0], cwd, error) from error
    return running


def _cannot_start(program: str, cwd: Path | None, error: OSError) -> Exception:
    reason = error.strerror or type(error).__name__
    if cwd is not None and error.filename == cwd:
        return Permanent(f"cannot run {Path(program).name} in {cwd}: {reason}")
    if isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError):
        remedy = "Install it, or see that the user Backproof runs as may execute it."
        return MissingTool(f"cannot run {program}: {reason}", remedy)
    if isinstance(error, BlockingIOError | MemoryError):
        return Transient(f"cannot run {program}: {reason}", "The machine is short of processes or memory.")
    return Permanent(f"cannot run {program}: {reason}")


class _ending:
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


def _wait_until_ended(children: Sequence[Running], seconds: float) -> list[Running]:
    """Poll with a deadline; returns those still running. A thread blocked in a wait could not be interrupted."""
    deadline = time.monotonic() + seconds
    pause = 0.001
    while (left := [child for child in children if child.alive()]) and time.monotonic() < deadline:
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(pause * 2, 0.05)
    return left
