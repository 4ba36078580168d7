"""Sweep: remove what runs that died left behind, and nothing else."""

from datetime import timedelta

from backproof import scratch
from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.operations.clock import Now, utc_now

_LONGEST_WRITE = timedelta(days=2)
"""An unfinished write younger than this may be at work on another machine; what died on this one goes at once."""


def sweep(fleet: Fleet, plan: str, now: Now = utc_now) -> list[str]:
    """End scratch servers and remove scratch folders and unfinished writes whose makers are gone.

    A store that can't be reached is passed over: the next run sweeps it. Archives, manifests and proofs are never
    touched here.

    Returns:
        What was removed, a line each.
    """
    removed: list[str] = []
    for name in fleet.plan(plan).stores:
        try:
            removed += fleet.store(name).sweep(now() - _LONGEST_WRITE)
        except BackproofError:
            continue
    return removed + scratch.sweep(fleet.scratch_folder)
