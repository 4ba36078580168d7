"""Which backups a recovery that has not ended needs: retention must not delete them."""

from backproof.fleet import Fleet
from backproof.operations.clock import Now, utc_now
from backproof.recovery.journal import WHOLE, journals
from backproof.recovery.naming import What

_TOLD: tuple[What, ...] = ("noted", "done")


def needed(fleet: Fleet, plan: str, now: Now = utc_now) -> dict[str, str]:
    """Backup's id to why it must stay for now; by the journals in the plan's stores.

    Raises:
        BackproofError: no store could be asked.
    """
    found: dict[str, str] = {}
    known, _ = journals(fleet.stores(plan), fleet.signer, plan, now)
    for each in known:
        if each.closed is None:
            taken = (each.facts(step, what).get("backup") for step in ("safety", "keep") for what in _TOLD)
            for backup in (each.facts(WHOLE, "opened").get("backup"), *taken):
                if backup is not None:
                    found[str(backup)] = f"{each.recovery} has not ended"
    return found
