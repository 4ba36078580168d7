"""What a recovery has set aside: discarded once it is kept elsewhere, and what goes with it is told first."""

from dataclasses import dataclass

from backproof import catalog
from backproof.errors import NotFound, Obstructed
from backproof.records import Obstacle
from backproof.recovery.context import Recovery
from backproof.recovery.report import report


@dataclass(frozen=True)
class Remains:
    """What would go."""

    database: str
    safety_backup: str | None
    """The proven backup of it."""
    with_it: tuple[Obstacle, ...]
    """Slots, subscriptions and the like that are its own."""


def remains(recovery: Recovery) -> Remains:
    """What a recovery has set aside. Changes nothing.

    Raises:
        NotFound: nothing, or not any more.
        Obstructed: the recovery has not ended, or no proven backup holds what would go.
    """
    if recovery.journal.closed is None:
        raise Obstructed(f"{recovery.journal.recovery} has not ended", "Resume it, or take it back, first.")
    made = report(recovery.journal, recovery.manifest(), recovery.fleet.plan(recovery.plan).objectives.rto)
    if made.set_aside is None or not recovery.engine.exists(recovery.live.to(made.set_aside)):
        raise NotFound(f"nothing of {made.recovery} is set aside", "There is nothing to discard.")
    step = "keep" if made.result == "recovered" else "back-safety"
    backup = recovery.journal.facts(step).get("backup")
    if backup is not None and _is_gone(recovery, str(backup)):
        raise Obstructed(
            f"no store has {backup} any more, the backup of {made.set_aside}",
            f"It is all that is left of it. Where nobody needs it, drop {made.set_aside} by hand.",
        )
    proven = backup is not None and catalog.find(recovery.fleet, recovery.plan, str(backup))[0][0].proven_at
    if not proven:
        raise Obstructed(
            f"no proven backup holds what {made.set_aside} does",
            f"backproof recover --resume {made.recovery} seals and proves it, where that failed before."
            if backup is None
            else f"backproof verify {recovery.plan} --backup {backup}",
        )
    target = recovery.live.to(made.set_aside)
    return Remains(
        database=made.set_aside,
        safety_backup=str(backup),
        with_it=tuple(each for each in recovery.engine.obstacles(target) if each.acceptable),
    )


def _is_gone(recovery: Recovery, backup: str) -> bool:
    try:
        catalog.find(recovery.fleet, recovery.plan, backup)
    except NotFound:
        return True
    return False


def discard(recovery: Recovery, what: Remains) -> None:
    """Remove it, where it still is what was shown.

    Raises:
        Busy: a process is at the recovery, such as one that takes it back.
        Obstructed, NotFound: as ``remains``; or it is another database by now.
    """
    recovery.require_its_server()
    with recovery.alone():
        if remains(recovery).database != what.database:
            raise Obstructed(f"{what.database} is not what is set aside any more", "Ask again.")
        recovery.journal.write("discard", "begun", {"database": what.database, "backup": what.safety_backup})
        recovery.engine.drop(recovery.live.to(what.database))
        recovery.journal.write("discard", "done", {"database": what.database})
