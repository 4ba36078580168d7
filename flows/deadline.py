"""The flow ``deadline``: a plan's newest proven backup is as old as it may be. Was a newer one proven meanwhile?"""

from datetime import datetime
from uuid import UUID

from prefect import flow, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from backproof.alarms import moment, overdue_sentence
from flows.naming import run_name, tag
from tasks.judge import judge

LATE = "Late"


@flow(name="deadline", flow_run_name=run_name, persist_result=False)
def deadline(plan: str, since: datetime, newest: str = "", limit: str = "") -> State:
    """Judge from the stores whether a plan has a proven backup that is young enough; its automation tells if not.

    Scheduled by itself, for the moment at which the plan is overdue, and moved on by each proven backup.

    Args:
        plan: Which plan.
        since: What its age counts from: the newest proven backup's snapshot or, without one, when the plan was first
            applied.
        newest: The newest proven backup when this run was scheduled.
        limit: How old it may become, in words.

    Returns:
        ``Completed``; or ``Failed`` named ``Overdue``, or ``OverdueTold`` where that was told while no worker ran this.

    Raises:
        BackproofError: no store could be asked.
    """
    tag(plan)
    found = judge.submit(plan, since).result()
    if not found.overdue:
        return Completed(message=f"{plan} is not overdue before {moment(found.due)}.")
    name = "OverdueTold" if _was_late() else "Overdue"
    return Failed(name=name, message=overdue_sentence(found))


def _was_late() -> bool:
    """Whether this run waited for a worker so long that the server has told of it."""
    run = runtime.flow_run.get_id()
    if run is None:
        return False
    with get_client(sync_client=True) as client:
        # A later deadline begins a new story: the same run may have been late, moved on, and be on time now.
        names = [state.name for state in client.read_flow_run_states(UUID(run))]
    return LATE in names[_last(names, "Scheduled") :]


def _last(names: list[str], name: str) -> int:
    return max((number for number, each in enumerate(names) if each == name), default=0)
