"""Disks that are soon full: real ones, which only root can mount."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CRUMBS = 1024 * 1024
"""Of a full disk: enough for a server to write down that something is gone."""


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A disk of its own, such as of ``64m``, in a folder that a server's user may enter; gone with all on it."""
    folder = Path(tempfile.mkdtemp(prefix="backproof-disk-"))
    folder.chmod(0o755)
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(folder)], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", str(folder)], check=True)
    finally:
        folder.rmdir()


def fill(disk: Path, crumbs: int = CRUMBS) -> None:
    """By a file of its own, ``filler``, but for so many bytes."""
    with suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while shutil.disk_usage(disk).free > crumbs:
            file.write(bytes(65536))
