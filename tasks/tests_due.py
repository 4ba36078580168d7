"""Does a quarter pass without a recovery test? As a task; and the events that alerts are made of."""

from datetime import datetime

from prefect.events import emit_event

from backproof.forecast import soon
from backproof.recovery_test.due import TestDue, first_to_tell, look
from backproof.recovery_test.record import RecoveryTest
from blocks import load_fleet
from tasks import stopping
from tasks.steps import log, step

OVERDUE = "backproof.recovery-test.overdue"
OUTGROWN = "backproof.objective.outgrown-soon"


@step("recovery tests of {plan}")
def tests_due(plan: str) -> TestDue | None:
    """Look whether a plan was rehearsed this quarter; the first to see that it was not raises the alarm."""
    fleet, now = load_fleet(plan), stopping.now()
    found = look(fleet, plan, now)
    if found is not None and found.overdue:
        log(found.sentence)
        if first_to_tell(fleet, found, now):
            _emit(OVERDUE, plan, found.sentence, found.remedy)
    return found


@step("outlook of {record.plan}", retries=0)
def warn_of_outlook(record: RecoveryTest, now: datetime) -> bool:
    """Raise the alarm where a recovery will take longer than promised within two quarters.

    Args:
        record: the recovery test that says so.
        now: aware UTC.
    """
    at = record.forecast.outgrown_at
    if at is None or not soon(record.forecast, now):
        return False
    what = (
        f"{record.plan}: a recovery is expected to take longer than the objective of "
        f"{record.objective_seconds / 60:.0f} minutes from {at:%Y-%m-%d} on"
    )
    remedy = (
        f"Use a faster server, make the database smaller, or promise less (objectives.rto); backproof estimate "
        f"{record.plan} shows the figures."
    )
    log(what)
    _emit(OUTGROWN, record.plan, what, remedy)
    return True


def _emit(event: str, plan: str, what: str, remedy: str) -> None:
    resource = {"prefect.resource.id": f"backproof.plan.{plan}", "prefect.resource.name": plan}
    emit_event(event, resource=resource, payload={"what": what, "remedy": remedy})
