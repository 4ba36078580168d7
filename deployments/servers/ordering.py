"""In which order Prefect's server takes events: its own, with a memory that a restart does not end.

An event of a run names the one before it, and waits for that one for up to fifteen minutes. What the server saw before
it was restarted it has forgotten: so whoever fails in the minutes after a restart is told of a quarter of an hour late.
Here what lies in the database from before the start counts as seen.

``PREFECT_SERVER_EVENTS_CAUSAL_ORDERING`` names this module.
"""

from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from prefect.server.database import provide_database_interface
from prefect.server.events.ordering import memory
from prefect.server.events.ordering.memory import EventArrivedEarly
from prefect.server.events.schemas.events import ReceivedEvent

__all__ = ["CausalOrdering", "EventArrivedEarly"]

_STARTED = datetime.now(UTC)


class CausalOrdering(memory.CausalOrdering):
    """Prefect's, that also knows what was seen before it began."""

    async def wait_for_leader(self, event: ReceivedEvent) -> None:
        """Go on at once where the event before this one was handled by the server that ran before."""
        if event.follows is None or not await _lies_from_before(event.follows):
            await super().wait_for_leader(event)


async def _lies_from_before(event: UUID) -> bool:
    """A state has the id of its event, and is in the database at once; other events some seconds later."""
    db = provide_database_interface()
    async with db.session_context() as session:
        state = sa.select(db.FlowRunState.id).where(db.FlowRunState.id == event, db.FlowRunState.timestamp < _STARTED)
        other = sa.select(db.Event.id).where(db.Event.id == event, db.Event.received < _STARTED)
        return any([(await session.execute(query)).first() is not None for query in (state, other)])
