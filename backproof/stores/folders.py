"""Walking a tree of folders without ever following a symbolic link, whoever planted it.

Every step is taken from an open folder by one plain name, so nothing on the way can be exchanged behind our back.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from backproof.errors import ConfigurationError
from backproof.stores.keys import is_key

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def open_root(root: Path, opened: ExitStack, make: bool = False) -> int | None:
    """Open a store's own folder, which may be reached by a link; None when it is missing and not to be made."""
    if make:
        _make_with_parents(root)
    try:
        return _kept(os.open(root, _FOLDER), opened)
    except FileNotFoundError:
        return None


def open_way(root: Path, key: str, opened: ExitStack, make: bool = False) -> list[int]:
    """Open the folders from a store's own to the one that holds ``key``; with ``make``, missing ones are made.

    Raises:
        FileNotFoundError: one is missing.
        NotADirectoryError: one is a file.
        ConfigurationError: one is a symbolic link.
    """
    if (folder := open_root(root, opened, make)) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    way = [folder]
    for name in key.split("/")[:-1]:
        if make:
            _make(name, way[-1])
        way.append(_kept(_open_folder(name, way[-1], root / key), opened))
    return way


def walk(folder: int, where: Path, under: str = "", prefix: str = "") -> Iterator[tuple[str, os.stat_result, int]]:
    """All that lies in an open folder and below and can start with ``prefix``, but for the folders themselves.

    Yields:
        Its path from the store's own folder, its status, and the open folder it lies in.
    """
    for name in os.listdir(folder):
        path = under + name
        if not (path.startswith(prefix) or prefix.startswith(f"{path}/")):
            continue
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                yield path, found, folder
            elif is_key(name):
                with ExitStack() as opened:
                    below = _kept(_open_folder(name, folder, where / path), opened)
                    yield from walk(below, where, f"{path}/", prefix)
        except FileNotFoundError:  # deleted since it was listed
            continue


def free_bytes(root: Path) -> int:
    """Room left for us on the disk of a folder that may not be there yet.

    Raises:
        OSError: that disk can't be written to at all.
    """
    disk = os.statvfs(next(each for each in (root, *root.parents) if each.exists()))
    if disk.f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    return disk.f_bavail * disk.f_frsize


def _open_folder(name: str, parent: int, place: Path) -> int:
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    except NotADirectoryError:
        if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise not_followed(place) from None
        raise


def not_followed(place: Path | str) -> ConfigurationError:
    """There is a symbolic link where a folder or file should be."""
    return ConfigurationError(
        f"there is a symbolic link in {place}, and it is not followed",
        "Remove it; to use another disk for a part of a store, mount it there (`mount --bind`).",
    )


def _make(name: str, parent: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return


def _make_with_parents(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_with_parents(folder.parent)
    with ExitStack() as opened:
        parent = _kept(os.open(folder.parent, _FOLDER), opened)
        _make(folder.name, parent)
        os.fsync(parent)


def _kept(descriptor: int, opened: ExitStack) -> int:
    opened.callback(os.close, descriptor)
    return descriptor
