"""Where MariaDB's and MySQL's programs are: the folders a plan names, the PATH, where packages put them.

The two go by each other's names (Debian's ``mysqld`` is MariaDB), so a program is what it says it is when asked for its
version. MySQL's own are looked for in the same way, untested.
"""

import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from backproof import subprocesses
from backproof.errors import BackproofError, MissingTool

Flavour = Literal["mariadb", "mysql"]
Role = Literal["dump", "client", "server", "timezones"]
Series = tuple[int, int]
"""What a release is a member of, and what must fit: ``(10, 11)``, ``(8, 4)``."""

DIRECTORIES = ("/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/local/bin", "/usr/local/sbin", "/usr/local/mysql/bin")
"""Servers are often not on the PATH of a service, and of Fedora's not on anybody's."""

NAMES: dict[Flavour, dict[Role, tuple[str, ...]]] = {
    "mariadb": {
        "dump": ("mariadb-dump", "mysqldump"),
        "client": ("mariadb", "mysql"),
        "server": ("mariadbd", "mysqld"),
        "timezones": ("mariadb-tzinfo-to-sql", "mysql_tzinfo_to_sql"),
    },
    "mysql": {
        "dump": ("mysqldump",),
        "client": ("mysql",),
        "server": ("mysqld",),
        "timezones": ("mysql_tzinfo_to_sql",),
    },
}

_PACKAGES: dict[Flavour, tuple[str, str]] = {
    "mariadb": ("mariadb-client", "mariadb-server-core"),
    "mysql": ("mysql-community-client", "mysql-community-server-core"),
}
"""With the clients, and with the server: of Debian or mariadb.org, and of repo.mysql.com."""

_FLOORS: dict[Flavour, dict[Series, int]] = {
    "mariadb": {(10, 4): 34, (10, 5): 25, (10, 6): 18, (10, 11): 8, (11, 0): 6, (11, 1): 5, (11, 2): 4, (11, 4): 2},
    "mysql": {(8, 0): 37, (8, 4): 0},
}
"""Series to the first patch whose dump tool is safe from what a hostile server says (CVE-2024-21096)."""

# The first of three parts: "Ver 10.19 Distrib 10.11.6-MariaDB", "from 11.4.2-MariaDB, client 15.2", "Ver 8.4.3 for …".
_VERSION = re.compile(rb"(\d+\.\d+\.\d+)(-MariaDB)?")


class Program(NamedTuple):
    """One program that says what it is."""

    path: Path
    flavour: Flavour
    version: str
    """``10.11.6``."""

    @property
    def series(self) -> Series:
        """What it is a release of."""
        return series(self.version)


def flavour_of(server_version: str) -> Flavour:
    """Which of the two a server is, by its ``@@version``: ``10.11.6-MariaDB-log``, ``8.0.36``."""
    return "mariadb" if "mariadb" in server_version.lower() else "mysql"


def series(version: str) -> Series:
    """The first two numbers of a version.

    Raises:
        ValueError: it has none.
    """
    match = re.match(r"(?:5\.5\.5-)?(\d+)\.(\d+)", version)
    if match is None:
        raise ValueError(f"{version!r} is no version")
    return int(match[1]), int(match[2])


def find(role: Role, flavour: Flavour, version: str | None = None, tool_folders: Sequence[Path] = ()) -> Path:
    """The program of that series, else of the next newer one there is, else (but for servers) of the newest older one.

    A newer program knows what an older server has; an older one may not, so whoever dumps with it says so.

    Args:
        role: which program.
        flavour: whose.
        version: of the server it is for, as far as it matters: ``10.11``, ``10.11.6-MariaDB``; None: the newest.
        tool_folders: where to look first.

    Raises:
        MissingTool: there is none; says which there are and how to install it.
    """
    return best(role, flavour, version, tool_folders).path


def best(role: Role, flavour: Flavour, version: str | None = None, tool_folders: Sequence[Path] = ()) -> Program:
    """What ``find`` finds, with its version."""
    found = programs(role, flavour, tool_folders)
    wanted = series(version) if version else None
    chosen = _choose(found, wanted, older_too=role != "server")
    if chosen:
        return chosen
    name, versions = NAMES[flavour][role][0], ", ".join(dict.fromkeys(each.version for each in found)) or "none"
    what = f"{name} of {_title(flavour)}" + (f" {wanted[0]}.{wanted[1]} or newer" if wanted else "")
    raise MissingTool(f"there is no {what} here; found: {versions}", remedy(role, flavour))


def programs(role: Role, flavour: Flavour, tool_folders: Sequence[Path] = ()) -> list[Program]:
    """Every such program there is, in the order in which they are preferred."""
    found: dict[Path, Program] = {}
    for folder in _places(tool_folders):
        for name in NAMES[flavour][role]:
            path = folder / name
            # A folder on the PATH may be closed to us.
            if not os.access(path, os.X_OK) or (real := path.resolve()) in found:
                continue
            program = _ask(path, real.stat().st_mtime_ns)
            if program and program.flavour == flavour:
                found[real] = program
    return list(found.values())


def remedy(role: Role, flavour: Flavour) -> str:
    """How to get a program, in one sentence; of packages that start no server."""
    return (
        f"Install it with 'apt-get install --no-install-recommends {_PACKAGES[flavour][role == 'server']}', "
        "or name the folder that holds it among the tool folders in fleet.yaml."
    )


def hole(program: Program) -> str:
    """What is known to be wrong with a dump tool's files, where the stock client reads them; empty if nothing is."""
    floors = _FLOORS[program.flavour]
    floor, patch = floors.get(program.series), int(program.version.split(".")[2])
    if program.series > max(floors) or (floor is not None and patch >= floor):
        return ""
    safe = min(each for each in floors if each >= program.series)
    version = f"{safe[0]}.{safe[1]}.{floors[safe]}"
    return f"before {version} a dump of a hostile server can run commands in the client (CVE-2024-21096)"


def _choose(found: Sequence[Program], wanted: Series | None, older_too: bool) -> Program | None:
    if wanted is None:
        return max(found, key=lambda each: each.series, default=None)
    # ``min`` and ``max`` keep the first of equals: the order of preference.
    newer = min((each for each in found if each.series >= wanted), key=lambda each: each.series, default=None)
    if newer or not older_too:
        return newer
    return max(found, key=lambda each: each.series, default=None)


def _places(tool_folders: Sequence[Path]) -> Iterator[Path]:
    for folder in tool_folders:
        yield from (folder, folder / "bin", folder / "sbin")
    for name in (*os.get_exec_path(), *DIRECTORIES):
        if Path(name).is_absolute():
            yield Path(name)


def _title(flavour: Flavour) -> str:
    return {"mariadb": "MariaDB", "mysql": "MySQL"}[flavour]


@lru_cache
def _ask(path: Path, _changed: int) -> Program | None:
    try:
        finished = subprocesses.run([str(path), "--version"], deadline_seconds=20)
    except BackproofError:
        return None  # a broken program is no program
    match = _VERSION.search(finished.stdout) if finished.returncode == 0 else None
    return Program(path, "mariadb" if match[2] else "mysql", match[1].decode()) if match else None
