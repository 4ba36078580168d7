"""Kill -9 at every step of retention, on a folder and a region: what is to stay stays, and the next run converges."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from backproof.fleet import Fleet
from backproof.naming import MANIFEST, REMOVAL, key
from backproof.operations.prune import prune
from backproof.operations.sweep import sweep
from backproof.records import Removal
from deployments.servers.seaweedfs import S3Server
from tests.support.dying import load
from tests.support.fleets import PLAN, described
from tests.support.histories import NOWHERE, age, days_ago, put
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY

CHECKOUT = Path(__file__).parents[2]

Everything = dict[str, dict[str, int]]
"""Store name to the length of what it holds, by key; nothing that is there is ever written again."""


class Victim:
    """A plan with something due and something left over, pruned in a process that dies, again and again."""

    def __init__(self, folder: Path, region: S3Server) -> None:
        stores = {
            "near": {"type": "local", "path": str(folder / "near")},
            "far": {
                "type": "s3",
                "bucket": BUCKET,
                "region": REGIONS[0],
                "prefix": f"t-{token_hex(6)}",
                "endpoint_url": region.endpoint_url,
            },
        }
        self.file = folder / "fleet.yaml"
        self.file.write_text(json.dumps(described(NOWHERE, folder, stores, (ACCESS_KEY, SECRET_KEY), minimum_proven=1)))
        self.fleet: Fleet = load(self.file)
        put(self.fleet, days_ago(1))
        kept = self.held()
        self.due = put(self.fleet, days_ago(40))
        left = put(self.fleet, days_ago(5), proven=False, stores=["near"])
        self.fleet.store("near").delete(key(left))
        mark = Removal(plan=PLAN, backup=left.id, kind="daily", why="leftover", decided_at=days_ago(3))
        self.fleet.store("near").put(key(left.with_part(REMOVAL)), [self.fleet.signer.sign(mark)])
        age(self.fleet, "near", 4)
        self.before, self.after = self.held(), kept
        shutil.copytree(folder / "near", folder / "near-before")
        self.folder = folder

    def held(self) -> Everything:
        return {
            name: {each.key: each.length for each in self.fleet.store(name).list(f"{PLAN}/")}
            for name in ("near", "far")
        }

    def reset(self) -> None:
        shutil.rmtree(self.folder / "near")
        shutil.copytree(self.folder / "near-before", self.folder / "near")
        far = self.fleet.store("far")
        there = {each.key for each in far.list(f"{PLAN}/")}
        for each in there - self.before["far"].keys():
            far.delete(each)
        for each in self.before["far"].keys() - there:
            far.put(each, self.fleet.store("near").read(each))  # which are the same

    def expect_nothing_lost(self) -> None:
        held = self.held()
        for store, kept in self.after.items():
            assert kept.items() <= held[store].items(), "what is to stay has changed"
            assert held[store].keys() - self.before[store].keys() <= {key(self.due.with_part(REMOVAL))}
            parts = {each.partition(".")[2] for each in held[store] if self.due.id in each}
            assert MANIFEST not in parts or "sql.gz.enc" in parts, "an archive went before its manifest"


@contextmanager
def dying(file: Path) -> Iterator[Any]:
    """What runs a prune that dies at a step; gives how many steps it took where it did not die."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.dying", str(file), "prune"],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(step: int | None) -> int | None:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps({"token": "LC_NOBODY=1", "step": step, "whom": "process"}) + "\n")
        process.stdin.flush()
        told: dict[str, Any] = {}
        while "ended" not in told:
            told |= json.loads(process.stdout.readline())
        assert not told.get("unexpected"), told["unexpected"]
        return told.get("steps")

    try:
        yield run
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_any_step_it_loses_nothing_and_the_next_run_converges(
    tmp_path: Path, regions: tuple[S3Server, S3Server]
) -> None:
    victim = Victim(tmp_path, regions[0])
    with dying(victim.file) as run:
        steps = run(None)
        assert victim.held() == victim.after, "a run that is not killed does it all"
        died = 0
        for step in range(steps):
            victim.reset()
            died += run(step) is None
            victim.expect_nothing_lost()
            sweep(victim.fleet, PLAN)
            assert prune(victim.fleet, PLAN).problems == ()
            assert victim.held() == victim.after, f"killed at step {step}"
    assert died > 0.9 * steps
