"""This very machine: database servers that are on it, and ports for private ones."""

import random
import shutil
import socket
from contextlib import ExitStack
from pathlib import Path

_HERE = ("127.0.0.1", "::1", "localhost")
_PRIVATE_PORTS = range(15_000, 32_000)
"""Below those that Linux gives to outgoing connections, any of which may take one before a server listens on it."""

_random = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """Ports of loopback on which nobody listens now, each another one, chosen at random.

    Another process may take one before it is used: whoever starts a server on it tries again with others.
    """
    chosen: list[int] = []
    with ExitStack() as held:  # all at once: the same one does not come twice
        while len(chosen) < count:
            probe = held.enter_context(socket.socket())
            number = _random.choice(_PRIVATE_PORTS)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            chosen.append(number)
    return chosen


def free_bytes(host: str, folder: str | None) -> int | None:
    """Room on the disk of a server's folder; None where it is another machine's, or can't be seen.

    Args:
        host: as one connects to it: a name, an address, or a folder of a Unix socket.
        folder: where the server says that its databases lie.
    """
    if folder is None or not (host.startswith("/") or host in _HERE):
        return None
    try:
        return shutil.disk_usage(Path(folder)).free
    except OSError:  # a tunnel, a container: no such folder here
        return None
