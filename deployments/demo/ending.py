"""What the demo leaves on the screen: one short table, and where to look next."""

import shutil
import sys
from pathlib import Path

from deployments.cli import speaking
from deployments.cli.findings import print_timings
from deployments.cli.wording import size
from deployments.demo.servers import Demo
from deployments.demo.story import RESCUED, Told


def document(told: Told, demo: Demo, kept: bool) -> dict[str, object]:
    """For ``--json``."""
    return {
        "backup": told.backup,
        "verdict": told.outcome,
        "reason": told.reason,
        "copies": list(told.copies),
        "stored_bytes": told.stored_bytes,
        "live_bytes": told.live_bytes,
        "rescued_rows": told.rows,
        "second_act": told.second_act,
        "timings": [timing.model_dump(mode="json") for timing in told.timings],
        "ui_url": demo.ui_url if kept else None,
        "fleet": str(demo.fleet),
    }


def program() -> str:
    """What to type for this command: where it was found, unless by its name."""
    name = Path(sys.argv[0]).name
    return name if shutil.which(name) == sys.argv[0] else sys.argv[0]


def show(told: Told, demo: Demo, kept: bool) -> None:
    """For a person."""
    speaking.say("")
    print_timings(told.timings)
    speaking.say("")
    speaking.print_facts(
        {
            "Backup": f"{told.backup}, {size(told.stored_bytes)} of a database of {size(told.live_bytes)}",
            "Copies": ", ".join(told.copies),
            "Verdict": f"{told.outcome}: {told.reason}",
            "Rescued": f"order_items, {told.rows:,} rows, equal by digest, in database {RESCUED}",
            "MariaDB": told.second_act or "not installed here: apt-get install mariadb-server-core mariadb-client",
        }
    )
    if kept:
        speaking.say("")
        speaking.print_facts(
            {
                "Prefect UI": demo.ui_url,
                "Try": f"{program()} --fleet {demo.fleet} list shop",
                "End it": f"{program()} demo --stop",
            }
        )
