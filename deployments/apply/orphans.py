"""Backups of plans that are no longer in the file: nobody deletes them, and nobody looks after them either."""

from collections.abc import Sequence
from dataclasses import dataclass

from backproof import catalog
from backproof.errors import BackproofError
from blocks import load_fleet


@dataclass(frozen=True)
class Orphaned:
    """What a plan that is gone has left in its stores."""

    plan: str
    stores: Sequence[str]
    """Its stores, by location."""
    backups: Sequence[str]
    """Ids, newest first."""
    unknown: str | None
    """Why nothing, or not everything, is known of them; None where all is."""


def orphaned(plan: str) -> Orphaned:
    """Look for the backups of a plan whose block is still there. Call it before the block is removed."""
    try:
        fleet = load_fleet(plan, from_blocks=True)
        found = catalog.listing(fleet, plan)
        places = [store.location() for store in fleet.stores(plan)]
    except BackproofError as error:
        return Orphaned(plan, (), (), error.fact)
    unreachable = "; ".join(f"store {store} could not be asked: {error.fact}" for store, error in found.unreachable)
    return Orphaned(plan, places, [backup.id for backup in found.backups], unreachable or None)
