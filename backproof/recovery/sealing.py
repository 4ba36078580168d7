"""The safety backups of a recovery: of what is live before it is replaced, and of what was set aside afterwards.

A backup that is under way holds the plan's lock. It is waited for: it may be the scheduled one of just now, and is no
reason to leave a database lost.
"""

from datetime import timedelta

from backproof.errors import Busy, DumpFailed, Obstructed, Permanent, RestoreFailed
from backproof.operations.copy import copy
from backproof.operations.prove import prove
from backproof.operations.seal import Sealed, seal
from backproof.recovery.context import Recovery
from backproof.recovery.entries import Facts

PATIENCE = timedelta(hours=1)
"""So long a backup that is under way is waited for."""
BETWEEN = timedelta(seconds=5)
_TOLD_EVERY = 12
"""Looks: once a minute."""


def not_sealed(recovery: Recovery) -> str:
    """Why there is no safety backup to be sealed; empty: there is."""
    return recovery.request.no_safety_backup or ("there is no live database" if recovery.request.lost else "")


def safety(recovery: Recovery) -> Facts:
    """A backup of the live database as it is, before it is replaced."""
    request = recovery.request
    if why := not_sealed(recovery):
        return {"backup": None, "why not": why}
    try:
        sealed = sealed_when_free(recovery)
    except DumpFailed as error:
        # A view on a table that was dropped keeps all from being dumped; what is set aside is not lost by that.
        if request.mode == "tables":
            unsealed = "or say why there is none: --no-safety-backup '…'; then nothing is taken back."
            raise DumpFailed(error.fact, f"{error.remedy.rstrip('.')}; {unsealed}") from None
        if request.mode != "swap":
            raise
        return {"backup": None, "why not": str(error)}
    return {"backup": sealed.manifest.id, "store": sealed.store, "degraded": list(sealed.degraded)}


def proven_safety(recovery: Recovery) -> Facts:
    """A safety backup that was proven, since what it holds is about to be dropped."""
    facts = recovery.journal.facts("safety", "noted") or safety(recovery)
    if facts["backup"] is None:
        return facts
    recovery.journal.write("safety", "noted", facts)  # a second attempt proves the first one's backup
    return {**facts, **proven(recovery, str(facts["backup"]), str(facts["store"]))}


def keep(recovery: Recovery) -> Facts:
    """Seal and prove what was set aside: the last state before the swap."""
    facts = recovery.journal.facts("keep", "noted")
    if not facts:
        sealed = sealed_when_free(recovery, recovery.request.aside)
        restored = {table.name: table.rows for table in recovery.manifest().tables}
        aside = {table.name: table.rows for table in sealed.manifest.tables}
        facts = {
            "backup": sealed.manifest.id,
            "store": sealed.store,
            "rows written since the backup": {
                table: aside.get(table, 0) - restored.get(table, 0)
                for table in sorted(aside.keys() | restored.keys())
                if aside.get(table, 0) != restored.get(table, 0)
            },
        }
        recovery.journal.write("keep", "noted", facts)
    return {**facts, **proven(recovery, str(facts["backup"]), str(facts["store"]))}


def proven(recovery: Recovery, backup: str, sealed_into: str) -> Facts:
    """Copied to every other store of the plan that takes it, and proven."""
    fleet, plan = recovery.fleet, recovery.plan
    missing = []
    for store in fleet.plan(plan).stores:
        if store != sealed_into:
            try:
                copy(fleet, plan, backup, sealed_into, store, now=recovery.around.now)
            except Permanent as error:
                missing.append(f"{store}: {error.fact}")
    proof = prove(fleet, plan, backup, sealed_into, recovery.around.now)
    if proof.verdict != "passed":
        raise RestoreFailed(
            f"the safety backup {backup} is not proven: {proof.reason}",
            "What it holds must not be deleted before a backup of it is proven.",
        )
    return {"proven": True, "missing copies": list(missing)}


def sealed_when_free(recovery: Recovery, database: str | None = None) -> Sealed:
    """A safety backup, once no other backup of the plan is under way.

    Args:
        recovery: whose it is.
        database: another than the plan's own.

    Raises:
        Obstructed: one goes on and on.
    """
    wait_for_backups(recovery)
    return seal(recovery.fleet, recovery.plan, "safety", recovery.around.now, database=database)


def wait_for_backups(recovery: Recovery) -> None:
    """Until none of the plan is under way. Says what it waits for, and stops when the recovery does.

    Raises:
        Busy: the recovery is ending.
        Obstructed: it has waited for as long as it may.
    """
    plan, around = recovery.plan, recovery.around
    if not_sealed(recovery):
        return
    for look in range(PATIENCE // BETWEEN):
        try:
            with recovery.engine.lock(recovery.fleet.target(plan), plan):
                return
        except Busy as error:
            if around.ending.is_set():
                raise
            if look % _TOLD_EVERY == 0:
                minutes = look * BETWEEN // timedelta(minutes=1)
                recovery.say(f"{error.fact}: a backup is under way; waiting for it ({minutes} minutes so far)")
            around.sleep(BETWEEN.total_seconds())
    raise Obstructed(
        f"a backup of plan {plan} has been under way for {PATIENCE // timedelta(minutes=1)} minutes",
        "End it, or wait for it to end, and recover then.",
    )
