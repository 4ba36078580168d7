"""What became of a fleet's runs, as Prefect's database tells it, and which messages that is worth."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_STATES = """
    SELECT flow_run.id, flow_run.name, deployment.name, flow_run_state.name, flow_run_state.type,
           flow_run_state.timestamp, flow_run_state.id = flow_run.state_id, flow_run_state.message
    FROM flow_run_state
    JOIN flow_run ON flow_run.id = flow_run_state.flow_run_id
    JOIN deployment ON deployment.id = flow_run.deployment_id
    ORDER BY flow_run_state.timestamp
"""
_TOLD_OF = {
    "Crashed": "was lost",
    "Degraded": "is degraded",
    "Failed": "failed",
    "TimedOut": "failed",
    "Overdue": "no proven backup in time",
}
"""What docs/alerts.md says of each state that a run may end in; of no other anything is told."""
LAPSE = _TOLD_OF["Overdue"]
_RUN = re.compile(r"/runs/flow-run/([0-9a-f-]{36})$", re.MULTILINE)

Event = tuple[str, str]
"""A run's id, and what is said of it."""


@dataclass(frozen=True)
class Entered:
    """A state that a run came into."""

    run: str
    name: str
    """The run's."""
    deployment: str
    state: str
    type: str
    at: datetime
    now: bool
    """Whether the run is in it still."""
    message: str

    @property
    def event(self) -> Event | None:
        """What is to be told of it, once, to who is told of trouble."""
        if self.state == "Late" and self.deployment.endswith(".deadline"):
            return self.run, LAPSE
        said = _TOLD_OF.get(self.state)
        return (self.run, said) if said else None


def states(ask: Callable[[str], Iterable[tuple[Any, ...]]]) -> list[Entered]:
    """Every state that a run of any deployment was ever in, in order.

    Args:
        ask: the rows that a query of the Prefect server's database finds; the server need not run.
    """
    return [_entered(*row) for row in ask(_STATES)]


def events(entered: Iterable[Entered]) -> Counter[Event]:
    """What is to be told of all that."""
    return Counter(each.event for each in entered if each.event)


def told(messages: Iterable[Mapping[str, Any]]) -> Counter[Event]:
    """What was told, by messages of a webhook."""
    return Counter(_told(message) for message in messages)


def _told(message: Mapping[str, Any]) -> Event:
    subject, found = str(message["subject"]), _RUN.search(str(message["body"]))
    assert found, message
    said = next((each for each in _TOLD_OF.values() if subject.endswith(each)), subject)
    return found[1], said


def _entered(
    run: str, name: str, deployment: str, state: str, kind: str, at: datetime, now: bool, message: str | None
) -> Entered:
    return Entered(run, name, deployment, state, kind, at.astimezone(UTC), now, message or "")
