"""The flow ``retention``: delete, plan by plan, what is past its time, and say why the rest is kept."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from backproof.errors import BackproofError
from backproof.operations.prune import Pruned
from backproof.recovery_test.due import TestDue
from blocks import plans_of
from flows.fields import DryRun, FleetName, PlanNames
from flows.naming import fleet_run_name
from flows.overdue import one_for_all
from flows.retention_summary import retention_summary, totals
from tasks.prune import prune
from tasks.publish import publish
from tasks.stopping import stopping_cleanly
from tasks.sweep import sweep
from tasks.tests_due import tests_due


@flow(name="retention", flow_run_name=fleet_run_name, persist_result=False)
def retention(fleet: FleetName, plans: PlanNames = [], dry_run: DryRun = False) -> State:  # noqa: B006 — shown in a form
    """Delete the backups that the plans of a fleet no longer keep, from every store.

    It also looks whether a quarter passes without a recovery test, and raises the alarm once.

    Args:
        fleet: Which fleet.
        plans: Which of its plans. Left empty: all of them.
        dry_run: Delete nothing; show what would be deleted, and why.

    Returns:
        ``Completed``, or ``Completed`` named ``Degraded``: a plan could not be looked through, or not all that was due
        could be deleted. One plan stops no other. The data holds one line of sums a plan.

    Raises:
        BackproofError: there is no such fleet.
    """
    with stopping_cleanly():
        if (skipped := one_for_all()) is not None:
            return skipped
        chosen = plans or list(plans_of(fleet))
        outcomes: dict[str, Pruned | BackproofError] = {}
        rehearsed: dict[str, TestDue | BackproofError | None] = {}
        for plan in chosen:
            sweep.submit(plan).wait()
            outcomes[plan] = _outcome(prune.submit(plan, dry_run).result(raise_on_failure=False))
            if not dry_run:
                rehearsed[plan] = _rehearsed(tests_due.submit(plan).result(raise_on_failure=False))
        state = _state(outcomes, rehearsed, dry_run)
        summary = retention_summary(fleet, outcomes, dry_run, rehearsed)
        publish.submit(f"{fleet}-retention", summary, str(state.message), None, "", {}).wait()
        return state


def _outcome(given: object) -> Pruned | BackproofError:
    """What was done with a plan, or the error that we know how to explain; any other is a mistake of ours."""
    if isinstance(given, BaseException) and not isinstance(given, BackproofError):
        raise given
    assert isinstance(given, Pruned | BackproofError)  # noqa: S101
    return given


def _rehearsed(given: object) -> TestDue | BackproofError | None:
    """How a plan stands with its recovery tests, or why that is not known."""
    if isinstance(given, BaseException) and not isinstance(given, BackproofError):
        raise given
    assert given is None or isinstance(given, TestDue | BackproofError)  # noqa: S101
    return given


def _state(
    outcomes: dict[str, Pruned | BackproofError], rehearsed: dict[str, TestDue | BackproofError | None], dry_run: bool
) -> State:
    data = {plan: totals(outcome) for plan, outcome in outcomes.items()}
    deleted = sum(each["deleted"] for each in data.values())
    troubled = [plan for plan, each in data.items() if each["problems"]]
    verb = "would be deleted" if dry_run else "deleted"
    done = f"{len(outcomes)} plans, {deleted} backups {verb}."
    if overdue := [plan for plan, each in rehearsed.items() if isinstance(each, TestDue) and each.overdue]:
        more = f" and {len(overdue) - 1} more" if len(overdue) > 1 else ""
        done += f" No recovery test this quarter: {overdue[0]}{more}."
    if troubled:
        first = data[troubled[0]]["problems"][0]
        more = f" {len(troubled) - 1} more plans have problems." if len(troubled) > 1 else ""
        return Completed(name="Degraded", message=f"{done} {troubled[0]}: {first}.{more}", data=data)
    return Completed(message=done, data=data)
