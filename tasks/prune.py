"""Prune, as a task."""

import logging

from backproof.operations import prune as operation
from backproof.operations.prune import Pruned
from backproof.recovery.needing import needed
from blocks import load_fleet
from tasks import stopping, words
from tasks.steps import log, step


@step("prune {plan}")
def prune(plan: str, dry_run: bool = False) -> Pruned:
    """Delete what the plan's retention no longer keeps, from every store.

    Args:
        plan: whose backups.
        dry_run: change nothing, and tell what would be done.
    """
    fleet = load_fleet(plan)
    pruned = operation.prune(fleet, plan, dry_run, stopping.now, lambda: needed(fleet, plan))
    for problem in pruned.problems:
        log(f"{plan}: {problem}", logging.WARNING)
    gone = sum(bool(each.stores) for each in (*pruned.removed, *pruned.leftovers))
    verb = "would be deleted" if dry_run else "deleted"
    log(f"{plan}: {gone} {verb}, {words.size(pruned.freed_bytes)} in all stores; {len(pruned.kept)} kept")
    return pruned
