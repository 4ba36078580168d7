"""``python -m tests.zoo.mariadb_samples FILE.sql …``: others' databases, each sealed, proven and restored.

The stock client loads a script into a private server. The schema it makes (``sample``, where it makes none) is sealed
into two folders, proven from the second, restored under another name, and compared by the server's own catalogue.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from backproof.engines.mysql.binaries import find
from backproof.engines.mysql.dumptool import ENVIRONMENT, option_file
from backproof.operations.copy import copy
from backproof.operations.prove import prove
from backproof.operations.restore import restore
from backproof.operations.seal import seal
from backproof.records import Proof, Target
from tests.support.fleets import PLAN, fleet_of
from tests.support.mariadb_fixtures import drop, execute, server
from tests.zoo import mariadb_inventory

_OWN = ("mysql", "sys", "information_schema", "performance_schema")


@dataclass(frozen=True)
class Outcome:
    """What became of one script's schema."""

    schema: str
    objects: int
    rows: int
    proof: Proof
    differing: list[str]
    seconds: float


def travelled(target: Target, script: bytes, folder: Path) -> Outcome:
    """Load, seal, copy, prove, restore beside, compare; then drop both.

    Raises:
        AssertionError: the stock client refuses the script.
        BackproofError: as the operations tell.
    """
    live = _loaded(target, script)
    begun = time.monotonic()
    try:
        fleet = fleet_of(live, folder, engine="mariadb")
        sealed = seal(fleet, PLAN, "daily").manifest
        copy(fleet, PLAN, sealed.id, "near", "far")
        proof = prove(fleet, PLAN, sealed.id, "far")
        beside = live.to(f"{live.database}_restored")
        restore(fleet, PLAN, sealed.id, beside.database, accept_mentions=True)
        seconds = time.monotonic() - begun
        names = (live.database, beside.database)
        differing = mariadb_inventory.different(*(mariadb_inventory.take(each, names) for each in (live, beside)))
        rows = sum(table.rows for table in sealed.tables)
        return Outcome(live.database, mariadb_inventory.objects(live), rows, proof, differing, seconds)
    finally:
        drop(target, live.database)
        drop(target, f"{live.database}_restored")


def _loaded(target: Target, script: bytes) -> Target:
    before = _schemas(target)
    execute(target, "CREATE DATABASE sample")
    client = find("dump", "mariadb").with_name("mariadb")
    with option_file(target, "mariadb") as options:
        argv = [client, f"--defaults-file={options}", "--default-character-set=utf8mb4", "sample"]
        done = subprocess.run(argv, input=script, capture_output=True, env=ENVIRONMENT, check=False)
    if done.returncode:
        drop(target, "sample")
        raise AssertionError(f"the stock client refuses it: {done.stderr.decode(errors='replace')[-300:]}")
    made = sorted(_schemas(target) - before - {"sample"})
    if made:
        drop(target, "sample")
    return target.to((made or ["sample"])[0])


def _schemas(target: Target) -> set[str]:
    return {name for (name,) in execute(target, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA")} - set(_OWN)


def main() -> None:
    """Each in turn, a line of a table each."""
    print("| script | objects | rows | verdict | the server's own catalogue | seconds |\n|---|---|---|---|---|---|")
    with server(settings={"log_bin_trust_function_creators": "1"}) as target:
        for name in sys.argv[1:]:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    of = travelled(target, Path(name).read_bytes(), Path(folder))
                except Exception as error:
                    print(f"| {Path(name).name} | | | {type(error).__name__}: {str(error)[:300]} | | |")
                    continue
            verdict = of.proof.verdict if of.proof.verdict == "passed" else f"{of.proof.verdict}: {of.proof.reason}"
            found = "; ".join(of.differing[:3]) or "equal"
            print(
                f"| {Path(name).name} | {of.objects} | {of.rows:,} | {verdict} | {found} | {of.seconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
