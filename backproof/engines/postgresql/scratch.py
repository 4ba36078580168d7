"""A scratch server for one archive: the same major version, an empty database that fits, everybody else shut out."""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg2.errors

from backproof.engines.postgresql import binaries, database, provide
from backproof.engines.postgresql.connect import connected, quote_literal
from backproof.engines.postgresql.powerless import THROWAWAY
from backproof.engines.postgresql.server import private_server
from backproof.errors import BackproofError, CannotProve, ConnectionLost, MissingTool, NoSpace, Transient
from backproof.records import Manifest, Target

DATABASE = "restored"

_LARGER = "Make room, or name a larger folder as scratch_folder in the fleet."

_ROOM = 1.3
"""Of the live size: data and indexes are written anew, and sorting needs room beside them."""


@contextmanager
def scratch(
    manifest: Manifest, folder: Path, tool_folders: Sequence[Path] = (), reachable: bool = False
) -> Iterator[Target]:
    """A private server with an empty database named ``restored``, until the context ends.

    Args:
        manifest: says which major version, encoding and locale.
        folder: a workspace of the caller's; the server's data and socket lie in it.
        tool_folders: where else to look for PostgreSQL's programs.
        reachable: also at a free port of 127.0.0.1, which the target then names.

    Raises:
        CannotProve: no binaries of that version, no room, a locale or extension missing; with the remedy.
        NoSpace: the disk got full meanwhile; also where the server died of it.
    """
    major = int(manifest.database.server_version.partition(".")[0])
    _check_room(manifest, folder)
    _check_programs(major, tool_folders)
    # The cluster's own locale matters to nothing, and this one is everywhere.
    port = 0 if reachable else None
    named = {"cluster_name": THROWAWAY}
    with private_server(
        major, folder / "server", tool_folders=tool_folders, settings=named, locale="C", port=port
    ) as server:
        target = server.to(DATABASE)
        try:
            _prepare(target, manifest)
            yield target
        except (NoSpace, ConnectionLost) as error:
            log = (folder / "server" / "server.log").read_text(errors="replace")
            if isinstance(error, ConnectionLost) and os.strerror(errno.ENOSPC) not in log:
                raise
            raise NoSpace(f"the disk of {folder.parent} is full: {error.fact}", _LARGER) from None


def _check_room(manifest: Manifest, folder: Path) -> None:
    needed, free = int(manifest.database.live_bytes * _ROOM), shutil.disk_usage(folder).free
    if free < needed:
        raise CannotProve(
            f"a proof needs {needed / 1e9:.1f} GB in {folder.parent}, and {free / 1e9:.1f} GB are free",
            _LARGER,
        )


def _check_programs(major: int, tool_folders: Sequence[Path]) -> None:
    try:
        binaries.find("postgres", major, tool_folders)
    except MissingTool as error:
        raise CannotProve(error.fact, f"{error.remedy} Or set verify_on: server in the plan.") from None


def _prepare(target: Target, manifest: Manifest) -> None:
    lacking = [lack for lack in provide.lacks(target, manifest) if lack.kind in ("extension", "locale")]
    if lacking:
        raise CannotProve(
            "this machine lacks " + ", ".join(f"{lack.kind} {lack.name}" for lack in lacking),
            "Install what is missing here, or set verify_on: server in the plan.",
        )
    try:
        database.create(target, manifest)
    except (Transient, NoSpace):
        raise
    except BackproofError as error:
        remedy = error.remedy or "Set verify_on: server in the plan."
        raise CannotProve(f"no database that fits can be made here: {error.fact}", remedy) from None
    _accustom(target, manifest)


def _accustom(target: Target, manifest: Manifest) -> None:
    """Let whoever connects here write money as the backup's server did, and not set off event triggers.

    From 17 on a database may have one that fires on login, and writes: what was restored would change by looking at it.
    """
    parameters = manifest.database.server.get("parameters")
    monetary = parameters.get("lc_monetary") if isinstance(parameters, dict) else None
    with connected(target) as connection, connection.cursor() as cursor:
        for name, value in (("event_triggers", "off"), ("lc_monetary", monetary or "C")):
            # Servers before 17 know no such setting; a locale that is not here matters to columns of money alone.
            with suppress(psycopg2.errors.UndefinedObject, psycopg2.errors.InvalidParameterValue):
                cursor.execute(f"ALTER ROLE CURRENT_USER SET {name} = {quote_literal(str(value))}")
