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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from backproof.errors import MissingTool, Permanent, Transient
from backproof.subprocesses.children import (
    GRACE_SECONDS,
    Running,
    ending,
    kill_all,
    live,
    start,
    wait_until_ended,
)
from backproof.subprocesses.secret_files import secret_file

__all__ = [
    "Finished",
    "Running",
    "User",
    "background",
    "environment",
    "kill_all",
    "live",
    "run",
    "secret_file",
    "stream",
]

PIPE_BYTES = 1024 * 1024
"""The default pipe of 64 KiB makes a dump tool and its reader wait for each other."""

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
        with ending(running):
            if wait_until_ended([running], deadline_seconds):
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
    with ending(running):
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
    with ending(running, grace_seconds):
        yield running


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
        return start(
            argv,
            stop_signal,
            lambda: subprocess.Popen(
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
            ),
        )
    except OSError as error:
        raise _cannot_start(argv[0], cwd, error) from error


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
