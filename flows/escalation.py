"""The flows ``escalation``, the turn of one level, and ``acknowledge``, which ends it."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from backproof.escalation import split_id
from flows.naming import run_name, tag
from tasks.acknowledge import acknowledge as acknowledging
from tasks.escalate import escalate


@flow(name="escalation", flow_run_name=run_name, persist_result=False)
def escalation(plan: str, incident: str, what: str = "Somebody must look at it.", level: int = 1) -> State:
    """Tell one level of a plan's escalation, unless somebody has acknowledged, and give the next level its turn.

    Automations start it when a run failed or a plan is overdue; it schedules itself for the next level.

    Args:
        plan: Which plan.
        incident: Its id, the plan's name and eight hex digits.
        what: What went wrong.
        level: Whose turn it is; 1 is the first.

    Returns:
        ``Completed``, ``Completed`` named ``Degraded`` (not every target took the message) or ``Failed`` (none did).
    """
    tag(plan)
    turn = escalate.submit(plan, incident, what, level).result()
    data = turn.model_dump(mode="json")
    if not turn.refused:
        return Completed(message=f"{turn.done}.", data=data)
    message = f"{turn.incident}: {'; '.join(turn.refused)}. Mend the target; backproof alerts test tries it."
    if not turn.told:
        return Failed(message=message, data=data)
    return Completed(name="Degraded", message=message, data=data)


@flow(name="acknowledge", persist_result=False)
def acknowledge(incident: str, by: str, note: str = "") -> State:
    """Say that somebody is at an incident: no further level is told. As ``backproof ack``.

    Args:
        incident: Its id, as its messages name it: shop-3f9a1c2b.
        by: Who you are.
        note: What others should know.

    Raises:
        NotFound: there is no such incident.
        AlreadyExists: it has ended already.
    """
    tag(split_id(incident)[0])
    ended = acknowledging.submit(incident, by, note).result()
    return Completed(message=f"{ended} is acknowledged by {by}.")
