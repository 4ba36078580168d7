"""Prefect's empty database, made once: ``python -m deployments.servers.prefect_database``, as ``make install`` does.

A new Prefect server spends five seconds of processor time on migrations from the first version of its schema to this
one. A copy of a database that has been through them, and holds nothing else, starts a new home at once. Where the copy
is missing, or of another version of Prefect, the server does it all itself.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

NAME = "prefect.db"


def prepared() -> Path:
    """Where the migrated database of this environment's Prefect lies, if it does."""
    return Path(sys.prefix) / "share" / "backproof" / f"prefect-{version('prefect')}.db"


def give(home: Path) -> None:
    """Put a copy into a home that has no database yet."""
    source, target = prepared(), home / NAME
    if target.exists() or not source.is_file():
        return
    part = target.with_suffix(".part")
    shutil.copyfile(source, part)
    part.chmod(0o600)
    part.replace(target)


def make() -> None:
    """Migrate an empty database and keep it for ``give``."""
    with tempfile.TemporaryDirectory(prefix="backproof-prefect-") as home:
        environment = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        environment |= {"PREFECT_HOME": home, "HOME": home, "DO_NOT_TRACK": "1"}
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
        subprocess.run(command, env=environment, cwd=home, check=True, stdout=subprocess.DEVNULL)
        kept = prepared()
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part")
        shutil.copyfile(Path(home) / NAME, part)
        part.replace(kept)


if __name__ == "__main__":
    make()
