"""Programs that an unprivileged user can run: PostgreSQL refuses to be root, and a wheel may lie where only root goes.

Where that user can't reach an installation, the files a server needs are brought to a folder of root's that it can
enter: linked where one file system allows it, else copied. Made beside its final name and renamed, so that two
processes at once are no matter; used only when root owns it and nobody else can write to it: what was planted is not
run.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from backproof.engines.postgresql.binaries import Installation
from backproof.errors import MissingTool
from backproof.scratch import NOBODY

CACHE = Path("/var/cache/backproof")
"""Where copies are kept for the next time: a folder that nobody but root can have planted."""

_NEEDED = ("bin/postgres", "bin/initdb", "lib", "share")
"""Of an installation: not its headers and client programs."""


def runnable(installation: Installation, spare: Path) -> Path:
    """The ``bin`` folder from which the unprivileged user can run this installation's server.

    Args:
        installation: what to run.
        spare: an existing folder of root's that the user can enter, for where the cache can't be written.

    Raises:
        MissingTool: neither the installation nor a copy can be made runnable.
    """
    home = installation.bin.parent
    if can_enter(home) and all(_readable(path) for path in home.rglob("*") if not path.is_symlink()):
        return installation.bin
    problems = []
    for place in (CACHE, spare):
        try:
            return _copied(installation, place) / home.parent.name / home.name / "bin"
        except OSError as error:
            problems.append(f"{place}: {error.strerror or error}")
    raise MissingTool(
        f"{home} can't be entered by the user servers run as, nor could it be copied ({'; '.join(problems)})",
        f"Install postgresql-{installation.major}, or make {CACHE} writable for root.",
    )


def can_enter(folder: Path) -> bool:
    """Whether the unprivileged user may pass through a folder and all above it."""
    resolved = folder.resolve()
    return all(_may(each.stat(), 0o1) for each in (resolved, *resolved.parents))


def _readable(path: Path) -> bool:
    status = path.stat()
    return _may(status, 0o5 if stat.S_ISDIR(status.st_mode) else 0o4)


def _may(status: os.stat_result, bits: int) -> bool:
    if status.st_uid == NOBODY:
        bits <<= 6
    elif status.st_gid == NOBODY:
        bits <<= 3
    return status.st_mode & bits == bits


def _copied(installation: Installation, place: Path) -> Path:
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    home = installation.bin.parent
    stamp = f"{home}{(installation.bin / 'postgres').stat().st_mtime_ns}"
    copy = place / f"postgresql-{installation.version}-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}"
    if not copy.exists():
        making = Path(tempfile.mkdtemp(prefix=".making-", dir=place))
        try:
            _fill(making, home)
            with suppress(OSError):  # another process was first: its copy is as good
                making.rename(copy)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    _check(copy)
    return copy


def _fill(copy: Path, home: Path) -> None:
    """The same layout as in a wheel: libraries that programs find by a relative path lie two folders up."""
    inside = copy / home.parent.name / home.name
    for name in _NEEDED:
        _bring(home / name, inside / name)
    libraries = home.parent.parent / f"{home.parent.name}.libs"
    if libraries.is_dir():
        _bring(libraries, copy / libraries.name)
    for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir() and not path.is_symlink())):
        folder.chmod(0o755)


def _bring(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, copy_function=_link_or_copy, dirs_exist_ok=True)
    else:
        _link_or_copy(str(source), str(target))


def _link_or_copy(source: str, target: str) -> None:
    status = Path(source).stat()
    # A link shares owner and mode: only a file that root alone can change may be linked.
    if status.st_uid == 0 and not status.st_mode & 0o022 and status.st_mode & stat.S_IROTH:
        with suppress(OSError):  # another file system
            os.link(source, target)
            return
    shutil.copyfile(source, target)
    Path(target).chmod(0o755 if status.st_mode & stat.S_IXUSR else 0o644)


def _check(copy: Path) -> None:
    """Refuse what somebody else planted or could change."""
    for path in (copy.parent, copy, *copy.rglob("*")):
        status = path.lstat()
        foreign = status.st_uid != os.geteuid() or (status.st_mode & 0o022 and not stat.S_ISLNK(status.st_mode))
        if foreign:
            raise PermissionError(0, f"{path} is not root's alone")
    if not can_enter(copy):
        raise PermissionError(0, f"{copy} can't be entered by uid {NOBODY}")
