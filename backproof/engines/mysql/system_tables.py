"""A data folder for a private server, made in half a second: the system tables and one superuser.

``mariadb-install-db`` takes two seconds, nearly all of it for the help texts and for some 300 waits for the disk, and
as root it changes the owner of a program that belongs to the whole machine. So the server is fed the same files here,
without the help, and without those waits: what a crash of the machine would leave of it, nobody wants back.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from backproof import subprocesses
from backproof.engines.mysql import binaries
from backproof.engines.mysql.binaries import Program
from backproof.errors import BackproofError, ConfigurationError, MissingTool, NoSpace, Permanent
from backproof.scratch import unprivileged

SUPERUSER = "root"

FULL = re.compile(r"No space left on device|\b(?:errno|errcode|error)(?: number)?:? 28\b|Disk is full", re.IGNORECASE)
"""In the words of a server whose disk is full."""

MORE_ROOM = "Free some space or choose another folder."

TEMPORARY = "../tmp"
"""Of its own, since a server that starts removes the temporary tables of others; seen from its data, since a colon in
a path would make two of it."""

ZONES = Path("/usr/share/zoneinfo")

_ROOM_BYTES = 64 * 1024 * 1024
"""An empty data folder and a log. Where it is missing, Aria waits for ever for somebody to make room."""

_SCRIPTS = (
    "{}_system_tables.sql",
    "{}_performance_tables.sql",
    "{}_system_tables_data.sql",
    "maria_add_gis_sp_bootstrap.sql",
    "{}_sys_schema.sql",
)
"""As mariadb-install-db orders them; ``mysql_`` until 10.11, ``mariadb_`` from 11 on."""

_BEFORE = b"CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"

# The scripts make root, without a password, for every name of this machine; a password comes with the server's start.
_AFTER = b"""
DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys' AND (User <> 'root' OR Host <> 'localhost');
DELETE FROM mysql.proxies_priv WHERE Host <> 'localhost';
"""

# Not "innodb-fast-shutdown=2": the first page of ibdata1 would never be written, and no server start on it.
_QUICK = {
    "innodb-log-file-size": "4M",
    "innodb-buffer-pool-size": "32M",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-doublewrite": "0",
    "loose-debug-no-sync": "1",
    "loose-sync-frm": "0",
}


def make(server: Program, folder: Path, settings: Mapping[str, str], time_zones: bool = False) -> None:
    """Fill ``folder/data``, with the account ``root@localhost`` alone, whose password is empty.

    Args:
        server: makes it, and is to run on it.
        folder: of the private server; its user can enter it, and write to ``data`` and ``tmp`` in it.
        settings: of the server; those that are settled here for good are taken from it.
        time_zones: also fill the tables of named time zones, which takes a second.

    Raises:
        ConfigurationError: the server's user can't use the folder, or the server refuses a setting.
        NoSpace: no room for it.
        MissingTool: the server's own files, or time zones, are not here.
    """
    data = folder.resolve() / "data"
    if (free := shutil.disk_usage(folder).free) < _ROOM_BYTES:
        raise _full(folder, f"{free / 1e6:.0f} MB are free")
    settled = {name: value for name, value in settings.items() if re.match(r"innodb|lower[-_]case", name)}
    script = b"" if server.flavour == "mysql" else _script(server, time_zones)
    made = subprocesses.run(
        [*_command(server, data), *options({**_QUICK, **_renamed(settled)})],
        deadline_seconds=300,
        env={"LC_ALL": "C", "HOME": str(folder)},
        user=unprivileged(),
        cwd=data,
        input=script,
    )
    if made.returncode != 0:
        raise _failed(made.stderr, folder)


def options(settings: Mapping[str, str]) -> list[str]:
    """Settings as arguments of a server; secrets are not among them."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]


def reasons(log: str) -> str:
    """The last words of a server that matter, without their time stamps."""
    lines = [re.sub(r"^[-\d]+[ T]+[\d:.]+Z? \d+ ", "", line) for line in log.splitlines()]
    errors = [line for line in lines if re.search(r"\bERROR\b", line) and not re.search(r"\] Aborting", line)]
    return "; ".join((errors or lines)[-3:])


def _renamed(settings: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in settings.items()}


def _command(server: Program, data: Path) -> list[str]:
    files = [f"--basedir={home(server)}", f"--datadir={data}", f"--tmpdir={TEMPORARY}"]
    if server.flavour == "mysql":
        return [str(server.path), "--no-defaults", "--initialize-insecure", *files]
    tolerant = ["--enforce-storage-engine=", "--max-allowed-packet=64M", "--lc-messages=en_US", "--log-warnings=0"]
    return [str(server.path), "--no-defaults", "--bootstrap", "--silent-startup", *files, *tolerant]


def home(server: Program) -> Path:
    """The folder that holds ``bin`` or ``sbin``, ``share`` and ``lib``."""
    return server.path.resolve().parent.parent


def _script(server: Program, time_zones: bool) -> bytes:
    share = _share(server)
    prefix = "mariadb" if (share / "mariadb_system_tables.sql").is_file() else "mysql"
    scripts = [(share / name.format(prefix)).read_bytes() for name in _SCRIPTS]
    return b"\n".join([_BEFORE, *scripts, _AFTER, _time_zones(server) if time_zones else b""])


def _share(server: Program) -> Path:
    places = [home(server) / "share" / name for name in ("mysql", "mariadb", "")]
    for place in places:
        if any(place.glob("*_system_tables.sql")):
            return place
    raise MissingTool(
        f"{server.path} has no system tables beside it: no mysql_system_tables.sql in {places[0]}",
        binaries.remedy("server", server.flavour),
    )


def _time_zones(server: Program) -> bytes:
    program = binaries.find("timezones", server.flavour, server.version, [server.path.parent, home(server)])
    if not ZONES.is_dir():
        raise MissingTool(
            f"this machine has no time zones: there is no {ZONES}", "Install them: 'apt-get install tzdata'."
        )
    written = subprocesses.run([str(program), str(ZONES)], deadline_seconds=60)
    if written.returncode != 0:
        raise Permanent(f"{program} can't read the time zones of {ZONES}: {written.stderr.strip()[-200:]}")
    return b"\nUSE mysql;\n" + written.stdout


def _failed(stderr: str, folder: Path) -> BackproofError:
    reason = reasons(stderr)
    if FULL.search(stderr):
        return _full(folder, reason)
    if "Permission denied" in stderr or re.search(r"\b(?:errno|Errcode): 13\b", stderr):
        return ConfigurationError(
            f"{folder} can't be used by the user that servers run as: {reason}",
            "Choose a scratch folder that is not below a private one: mode 0711 or 0755 all the way.",
        )
    return Permanent(f"no system tables can be made in {folder}: {reason}")


def _full(folder: Path, reason: str) -> NoSpace:
    return NoSpace(f"no room for a new server in {folder}: {reason}", MORE_ROOM)
