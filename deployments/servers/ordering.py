"""In which order Prefect's server takes events: its own, with a memory that a restart does not end.

An event of a run names the one before it, and waits for that one for up to fifteen minutes. What the server saw before
it was restarted it has forgotten, and of what its scheduler does there is no event: so whoever fails in the minutes
after a restart, or after a schedule was made, is told of a quarter of an hour late. Here what lies in the database from
before the start, or from the scheduler, counts as seen.

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
    """Prefect's, that also knows what it can't have seen."""

    async def wait_for_leader(self, event: ReceivedEvent) -> None:
        """Go on at once where the event before this one will not come."""
        if event.follows is None or not await _will_not_come(event.follows):
            await super().wait_for_leader(event)


async def _will_not_come(event: UUID) -> bool:
    """A state has the id of its event, and is in the database at once; other events some seconds later."""
    db = provide_database_interface()
    unseen = sa.or_(
        db.FlowRunState.timestamp < _STARTED, sa.and_(db.FlowRun.auto_scheduled, db.FlowRunState.name == "Scheduled")
    )
    state = sa.select(db.FlowRunState.id).join(db.FlowRun, db.FlowRun.id == db.FlowRunState.flow_run_id)
    other = sa.select(db.Event.id).where(db.Event.id == event, db.Event.received < _STARTED)
    async with db.session_context() as session:
        queries = (state.where(db.FlowRunState.id == event, unseen), other)
        return any([(await session.execute(query)).first() is not None for query in queries])
