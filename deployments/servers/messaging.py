"""How the parts of Prefect's server hand messages on: its own way, in memory, but no action twice for one event.

A trigger that fires first hands its actions over, and writes down afterwards that it has. Where the database refuses to
write ("database is locked", says SQLite on a busy machine) the server takes the event again, three times at most, and
all triggers of the event fire again: people are told up to four times, or never where a trigger before theirs fails
each time. Here an action that was handed over for an event is not handed over for it again, and an event is taken again
more often.

``PREFECT_SERVER_EVENTS_MESSAGING_BROKER`` names this module.
"""

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

from prefect.server.utilities.messaging import memory
from prefect.server.utilities.messaging.memory import Subscription, Topic, break_topic, ephemeral_subscription

__all__ = ["Consumer", "Publisher", "break_topic", "ephemeral_subscription"]

_ACTIONS = "actions"
_AGAIN = 30
"""So often a message is tried again. A write is refused where another one came in between: at random."""

Occasion = tuple[str, int, str]
"""Automation, which of its actions, and the event."""

_handed_over: deque[Occasion] = deque(maxlen=1_000)
"""The latest: an event that is taken again is taken at once."""


class Publisher(memory.Publisher):
    """Prefect's, that remembers for which event an action was handed over."""

    async def publish_data(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """Hand a message over, unless it is an action that was."""
        occasion = _occasion(data) if self.topic.name == _ACTIONS else None
        if occasion in _handed_over:
            return
        await super().publish_data(data, attributes)
        if occasion is not None:
            _handed_over.append(occasion)


class Consumer(memory.Consumer):
    """Prefect's, that does not give a message up so soon."""

    def __init__(self, topic: str, subscription: Subscription | None = None, **options: Any) -> None:
        super().__init__(topic, subscription or Topic.by_name(topic).subscribe(max_retries=_AGAIN), **options)


def _occasion(data: bytes) -> Occasion | None:
    """None where no event led to the action: that none came, say, which may happen again and again."""
    action = json.loads(data)
    event = action["triggering_event"]
    return event and (action["automation"]["id"], action["action_index"], event["id"])
