"""``make sweep``: kill -9 at many moments of a seal, a copy, a proof, a restore, a replication; see what is left.

``python -m tests.sweep --engine postgresql,mariadb --operation seal,copy,proof,restore,replicate --moments 50``

Half of the moments are counted in what the process does, half in seconds. Who dies takes turns: our process alone, with
all that it started, or one of its programs. ``--moments all`` takes each step that is counted. A replication
knows no engine. Ends with a table, and with 1 where anything was lost, left or mistaken.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from deployments.servers.seaweedfs import S3Server, start
from tests.support.fleets import described
from tests.support.killing import Victim, each_step, moments
from tests.support.killing_replication import ReplicationVictim
from tests.support.kinds import KINDS, Kind
from tests.support.replicas import folder as near
from tests.support.replicas import region
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY

OPERATIONS = ("seal", "copy", "proof", "restore")
REPLICATE = "replicate"
COLUMNS = ("engine", "operation", "moments", "committed", "half", "nothing", "resumed", "violations", "one run")


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    kinds = {kind.engine: kind for kind in KINDS}
    found = []
    with tempfile.TemporaryDirectory(prefix="sweep-") as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "s3").mkdir()
        s3 = start(folder / "s3", ACCESS_KEY, SECRET_KEY, [BUCKET])
        stack.callback(s3.stop)
        operations = options.operation.split(",")
        for engine in options.engine.split(",") if set(operations) - {REPLICATE} else []:
            with served(kinds[engine]) as description:
                for operation in operations:
                    if operation != REPLICATE:
                        place = folder / f"{engine}-{operation}"
                        place.mkdir()
                        fleet = description(place, s3)
                        with closing(Victim(kinds[engine], fleet, place, operation, {"far": s3})) as victim:
                            found.append(swept(victim, f"{engine} {operation}", options))
        if REPLICATE in operations:
            stores = {"near": near(folder / "near"), "one": region(s3, "one"), "two": region(s3, "two")}
            with closing(ReplicationVictim(stores, folder, {"one": s3, "two": s3})) as victim:
                found.append(swept(victim, f"- {REPLICATE}", options))
    print("\n".join(table(found)))
    return 1 if any(row["violations"] for row in found) else 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.sweep", description=__doc__)
    made.add_argument("--engine", default=",".join(kind.engine for kind in KINDS))
    made.add_argument("--operation", default=",".join((*OPERATIONS, REPLICATE)))
    made.add_argument("--moments", default="50", help="of each operation on each engine; all: each step of it")
    made.add_argument("--begin", type=float, default=0.0, help="spread them from here on, such as 0.9: the last tenth")
    return made


@contextmanager
def served(kind: Kind) -> Iterator[Any]:
    """A server of this kind with a small database; gives what makes a fleet of it."""

    def description(place: Path, s3: S3Server) -> dict[str, Any]:
        stores = {
            "near": {"type": "local", "path": str(place / "near")},
            "far": {
                "type": "s3",
                "bucket": BUCKET,
                "region": REGIONS[0],
                "prefix": place.name,
                "endpoint_url": s3.endpoint_url,
            },
        }
        return described(shop, place, stores, credentials=(ACCESS_KEY, SECRET_KEY), engine=kind.engine)

    with kind.private() as server, kind.fresh() as fresh:
        shop = fresh(server, kind.shop.replace("20000", "200") + kind.files)
        yield description


def swept(victim: Victim | ReplicationVictim, what: str, options: argparse.Namespace) -> dict[str, Any]:
    """All deaths of one operation, as a row of the table."""
    begun, outcomes, resumed, violations = time.monotonic(), Counter[str](), 0, 0
    at = each_step(victim.steps) if options.moments == "all" else moments(int(options.moments), options.begin)
    for number, moment in enumerate(at, 1):
        try:
            outcome = victim.kill(moment)
        except Exception as error:  # whatever it is, it is a finding, and the next moment finds others
            violations += 1
            told(f"VIOLATION in {what} at {moment}: {type(error).__name__}: {error}")
            victim.reset()
            continue
        outcomes[outcome.left] += 1
        resumed += outcome.resumed
        spent = time.monotonic() - begun
        told(f"{what} {number}/{len(at)} ({spent:.0f} s): {moment}: {outcome.left}", end="\r")
    print(file=sys.stderr)
    left = {each: outcomes[each] for each in ("committed", "half", "nothing")}
    engine, operation = what.split()
    named = {"engine": engine, "operation": operation, "moments": len(at)}
    return {**named, **left, "resumed": resumed, "violations": violations, "one run": f"{victim.seconds:.1f} s"}


def told(what: str, end: str = "\n") -> None:
    print(f"\x1b[K{what}" if sys.stderr.isatty() else what, end=end if sys.stderr.isatty() else "\n", file=sys.stderr)


def table(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    return lines + ["| " + " | ".join(str(row[name]) for name in COLUMNS) + " |" for row in rows]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
