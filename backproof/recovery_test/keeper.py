"""Runs a program in a folder until it ends, or until who started this is gone: then all it has started goes as well.

A file of its own, run without Backproof: ``python keeper.py FOLDER SECONDS PROGRAM ARGUMENT …``. It leads the process
group of the program, so that ending the group ends both; it looks after it, since nobody else does once its parent was
killed. What the program starts and leaves, in a session of its own even, becomes a child of this one, and is ended with
it. Told to end, the program has so many seconds; then it is ended. What is printed goes on to where this one prints: so
much of its beginning and of its end as a person reads.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

EVERY_SECONDS = 0.2
KEPT_BYTES = 4 * 1024 * 1024
"""Of the beginning; and as much of the end."""
_ORPHANS_COME_HERE = 36  # PR_SET_CHILD_SUBREAPER
_LOOKED_FOR_SECONDS = 3.0
_CHUNK = 65536


def main() -> int:
    """The exit status of the program; 127 where it can't be run, 128 and the signal where one ended it."""
    parent = os.getppid()
    folder, patience, *command = sys.argv[1:]
    _take_orphans()
    told: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(time.monotonic()))  # the whole group has it
    try:
        program = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        print(f"cannot run {command[0]} in {folder}: {error.strerror}", file=sys.stderr)
        return 127
    passed_on = threading.Thread(target=_pass_on, args=[program.stdout], daemon=True)
    passed_on.start()
    while (status := program.poll()) is None:
        if os.getppid() != parent and not told:
            os.killpg(0, signal.SIGTERM)
        if told and time.monotonic() - told[0] > float(patience):
            program.kill()
        _reap(but=program.pid)
        time.sleep(EVERY_SECONDS)
    _end_all_that_is_left()
    passed_on.join(_LOOKED_FOR_SECONDS)
    return status if status >= 0 else 128 - status


def _take_orphans() -> None:
    """Whatever loses its parent becomes a child of this process, where the system can do that."""
    try:
        ctypes.CDLL(None).prctl(_ORPHANS_COME_HERE, 1, 0, 0, 0)
    except (AttributeError, OSError):
        return


def _end_all_that_is_left() -> None:
    """Every descendant. One that starts others meanwhile is looked for again."""
    until = time.monotonic() + _LOOKED_FOR_SECONDS
    while (left := _descendants()) and time.monotonic() < until:
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except OSError:
                continue
        time.sleep(0.01)
        _reap()


def _descendants() -> list[int]:
    parents = {}
    try:
        numbers = [int(place.name) for place in Path("/proc").iterdir() if place.name.isdigit()]
    except OSError:
        return []
    for number in numbers:
        try:
            state, parent = Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()[:2]
        except OSError:
            continue
        if state != b"Z":
            parents[number] = int(parent)
    found: set[int] = set()
    more = {os.getpid()}
    while more:
        more = {number for number, parent in parents.items() if parent in more} - found
        found |= more
    return sorted(found)


def _reap(but: int = 0) -> None:
    """Forget the children that have ended; not the program, whose status is asked for."""
    try:
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid != but:
            os.waitpid(ended.si_pid, 0)
    except ChildProcessError:
        return


def _pass_on(printed) -> None:  # type: ignore[no-untyped-def]
    """The beginning at once; of what comes after that only the end, once it is known."""
    passed = dropped = 0
    end: list[bytes] = []
    held = 0
    out = sys.stdout.buffer
    while chunk := printed.read1(_CHUNK):
        if passed < KEPT_BYTES:
            passed += len(chunk)
            out.write(chunk)
            out.flush()
            continue
        end.append(chunk)
        held += len(chunk)
        while held - len(end[0]) >= KEPT_BYTES:
            gone = len(end.pop(0))
            held -= gone
            dropped += gone
    if dropped:
        out.write(b"\n[... %d bytes were printed here and are not kept ...]\n" % dropped)
    for chunk in end:
        out.write(chunk)
    out.flush()


if __name__ == "__main__":
    sys.exit(main())
