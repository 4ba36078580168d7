"""``backproof status`` over two regions, one of which goes down, and without any Prefect; at a terminal."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from backproof.records import Target
from deployments.cli import main
from deployments.servers.seaweedfs import S3Server
from tests.support.committed import commit
from tests.support.fleets import PLAN, built, described
from tests.support.proxy import Proxy
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY

NOWHERE = Target(host="127.0.0.1", port=1, database="shop", user="nobody")
PROGRAM = str(Path(sys.executable).with_name("backproof"))
LATELY = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)


def fleet_file(folder: Path, urls: dict[str, str]) -> tuple[Path, dict[str, Any]]:
    """A fleet whose plan has a store in each region, below a prefix of its own."""
    prefix = f"t-{token_hex(6)}"
    stores = {
        region: {"type": "s3", "bucket": BUCKET, "region": region, "endpoint_url": url, "prefix": prefix}
        for region, url in urls.items()
    }
    description = described(NOWHERE, folder, stores, credentials=(ACCESS_KEY, SECRET_KEY))
    path = folder / "fleet.yaml"
    path.write_text(yaml.safe_dump(description))
    path.chmod(0o600)
    return path, description


def status(fleet: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(main, ["--fleet", str(fleet), "status", *arguments])
    assert SECRET_KEY not in result.output
    return result


def test_the_stores_alone_say_how_a_plan_stands_while_one_is_down(
    tmp_path: Path, regions: tuple[S3Server, S3Server]
) -> None:
    with Proxy(regions[1].endpoint_url) as second:
        urls = dict(zip(REGIONS, (regions[0].endpoint_url, second.url), strict=True))
        path, description = fleet_file(tmp_path, urls)
        fleet = built(description, tmp_path)
        for day in range(1, 5):
            commit(fleet, PLAN, LATELY - timedelta(days=day), REGIONS)
        late = status(path, "--check")
        assert (late.exit_code, late.output[:7]) == (1, "FAILED:"), late.output
        commit(fleet, PLAN, LATELY, REGIONS)
        well = status(path, "--check")
        assert (well.exit_code, well.output) == (0, "")
        metrics = tmp_path / "backproof.prom"
        assert status(path, "--prometheus", str(metrics)).exit_code == 0
        assert f'backproof_rpo_met{{fleet="tests",plan="{PLAN}"}} 1.0' in metrics.read_text().splitlines()
    down = status(path, "--check", "--json")
    assert down.exit_code == 3, down.output
    (plan,) = json.loads(down.stdout)["plans"]
    assert (plan["status"], plan["rpo_met"]) == ("degraded", True)
    assert [copy["state"] for copy in plan["copies"]] == ["good", "unknown"]
    assert [problem["kind"] for problem in plan["problems"]] == ["store"]
    assert plan["recovery_test"] == {"last": None, "this_quarter": None, "scheduled": True}


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_at_a_terminal_it_has_colours_unless_they_are_unwanted(tmp_path: Path, no_color: str, coloured: bool) -> None:
    description = described(NOWHERE, tmp_path)
    path = tmp_path / "fleet.yaml"
    path.write_text(yaml.safe_dump(description))
    path.chmod(0o600)
    commit(built(description, tmp_path), PLAN, LATELY, ("near", "far"))
    ours, theirs = os.openpty()
    try:
        finished = subprocess.run(
            [PROGRAM, "--fleet", str(path), "status"],
            env={
                **os.environ,
                "PREFECT_API_URL": "http://127.0.0.1:1/api",
                "TERM": "xterm-256color",
                "COLUMNS": "130",
                "NO_COLOR": no_color,
            },
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.DEVNULL,
        )
        shown = b""
        while b" UTC." not in shown:
            shown += os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)
    assert finished.returncode == 0
    assert (b"\x1b[32mok" in shown) == coloured
    assert b"1 plan: 1 ok." in shown
