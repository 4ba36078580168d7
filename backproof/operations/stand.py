"""Stand: how a plan stands against its recovery point objective, read from its stores."""

from collections.abc import Callable
from datetime import datetime

from backproof import catalog
from backproof.alarms import Standing, standing
from backproof.errors import NotFound
from backproof.fleet import Fleet
from backproof.operations.clock import utc_now
from backproof.records import Backup


def stand(fleet: Fleet, plan: str, first_applied: datetime, now: Callable[[], datetime] = utc_now) -> Standing:
    """Read a plan's newest proven backup, and hold it against what the plan promises.

    Raises:
        BackproofError: no store of the plan could be asked.
    """
    newest, doubts = newest_proven(fleet, plan)
    return standing(plan, newest, first_applied, fleet.plan(plan).objectives, now(), doubts)


def newest_proven(fleet: Fleet, plan: str) -> tuple[Backup | None, tuple[str, ...]]:
    """A plan's newest proven backup, and a sentence for each store that could not be asked.

    Raises:
        BackproofError: none could.
    """
    fleet.plan(plan)
    try:
        chosen, doubts = catalog.find(fleet, plan, "latest-proven")
        return chosen[0], doubts
    except NotFound:
        found = catalog.listing(fleet, plan)
    if len(found.unreachable) == len(fleet.plan(plan).stores):
        raise found.unreachable[0][1]
    proven = next((backup for backup in found.backups if backup.proven_at), None)
    return proven, tuple(f"Store {name} could not be asked: {error.fact}." for name, error in found.unreachable)
