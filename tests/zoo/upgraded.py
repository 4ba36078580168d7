"""``python -m tests.zoo.upgraded 15 18``: does what ``pg_upgrade`` brought to a newer version come back as it is?

Every kind of object that ``tests.support.postgres_zoo`` knows is made in a database of its own on the old version, the
cluster is upgraded, and each database is dumped, restored on another server of the new version, dumped again, compared.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from backproof.engines.postgresql import ENGINE, binaries, runtime
from backproof.engines.postgresql.server import SUPERUSER, private_server
from backproof.scratch import make_folder, unprivileged, workspace
from tests.support.postgres_fixtures import execute
from tests.support.postgres_zoo import ROLES, ZOO
from tests.support.round_trip import round_trip

PASSWORD = "an upgrade's"
_TRUSTING = "local all all trust\nhost all all 127.0.0.1/32 trust\n"


def main() -> None:
    """Print what differs; the exit status is 1 where anything does."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.zoo.upgraded")
    parser.add_argument("old", type=int, help="major version, such as 15")
    parser.add_argument("new", type=int, help="major version, such as 18")
    options = parser.parse_args()
    with workspace("upgraded") as folder:
        made = _filled(options.old, folder / "old")
        _upgrade(options.old, options.new, folder)
        differing = list(_differing(options.new, folder, made))
    print(f"{len(made)} databases of {options.old}, now of {options.new}: {len(differing)} differ")
    print(*differing, sep="\n")
    sys.exit(bool(differing))


def _filled(major: int, folder: Path) -> dict[str, str]:
    """Databases of a new cluster, each with what it holds."""
    made = {}
    with private_server(major, folder, password=PASSWORD, durable=True) as server:
        execute(server, ROLES)
        for number, specimen in enumerate(each for each in ZOO if each.since <= major):
            database = server.to(f"zoo_{number}")
            execute(server, f"CREATE DATABASE {database.database} TEMPLATE template0")
            for part in specimen.script.split("\\gexec"):
                for row in execute(database, part) if part.strip() else ():
                    if isinstance(row[0], str) and row[0].startswith("CREATE"):
                        execute(database, row[0])
            made[database.database] = specimen.name
    return made


def _upgrade(old: int, new: int, folder: Path) -> None:
    programs = [_programs(major, folder) for major in (old, new)]
    for place in ("new", "new/data", "work"):
        make_folder(folder / place)
        if place != "new" and (user := unprivileged()):
            (folder / place).chmod(0o700)
            shutil.chown(folder / place, *user)
    # Since 18 a cluster has checksums unless told; one without can't be brought to one with.
    checksums = ["--no-data-checksums"] if new >= 18 else []
    initdb = [f"{programs[1]}/initdb", f"--pgdata={folder}/new/data", f"--username={SUPERUSER}", "--auth=trust"]
    _run([*initdb, *checksums, "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"], folder / "work")
    (folder / "old" / "data" / "pg_hba.conf").write_text(_TRUSTING)
    upgrade = [f"{programs[1]}/pg_upgrade", "--no-sync", f"--username={SUPERUSER}", f"--socketdir={folder}/work"]
    for which, its in zip(("old", "new"), programs, strict=True):
        upgrade += [f"--{which}-bindir={its}", f"--{which}-datadir={folder}/{which}/data"]
    _run(upgrade, folder / "work")


def _programs(major: int, folder: Path) -> Path:
    place = binaries.find("postgres", major).parent
    return runtime.runnable(next(each for each in binaries.folders() if each.bin == place), folder)


def _run(command: list[str], work: Path) -> None:
    user = unprivileged()
    ended = subprocess.run(
        command,
        cwd=work,
        env={"HOME": str(work), "LC_ALL": "C", "PATH": os.environ["PATH"]},
        user=user[0] if user else None,
        group=user[1] if user else None,
        extra_groups=[] if user else None,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if ended.returncode:
        sys.exit(f"{command[0]} ended with {ended.returncode}: {ended.stdout[-2000:]} {ended.stderr[-500:]}")


def _differing(major: int, folder: Path, made: dict[str, str]) -> Iterator[str]:
    with (
        private_server(major, folder / "new", password=PASSWORD, durable=True) as live,
        private_server(major, folder / "beside") as beside,
    ):
        for database, holds in made.items():
            with round_trip(ENGINE, live.to(database), beside.to(f"{database} beside")) as returned:
                for difference in returned.differences:
                    yield f"{holds}: {difference.object}: {' '.join(difference.what.split())}"


if __name__ == "__main__":
    main()
