"""The end of a recovery that can neither be gone on with nor be taken back: its server, or its way back, is gone."""

from contextlib import ExitStack

from backproof.errors import BackproofError, Busy, Damaged, Obstructed
from backproof.recovery.context import Recovery
from backproof.recovery.journal import ROLLBACK, WHOLE
from backproof.recovery.rollback import is_live_changed
from backproof.recovery.tables import kept


def left(recovery: Recovery) -> tuple[str, ...]:
    """Databases of its own that are on the server; none where that does not answer. Changes nothing."""
    request, engine = recovery.request, recovery.engine
    names = {"swap": (request.beside, request.aside), "tables": (kept(recovery).database,)}.get(request.mode, ())
    try:
        return tuple(name for name in names if engine.exists(recovery.live.to(name)))
    except BackproofError:
        return ()


def give_up(recovery: Recovery, why: str, by: str) -> str:
    """Write down that it is over. No database is changed, and the application stays as it is.

    Returns:
        How it ended: ``nothing changed`` where nothing of what was live was begun to be changed, else ``rollback
        failed``.

    Raises:
        Obstructed: it has ended.
        Busy: a process is at it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(recovery.alone())
        except (Busy, Damaged):
            raise
        except BackproofError:
            recovery.journal.refresh()  # without its server, nobody can be at it
        if recovery.journal.closed is not None:
            raise Obstructed(f"{recovery.journal.recovery} has ended", "There is nothing to give up.")
        changed = recovery.journal.rolling_back or is_live_changed(recovery)
        result = "rollback failed" if changed else "nothing changed"
        stopped_by = recovery.journal.facts(ROLLBACK, "begun").get("why")
        told = f"given up by {by}: {why}"
        recovery.journal.write(
            WHOLE, "closed", {"result": result, "why": f"{stopped_by}; {told}" if stopped_by else told, "problems": []}
        )
    return result
