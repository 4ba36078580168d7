"""What people add to a recovery's journal."""

from contextlib import ExitStack

from backproof.errors import BackproofError, Busy, Damaged
from backproof.recovery.context import Recovery
from backproof.recovery.entries import Facts, JournalEntry


def note(recovery: Recovery, step: str, facts: Facts) -> JournalEntry:
    """Write it down, not while a process is at the recovery: that one counts its entries, and would stop.

    Raises:
        Busy: one is.
    """
    name = recovery.journal.recovery
    with ExitStack() as stack:
        try:
            stack.enter_context(recovery.alone())
        except Busy as error:
            raise Busy(
                f"{name} is being carried out: {error.fact}",
                "Note it once that has ended; `tick --at` takes the moment at which it was done.",
            ) from None
        except Damaged:
            raise
        except BackproofError:
            recovery.journal.refresh()  # without its server, nobody can be at it
        return recovery.journal.write(step, "noted", facts)
