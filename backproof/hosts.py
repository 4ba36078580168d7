"""Database servers that are on this very machine."""

import shutil
from pathlib import Path

_HERE = ("127.0.0.1", "::1", "localhost")


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
