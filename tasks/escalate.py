"""Escalate, as a task: the turn of one level."""

import logging
from datetime import UTC, datetime

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from backproof.alarms import moment
from backproof.escalation import RESOLVED, Incident, Step, goes_on, is_resolved, level_message, split_id, step
from backproof.fleet import Fleet
from backproof.operations import incidents as operation
from backproof.records import Record
from blocks import load_fleet
from blocks.notifications import tell
from tasks.steps import log
from tasks.steps import step as as_task


class Turn(Record):
    """What became of the turn of one level."""

    incident: str
    done: str
    """One sentence."""
    told: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    """Targets that did not take the message, a clause each."""
    next_at: datetime | None = None


@as_task("escalate {incident} to level {level}")
def escalate(plan: str, incident: str, what: str, level: int) -> Turn:
    """Tell one level of an incident, unless it has ended, and see to it that the next has its turn.

    What is done is claimed before it is done: a level is told once at most, however often its run is repeated.
    """
    fleet = load_fleet(plan)
    now = datetime.now(UTC)
    current = _current(fleet, plan, incident, what, level, now)
    if isinstance(current, Turn):
        return current
    levels = fleet.plan(plan).escalation
    latest = operation.latest_backup(fleet, plan)
    decided = step(current, levels, level, latest, now)
    if decided.do == "close":
        operation.record(fleet, current, RESOLVED, decided.why, now)
        return Turn(incident=current.id, done=f"{current.id} is resolved: {decided.why}")
    if decided.do == "nothing":
        return Turn(incident=current.id, done=decided.why)
    if not operation.record(fleet, current, f"level_{level}", levels[level - 1].name, now):
        return Turn(incident=current.id, done=f"{levels[level - 1].name} was told already")
    if decided.next_at:
        _schedule(fleet, current, what, level + 1, decided.next_at)
    return _tell(fleet, current, level, decided)


def _current(fleet: Fleet, plan: str, incident: str, what: str, level: int, now: datetime) -> Incident | Turn:
    """The incident whose turn it is; at the first level it is opened, or joins one that goes on."""
    there = operation.incidents(fleet, plan)
    mark = split_id(incident)[1]
    known = next((each for each in there if mark in each.marks), None)
    if known is not None and (level > 1 or known.mark == mark):
        return known
    if known is not None:
        return Turn(incident=known.id, done=f"{incident} belongs to {known.id}")
    if level > 1:
        return Turn(incident=incident, done=f"{incident} is in no store that can be asked")
    levels = fleet.plan(plan).escalation
    if not levels:
        return Turn(incident=incident, done=f"{plan} has no escalation")
    latest = operation.latest_backup(fleet, plan)
    for each in there:
        if is_resolved(each, latest) and each.closed is None:
            operation.record(fleet, each, RESOLVED, f"{latest.id if latest else ''} is proven", now)
        elif goes_on(each, levels, now):
            operation.record(fleet, each, f"joined_{mark}", what, now)
            return Turn(incident=each.id, done=f"{incident} joins {each.id}, of which somebody was told")
    return operation.open_incident(fleet, plan, mark, what, now)


def _schedule(fleet: Fleet, current: Incident, what: str, level: int, at: datetime) -> None:
    """The next level's turn is a run of its own, so that it outlives this process and every restart."""
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(f"escalation/{fleet.spec.fleet}.escalation")
        except ObjectNotFound:
            log(f"no deployment escalation/{fleet.spec.fleet}.escalation: level {level} has no turn", logging.ERROR)
            return
        client.create_flow_run_from_deployment(
            deployment.id,
            parameters={"plan": current.plan, "incident": current.id, "what": what, "level": level},
            state=Scheduled(scheduled_time=at),
            tags=[f"plan:{current.plan}"],
            idempotency_key=f"{current.id} {current.opened_at.isoformat()} level {level}",
        )


def _tell(fleet: Fleet, current: Incident, level: int, decided: Step) -> Turn:
    plan = fleet.plan(current.plan)
    # An automation has told these, at once and without a worker, with the words to acknowledge by.
    heard = set(plan.notify.failure) if level == 1 else set()
    chosen = [target for target in plan.escalation[level - 1].notify if target not in heard]
    message = level_message(current, fleet.spec.fleet, plan.escalation, level, decided.next_at)
    answers = {target: tell(fleet.spec, target, message.subject, message.body) for target in dict.fromkeys(chosen)}
    refused = tuple(f"{target}: {why}" for target, why in answers.items() if why)
    name = plan.escalation[level - 1].name
    log(f"{current.id}: told {name} (level {level})")
    return Turn(
        incident=current.id,
        done=f"{name} was told" + (f"; the next level at {moment(decided.next_at)}" if decided.next_at else ""),
        told=tuple(target for target, why in answers.items() if not why),
        refused=refused,
        next_at=decided.next_at,
    )
