"""What the kernel tells of processes; nothing of those that have ended, which they may do while we look."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def told(pid: int, what: str) -> bytes:
    """One of a process's files, as `environ`."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/{what}").read_bytes()
    return b""


def comm(pid: int) -> str:
    """What a process is called."""
    return told(pid, "comm").decode().strip()


def command_of(pid: int) -> str:
    """What a process was started as."""
    return told(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")


def cwd(pid: int) -> Path:
    """The folder that a process works in, removed or not; the root of it all for one that has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cwd").readlink()
    return Path("/")


def others() -> list[int]:
    """All processes but ourselves."""
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and each.name != str(os.getpid())]


def running(variable: str) -> list[int]:
    """All processes that have this in their environment, zombies and ourselves aside."""
    return [pid for pid in others() if variable.encode() in told(pid, "environ")]


def descendants(pid: int) -> Iterator[int]:
    """All processes below one, parents first."""
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in thread.read_text().split():
                yield int(child)
                yield from descendants(int(child))
