"""Judge, as a task."""

from datetime import UTC, datetime

from prefect.client.orchestration import get_client

from backproof.alarms import RecoveryPoint, overdue_sentence
from backproof.operations import stand as operation
from blocks import load_fleet
from tasks import deadlines
from tasks.steps import log, step


@step("judge {plan}")
def judge(plan: str, since: datetime) -> RecoveryPoint:
    """Read how a plan stands from its stores; where it is not overdue, schedule the next look."""
    fleet = load_fleet(plan)
    found = operation.stand(fleet, plan, since.astimezone(UTC))
    if found.overdue:
        log(overdue_sentence(found))
        return found
    with get_client(sync_client=True) as client:
        deployment = deadlines.find_deployment(client, fleet.spec.fleet)
        if deployment is not None:
            deadlines.place(client, deployment, found)
    log(f"{plan}: {found.newest or 'no proven backup yet'}, not overdue before {found.due}")
    return found
