"""Acknowledge, as a task."""

from backproof.escalation import split_id
from backproof.operations import incidents as operation
from blocks import load_fleet
from tasks.steps import log, step


@step("acknowledge {incident}")
def acknowledge(incident: str, by: str, note: str) -> str:
    """Write who is at an incident, so that no further level is told."""
    ended = operation.acknowledge(load_fleet(split_id(incident)[0]), incident, by, note)
    log(f"{ended.id} is acknowledged by {by}")
    return ended.id
