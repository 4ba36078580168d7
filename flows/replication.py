"""The flow ``replication``: every store of every plan holds what is kept."""

from typing import Any, TypeVar

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed

from backproof.errors import BackproofError
from backproof.operations.replicate import Brought
from backproof.replication import Outlook, Step
from blocks import plans_of
from flows.fields import FleetName, PlanNames
from flows.naming import fleet_run_name, tag
from flows.overdue import one_for_all
from flows.replication_record import (
    PlanReplication,
    ReplicationRun,
    is_about_the_store,
    replicated,
    replication_run,
    unseen,
)
from flows.replication_summary import fleet_summary, plan_summary
from tasks.publish import publish
from tasks.replicate import bring, carry_reports, raise_alarms, survey
from tasks.stopping import stopping_cleanly

T = TypeVar("T")

_TOLD = 20
"""Sentences in the message of a state."""


@flow(name="replication", flow_run_name=fleet_run_name, persist_result=False)
def replication(fleet: FleetName, plans: PlanNames = []) -> State:  # noqa: B006 — shown in a form
    """Make every store hold what is kept: catch up after an outage, rewrite a lost manifest, name what is damaged.

    Args:
        fleet: Which fleet.
        plans: Only these plans. Left empty: all of the fleet.

    Returns:
        ``Completed``, ``Completed`` named ``Degraded`` (a store lacks something still, or copies are damaged or differ)
        or ``Failed`` (of no plan could any store be asked). The data is a ``ReplicationRun`` as plain JSON.

    Raises:
        NotFound: there is no such fleet.
    """
    with stopping_cleanly():
        if (skipped := one_for_all()) is not None:
            return skipped
        for plan in plans:
            tag(plan)
        run = replication_run(fleet, [_replicate(plan) for plan in plans or plans_of(fleet)])
        facts = {"fleet": fleet, "outcome": run.outcome}
        publish.submit(f"{fleet}-fleet-replication", fleet_summary(run), run.outcome, None, fleet, facts).wait()
        return _state(run)


def _replicate(plan: str) -> PlanReplication:
    """One plan, one archive at a time: what backs up meanwhile comes first."""
    seen = _outcome(survey.submit(plan))
    if isinstance(seen, BackproofError):
        return unseen(plan, seen)
    results = _carry_out(plan, seen)
    carried = _outcome(carry_reports.submit(plan))
    done = replicated(seen, results, carried)
    if done.alarms:
        raise_alarms.submit(plan, done.alarms).wait()
    summary = plan_summary(done, seen.rows)
    publish.submit(f"{plan}-replication", summary, done.outcome, None, plan, {"plan": plan}).wait()
    return done


def _carry_out(plan: str, seen: Outlook) -> list[tuple[Step, Brought | BackproofError]]:
    """Every step; those to a store that turned out to be down wait for the next run."""
    results: list[tuple[Step, Brought | BackproofError]] = []
    down: dict[str, BackproofError] = {}
    for step in seen.steps:
        given = down.get(step.target) or _outcome(bring.submit(plan, step))
        if isinstance(given, BackproofError) and is_about_the_store(given):
            down[step.target] = given
        results.append((step, given))
    return results


def _outcome(future: "PrefectFuture[T]") -> T | BackproofError:
    """What a step gave, or the error that we know how to explain; any other is a mistake of ours and fails the run."""
    given: Any = future.result(raise_on_failure=False)
    if isinstance(given, BaseException) and not isinstance(given, BackproofError):
        raise given
    return given  # type: ignore[no-any-return]


def _state(run: ReplicationRun) -> State:
    data = run.model_dump(mode="json")
    sentences = [sentence for plan in run.plans for sentence in _sentences(plan)]
    left = f" And {len(sentences) - _TOLD} more: see the artifact." if len(sentences) > _TOLD else ""
    said = " ".join(sentences[:_TOLD]) + left
    if run.outcome == "failed":
        return Failed(message=f"No store could be asked. {said}", data=data)
    if run.outcome == "degraded":
        return Completed(name="Degraded", message=said, data=data)
    return Completed(message="Every store holds what is kept.", data=data)


def _sentences(plan: PlanReplication) -> list[str]:
    return [f"{plan.plan}: {alarm.fact}. {alarm.remedy}" for alarm in plan.alarms] + [
        f"{plan.plan}: {problem}" for problem in plan.problems
    ]
