"""The moment by which each plan must have a newer proven backup, kept as one scheduled run of ``deadline`` a plan.

Prefect's server keeps such a run through restarts and needs no worker to notice that its time has come: it marks it
Late, and an automation tells. With a worker it is run, and judges from the stores. A proven backup moves it on.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from backproof.alarms import RecoveryPoint, deadline, limit
from backproof.errors import BackproofError
from backproof.fleet.specs import ObjectivesSpec
from backproof.operations import stand as operation
from blocks import load_fleet
from tasks.progress import API_ERRORS
from tasks.steps import log, step

LAPSED = ("Overdue", "OverdueTold")
"""Names of the states in which a plan's ``deadline`` ends that was not kept."""

_PAGE = 200
_AHEAD = {StateType.SCHEDULED}
_EXACT = timedelta(seconds=1)
_ATTEMPTS = 3


def deadline_deployment(fleet: str) -> str:
    """Its name, without the flow's."""
    return f"{fleet}.deadline"


@step("deadline of {plan}", retries=0)
def renew(plan: str) -> None:
    """Move a plan's deadline to where its newest proven backup puts it. Not worth failing a backup for."""
    try:
        with get_client(sync_client=True) as client:
            for _ in range(_ATTEMPTS):
                fleet = load_fleet(plan, anew=True)
                deployment = find_deployment(client, fleet.spec.fleet)
                if deployment is None:
                    return  # nobody has applied the fleet to this server
                found = operation.stand(fleet, plan, datetime.now(UTC))
                if found.newest is None:
                    return
                place(client, deployment, found)
                # ``apply`` writes the plan, then moves the run: what it wrote meanwhile counts, or it moves it later.
                if load_fleet(plan, anew=True).plan(plan).objectives == fleet.plan(plan).objectives:
                    return
    except (BackproofError, *API_ERRORS) as error:
        log(f"the deadline of {plan} was not moved: {error}")


def find_deployment(client: SyncPrefectClient, fleet: str) -> UUID | None:
    """The deployment whose runs are a fleet's deadlines; None where the fleet was not applied to this server."""
    try:
        return client.read_deployment_by_name(f"deadline/{deadline_deployment(fleet)}").id
    except ObjectNotFound:
        return None


def place(client: SyncPrefectClient, deployment: UUID, found: RecoveryPoint) -> bool:
    """See to it that exactly one run lies ahead for a plan, at the moment it is due.

    Returns:
        Whether anything was changed.
    """
    ahead = runs_ahead(client, deployment, found.plan)
    for extra in ahead[1:]:
        client.delete_flow_run(extra.id)
    if ahead:
        return _move(client, ahead[0], found.due, _parameters(found)) or len(ahead) > 1
    create(client, deployment, found)
    return True


def create(client: SyncPrefectClient, deployment: UUID, found: RecoveryPoint) -> None:
    """Schedule the run of a plan that has none ahead."""
    client.create_flow_run_from_deployment(
        deployment,
        parameters=_parameters(found),
        state=Scheduled(scheduled_time=found.due),
        tags=[f"plan:{found.plan}"],
        idempotency_key=f"{found.plan} {found.since.isoformat()} {found.due.isoformat()}",
    )


def keep_promise(client: SyncPrefectClient, run: FlowRun, objectives: ObjectivesSpec) -> bool:
    """Move a run that lies ahead to where its plan's objectives, which may have changed, put it.

    It is read again: a backup may have moved it on meanwhile.
    """
    run = client.read_flow_run(run.id)
    since = datetime.fromisoformat(run.parameters["since"])
    return _move(client, run, deadline(since, objectives), run.parameters | {"limit": limit(objectives)})


def runs_ahead(client: SyncPrefectClient, deployment: UUID, plan: str | None = None) -> list[FlowRun]:
    """The scheduled runs of one plan, or of all, the latest first."""
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(_AHEAD)))
    tags = FlowRunFilterTags(all_=[f"plan:{plan}"]) if plan else None
    return _runs(client, deployment, FlowRunFilter(state=states, tags=tags))


def runs_settled(client: SyncPrefectClient, deployment: UUID) -> list[FlowRun]:
    """Runs of all plans that are being judged, or whose plan was found overdue."""
    judged = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING]))
    lapsed = FlowRunFilterState(name=FlowRunFilterStateName(any_=list(LAPSED)))
    return [run for chosen in (judged, lapsed) for run in _runs(client, deployment, FlowRunFilter(state=chosen))]


def last_run(client: SyncPrefectClient, deployment: UUID, plan: str) -> FlowRun | None:
    """The newest run of a plan's, whatever became of it."""
    chosen = FlowRunFilter(tags=FlowRunFilterTags(all_=[f"plan:{plan}"]))
    return next(iter(_runs(client, deployment, chosen, most=1)), None)


def _runs(client: SyncPrefectClient, deployment: UUID, chosen: FlowRunFilter, most: int | None = None) -> list[FlowRun]:
    found: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
            flow_run_filter=chosen,
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=most or _PAGE,
            offset=len(found),
        )
        found += page
        if most or len(page) < _PAGE:
            return found


def _move(client: SyncPrefectClient, run: FlowRun, due: datetime, parameters: Mapping[str, Any]) -> bool:
    planned = run.state.state_details.scheduled_time if run.state else None
    if planned is not None and abs(planned - due) < _EXACT and run.parameters == parameters:
        return False
    if run.parameters != parameters:
        client.update_flow_run(run.id, parameters=dict(parameters))
    client.set_flow_run_state(run.id, Scheduled(scheduled_time=due), force=True)
    return True


def _parameters(found: RecoveryPoint) -> dict[str, Any]:
    return {
        "plan": found.plan,
        "since": found.since.isoformat(),
        "newest": found.newest or "",
        "limit": found.limit,
    }
