"""The stock tools of both databases, run as a person would, for what they lose without a word."""

import subprocess
from functools import partial
from pathlib import Path

from backproof.engines.mysql import binaries as mysql_binaries
from backproof.engines.postgresql import binaries as postgresql_binaries
from backproof.records import Target

Finished = subprocess.CompletedProcess[bytes]
MAJOR = 18
"""Of the PostgreSQL programs."""


def _run(command: list[str | Path], *, stdin: bytes | None = None, env: dict[str, str] | None = None) -> Finished:
    return subprocess.run(command, input=stdin, env=env, capture_output=True, check=False)


def postgresql(program: str, target: Target, *arguments: str | Path, stdin: bytes | None = None) -> Finished:
    """``pg_dump``, ``pg_restore`` or ``psql`` (which reads no file of its own) on a target."""
    quiet = ["-qX"] if program == "psql" else []
    where = ["-h", target.host, "-p", str(target.port), "-U", target.user, "-d", target.database]
    env = {"PGPASSWORD": _password(target), "LC_ALL": "C.UTF-8"}
    return _run([postgresql_binaries.find(program, MAJOR), *quiet, *where, *arguments], stdin=stdin, env=env)


psql = partial(postgresql, "psql")
pg_dump = partial(postgresql, "pg_dump")
pg_restore = partial(postgresql, "pg_restore")


def offline(program: str, *arguments: str | Path) -> Finished:
    """A PostgreSQL program that needs no server."""
    return _run([postgresql_binaries.find(program, MAJOR), *arguments])


def _mariadb(
    role: mysql_binaries.Role, target: Target, folder: Path, *arguments: str, stdin: bytes | None = None
) -> Finished:
    secret = _password(target).replace("\\", "\\\\").replace('"', '\\"')
    defaults = folder / "client.cnf"
    defaults.write_text(f'[client]\nhost={target.host}\nport={target.port}\nuser={target.user}\npassword="{secret}"\n')
    defaults.chmod(0o600)
    program = mysql_binaries.find(role, "mariadb")
    return _run([program, f"--defaults-file={defaults}", *arguments], stdin=stdin, env={"LC_ALL": "C.UTF-8"})


def mariadb(target: Target, folder: Path, script: bytes) -> Finished:
    """The client, fed with a script; its option file lies in ``folder``."""
    return _mariadb("client", target, folder, target.database, stdin=script)


def mariadb_dump(target: Target, folder: Path, *arguments: str) -> Finished:
    """The dump tool with no options but these."""
    return _mariadb("dump", target, folder, *arguments, target.database)


def _password(target: Target) -> str:
    return target.password.get_secret_value() if target.password else ""
