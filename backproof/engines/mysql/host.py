"""The server of a schema: its version, and the room on its disk where that can be seen."""

import re

from backproof.engines import Host
from backproof.engines.mysql.connect import connected, rows
from backproof.hosts import free_bytes
from backproof.records import Manifest, Target


def host(target: Target, manifest: Manifest) -> Host:
    """The contract is ``Engine.host``."""
    with connected(target, database=False) as connection:
        ((version, folder, logging),) = rows(connection, "SELECT VERSION(), @@datadir, @@global.log_bin")
    return Host(
        version=str(version),
        series=_series(str(version)),
        series_of_backup=_series(manifest.database.server_version),
        free_bytes=free_bytes(target.host, str(folder)),
        log_bytes=manifest.database.live_bytes if logging else 0,
    )


def _series(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))
