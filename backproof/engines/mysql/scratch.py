"""A scratch server for one archive: of its series or a newer one, an empty schema that fits, everybody else shut out.

It differs from where the archive comes from on purpose wherever a slip of ours would show: another schema name, another
time zone, a strict ``sql_mode``. It is like it in what decides whether a restore succeeds.
"""

import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import JsonValue

from backproof.engines.mysql import binaries
from backproof.engines.mysql.binaries import Flavour
from backproof.engines.mysql.connect import connected, rows
from backproof.engines.mysql.database import create_statement
from backproof.engines.mysql.provide import lacks_keys
from backproof.engines.mysql.server import private_server
from backproof.engines.mysql.system_tables import FULL
from backproof.errors import BackproofError, CannotProve, ConfigurationError, NoSpace, NotFound, Permanent
from backproof.findings import listed
from backproof.records import Manifest, Target
from backproof.scratch import end_processes

SCHEMA = "restored"

_OTHERWISE = "Or set verify_on: server in the plan."
_LARGER = "Make room, or name a larger folder as scratch_folder in the fleet."

_ROOM = 1.3
"""Of the live size: data and keys are written anew, and sorting needs room beside them."""

_EMPTY_BYTES = 96 * 1024 * 1024
"""A server that holds nothing, beside its log."""

_PURPOSELY = {
    "default_time_zone": "+09:00",
    "sql_mode": "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
    "event_scheduler": "OFF",
    "log_bin_trust_function_creators": "1",
}

_OFFSET = re.compile(r"[+-][0-9]{2}:[0-9]{2}")

_ALIKE = (
    "lower_case_table_names",
    "innodb_page_size",
    "innodb_strict_mode",
    "innodb_default_row_format",
    "explicit_defaults_for_timestamp",
    "character_set_server",
    "collation_server",
)
"""Settings that decide whether, and as what, a definition is taken; some only when a server is made."""

_EXACTLY = ("lower_case_table_names", "innodb_page_size")
"""A server that can't have them takes another value without a word."""


@contextmanager
def scratch(
    manifest: Manifest, folder: Path, tool_folders: Sequence[Path] = (), reachable: bool = False
) -> Iterator[Target]:
    """A private server with an empty schema named ``restored``, until the context ends.

    Args:
        manifest: says which flavour, version, settings, character set and collation.
        folder: a workspace of the caller's; the server's data and socket lie in it.
        tool_folders: where else to look for the server.
        reachable: also at a free port of 127.0.0.1, which the target then names; with the time zone and ``sql_mode`` of
            the archive's server, on which an application relies.

    Raises:
        CannotProve: no server of that version or a newer one, no room, or something it can't have; with the remedy.
        NoSpace: the disk got full meanwhile, whatever the server made of it.
    """
    variables = _recorded(manifest)
    settings = {name: variables[name] for name in _ALIKE if name in variables} | _PURPOSELY | _sizes(manifest)
    if reachable:
        settings |= _as_it_was(variables)
    _check_room(manifest, settings, folder)
    _check_names(variables)
    place = folder / "server"
    try:
        with _server(manifest, place, tool_folders, settings, reachable) as server, _ended_when_full(place):
            _check_fit(server, manifest, variables)
            _make_schema(server, manifest)
            yield server.to(SCHEMA)
    except BackproofError as error:
        # A restore that was refused for want of room is no verdict on what was restored.
        if isinstance(error, NoSpace) or FULL.search(_log(place)):
            raise NoSpace(f"the disk of {folder.parent} is full: {error.fact}", _LARGER) from None
        raise


def _recorded(manifest: Manifest) -> dict[str, str]:
    """The variables of the archive's server, as options take them."""
    variables = manifest.database.server.get("variables")
    if not isinstance(variables, dict):
        return {}
    return {name: _option(value) for name, value in variables.items() if value is not None}


def _option(value: JsonValue) -> str:
    return str(int(value) if isinstance(value, bool) else value)


def _as_it_was(variables: dict[str, str]) -> dict[str, str]:
    """What an application is used to, in place of what finds slips of ours. For a zone by name, the machine's own."""
    zone = "+00:00" if variables.get("time_zone") == "UTC" else variables.get("time_zone", "")
    known = {"default_time_zone": zone if _OFFSET.fullmatch(zone) else "SYSTEM"}
    return known | {name: variables[name] for name in ("sql_mode",) if name in variables}


def _sizes(manifest: Manifest) -> dict[str, str]:
    """By what is to come: a larger log saves writing pages twice, which is a tenth of a restore, and takes room."""
    mib = manifest.database.live_bytes >> 20
    return {
        "innodb_buffer_pool_size": f"{min(max(mib, 128), 512)}M",
        "innodb_log_file_size": f"{min(max(mib, 32), 512)}M",
    }


def _check_room(manifest: Manifest, settings: dict[str, str], folder: Path) -> None:
    log = int(settings["innodb_log_file_size"].removesuffix("M")) << 20
    needed, free = int(manifest.database.live_bytes * _ROOM) + log + _EMPTY_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        told = f"a proof needs {needed / 1e9:.1f} GB in {folder.parent}, and {free / 1e9:.1f} GB are free"
        raise CannotProve(told, _LARGER)


def _check_names(variables: dict[str, str]) -> None:
    if variables.get("lower_case_table_names") == "2":
        raise CannotProve(
            "the archive's server writes names as they were given and compares them without regard to case "
            "(lower_case_table_names=2), which no server on Linux can",
            "Set verify_on: server in the plan.",
        )


@contextmanager
def _server(
    manifest: Manifest, place: Path, tool_folders: Sequence[Path], settings: dict[str, str], reachable: bool
) -> Iterator[Target]:
    version = manifest.database.server_version
    flavour = binaries.flavour_of(version)
    started = False
    try:
        binaries.find("server", flavour, version, tool_folders)
        with private_server(
            place,
            flavour=flavour,
            version=version,
            tool_folders=tool_folders,
            settings=settings,
            time_zones=_names_zones(manifest, flavour),
            port=0 if reachable else None,
        ) as server:
            started = True
            yield server
    except NoSpace:
        raise
    except Permanent as error:
        if started:
            raise
        told = f"no server that fits runs here: {error.fact}"
        raise CannotProve(told, f"{error.remedy} {_OTHERWISE}".strip()) from None


def _names_zones(manifest: Manifest, flavour: Flavour) -> bool:
    """Whether an event may run by a time zone's name: without its table that is refused."""
    return flavour == "mariadb" and any(key.startswith("EVENT ") for key in manifest.entries)


def _check_fit(server: Target, manifest: Manifest, variables: dict[str, str]) -> None:
    with connected(server) as connection:
        for name in _EXACTLY:
            [(found,)] = rows(connection, f"SELECT @@global.{name}")
            if str(found) != variables.get(name, str(found)):
                told = f"a server here has {name}={found}, and the archive's has {variables[name]}"
                raise CannotProve(told, "Set verify_on: server in the plan.")
        known = {str(name).lower() for (name,) in rows(connection, _ENGINES)}
        keyless = lacks_keys(connection, manifest)
    if keyless:
        told = f"{listed(keyless)} say that they are encrypted, and a scratch server has no keys"
        raise CannotProve(told, "Set verify_on: server in the plan.")
    # Without such an engine a server takes another one for its tables, with a warning at most.
    used = manifest.database.server.get("engines")
    lacking = [name for name in used if name and name.lower() not in known] if isinstance(used, dict) else []
    if lacking:
        told = f"the server here lacks the storage engine {', '.join(lacking)}"
        raise CannotProve(told, f"Install its plugin, such as mariadb-plugin-rocksdb. {_OTHERWISE}")


_ENGINES = "SELECT ENGINE FROM information_schema.ENGINES WHERE SUPPORT IN ('YES', 'DEFAULT')"


def _make_schema(server: Target, manifest: Manifest) -> None:
    try:
        with connected(server) as connection:
            rows(connection, create_statement(SCHEMA, manifest))
    except (ConfigurationError, NotFound, Permanent) as error:
        told = f"no schema that fits can be made here: {error.fact}"
        raise CannotProve(told, "Set verify_on: server in the plan.") from None


def _log(place: Path) -> str:
    log = place / "server.log"
    return log.read_text(errors="replace") if log.exists() else ""


@contextmanager
def _ended_when_full(place: Path) -> Iterator[None]:
    """End a server whose disk is full: MyISAM and Aria would wait for room, and the restore with them, for ever."""
    over = threading.Event()
    watch = threading.Thread(target=_end_when_full, args=(place, over), name="scratch disk", daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _end_when_full(place: Path, over: threading.Event) -> None:
    while not over.wait(1.0):
        if FULL.search(_log(place)):
            end_processes((place / "data").resolve(), grace_seconds=0.5)
            return
