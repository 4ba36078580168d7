"""A PostgreSQL standby of a server of the tests: copied from it, and following."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from backproof.engines.postgresql import binaries
from backproof.records import Target
from backproof.scratch import unprivileged


def copied(primary: Target, folder: Path, major: int) -> None:
    """A base backup that starts as a standby; ``private_server`` with ``following`` starts it."""
    assert primary.password is not None
    folder.mkdir()
    folder.chmod(0o711)
    where = ["-h", primary.host, "-p", str(primary.port), "-U", primary.user]
    subprocess.run(
        [binaries.find("pg_basebackup", major), *where, "-D", folder / "data", "-c", "fast"],
        env={"PGPASSWORD": primary.password.get_secret_value()},
        check=True,
        capture_output=True,
    )
    (folder / "data" / "standby.signal").touch()
    for path in [folder / "data", *(folder / "data").rglob("*")]:
        if user := unprivileged():
            shutil.chown(path, *user)


def following(primary: Target) -> str:
    """The setting ``primary_conninfo``."""
    password = primary.password.get_secret_value() if primary.password else ""
    quoted = password.replace("\\", "\\\\").replace("'", "\\'")
    return f"host={primary.host} port={primary.port} user={primary.user} password='{quoted}'"


def until(true: Callable[[], bool]) -> None:
    """Wait for what replication does on its own time."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "replication did not get there"
        time.sleep(0.05)
