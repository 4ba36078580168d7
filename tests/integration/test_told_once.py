"""A Prefect server whose database refuses to write that a trigger has fired: with our broker it tells an event once.

And it tells it, however often the database has refused.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.servers import prefect_database

pytestmark = pytest.mark.slow

# Prefect's own consumer of events and its own triggers, on a database of their own. Two automations cover the event, as
# one tells of trouble and another escalates; what they have handed over is counted.
SERVER = """
import asyncio, json, sys
from uuid import uuid4
import sqlalchemy as sa
from prefect.server.database import provide_database_interface
from prefect.server.events import messaging, triggers
from prefect.server.events.actions import DoNothing
from prefect.server.events.models import automations
from prefect.server.events.schemas.automations import Automation, EventTrigger, Posture
from prefect.server.events.schemas.events import ReceivedEvent, Resource
from prefect.server.utilities.messaging import create_consumer
from prefect.types._datetime import now

remove, refusals = triggers.remove_bucket, []

async def refuse_at_first(session, bucket):
    if len(refusals) < int(sys.argv[1]):
        refusals.append(bucket)
        raise sa.exc.OperationalError("DELETE", {}, Exception("database is locked"))
    await remove(session, bucket)

def event(name):
    resource = Resource({"prefect.resource.id": "prefect.flow-run.one"})
    return ReceivedEvent(id=uuid4(), event=name, resource=resource, occurred=now("UTC"), received=now("UTC"))

def automation(name):
    trigger = EventTrigger(
        expect={"failed"}, for_each={"prefect.resource.id"}, posture=Posture.Reactive, threshold=1, within=0
    )
    return Automation(name=name, trigger=trigger, actions=[DoNothing(), DoNothing()])

async def main():
    seen = []
    async def keep(message):
        action = json.loads(message.data)
        seen.append([action["automation"]["name"], action["action_index"], action["triggering_event"]["id"]])
    actions = asyncio.create_task(create_consumer("actions").run(keep))
    async with automations.automations_session(begin_transaction=True) as session:
        for name in ("one", "other"):
            await automations.create_automation(session=session, automation=automation(name))
    triggers.remove_bucket = refuse_at_first
    told = [event("failed"), event("failed")]
    async with triggers.consumer() as handler:
        events = asyncio.create_task(create_consumer("events").run(handler))
        await asyncio.sleep(0)
        async with messaging.create_event_publisher() as publisher:
            for each in told:
                await publisher.publish_event(each)
        ordering = triggers.get_triggers_causal_ordering()
        while not all([await ordering.event_has_been_seen(each) for each in told]):
            await asyncio.sleep(0.05)
        events.cancel()
    while len(seen) < 8:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    actions.cancel()
    print(json.dumps({"refused": len(refusals), "seen": seen}))

asyncio.run(asyncio.wait_for(main(), 120))
"""


def handed_over(home: Path, broker: str, refusals: int) -> list[tuple[str, int, str]]:
    """The actions that were handed over: two of two automations, for two events."""
    prefect_database.give(home)
    environment = {"PATH": os.environ["PATH"], "PREFECT_HOME": str(home), "DO_NOT_TRACK": "1"}
    environment |= {"PREFECT_SERVER_EVENTS_MESSAGING_BROKER": broker, "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    command = [sys.executable, "-c", SERVER, str(refusals)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["refused"] == refusals
    return [tuple(each) for each in found["seen"]]


def test_prefects_own_broker_lets_an_event_be_told_again(tmp_path: Path) -> None:
    actions = handed_over(tmp_path, "prefect.server.utilities.messaging.memory", 3)
    assert len(actions) > len(set(actions)) == 8


def test_with_ours_each_action_of_an_event_is_handed_over_once(tmp_path: Path) -> None:
    actions = handed_over(tmp_path, "deployments.servers.messaging", 20)
    assert len(actions) == len(set(actions)) == 8
