"""Files that are written once: keys and a first fleet are never overwritten."""

import os
from pathlib import Path

from backproof.errors import AccessDenied, AlreadyExists, NoSpace, NotFound, Permanent

PRIVATE = 0o600
PUBLIC = 0o644


def refuse_existing(*paths: Path) -> None:
    """Raise before anything is written, if any of these is there already."""
    for path in paths:
        if path.exists() or path.is_symlink():
            raise _already(path)


def write_once(path: Path, content: bytes, mode: int) -> None:
    """Write a new file, durably, with exactly this mode.

    Raises:
        AlreadyExists: something of that name is there; it stays as it is.
        Permanent: the file can't be written; nothing of it is left.
    """
    try:
        # 0600 until it is complete, whatever it becomes: nobody reads half a key.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE)
    except FileExistsError:
        raise _already(path) from None
    except OSError as error:
        raise _refused(path, error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _refused(path, error) from None


def write_over(path: Path, text: str) -> None:
    """Write a public file, in one step: over an earlier one, of which all or nothing is left.

    Raises:
        Permanent: the file can't be written; the earlier one is as it was.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise _refused(path, error) from None


def private_folder(path: Path) -> None:
    """Make a folder only its owner may enter; one that exists stays as it is."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(path, error) from None


def _already(path: Path) -> AlreadyExists:
    return AlreadyExists(
        f"{path} is there already", "It is never overwritten: name another file, or move this one away."
    )


def _refused(path: Path, error: OSError) -> Permanent:
    match error:
        case PermissionError():
            return AccessDenied(f"cannot write {path}", "Give this user the right to write there.")
        case FileNotFoundError() | NotADirectoryError():
            return NotFound(f"there is no folder {path.parent}", "Make it first.")
        case _:
            return NoSpace(f"cannot write {path}: {error.strerror}", "Make room, or choose another place.")
