"""Secrets for programs: files that nobody else can read and that leave nothing behind."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
