"""Sweep, as a task."""

from backproof.operations import sweep as operation
from blocks import load_fleet
from tasks import stopping
from tasks.steps import log, step


@step("sweep", retries=0)
def sweep(plan: str) -> list[str]:
    """Remove what runs that were killed left behind: scratch servers, temporary files, unfinished uploads."""
    removed = operation.sweep(load_fleet(plan), plan, stopping.now)
    for line in removed:
        log(f"swept: {line}")
    return removed
