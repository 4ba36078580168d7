"""What a scheduled run must know, and Prefect does not tell it: its kind, and whether it is one of many that are due.

After downtime a plan's missed runs all start, one after the other; one is enough.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled

from tasks.progress import API_ERRORS
from tasks.steps import log

SKIPPED = "Skipped"
"""The name of the state in which an overdue run ends that another one stands for."""

_PAGE = 200
_DOWNTIME = timedelta(minutes=5)
_LONGER_KEPT = ("daily", "monthly")
"""Of several overdue backups the one is taken that is kept longest."""

Kind = Literal["daily", "monthly", "manual", "safety"]


def scheduled_kind(kind: Kind) -> Kind:
    """What a backup counts as, if its schedule does not say.

    Prefect forgets the parameters of a schedule that somebody pauses in the UI. The name of the schedule stays.
    """
    if kind != "manual" or not runtime.flow_run.get_id() or not runtime.deployment.get_id():
        return kind
    try:
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(UUID(runtime.flow_run.get_id()))
            return kind_of_schedule(client, run) or kind
    except API_ERRORS:
        return kind


def one_for_all() -> State[Any] | None:
    """Collapse the overdue scheduled runs of this run's deployment into one.

    Returns:
        None: go on. A state: end with it, since another run, which waits already, is the one that is taken.
    """
    if not runtime.flow_run.get_id() or not runtime.deployment.get_id():
        return None
    try:
        with get_client(sync_client=True) as client:
            return collapse(client, UUID(runtime.flow_run.get_id()))
    except API_ERRORS as error:
        log(f"whether more runs are overdue is not known: {type(error).__name__}")
        return None


def collapse(client: SyncPrefectClient, run: UUID) -> State[Any] | None:
    """The same for any run that is about to begin."""
    own, now = client.read_flow_run(run), datetime.now(UTC)
    if not own.auto_scheduled or own.deployment_id is None:
        return None
    waiting = [each for each in _due(client, own.deployment_id, now) if each.id != run and _alike(own, each, now)]
    if not waiting:
        return None
    chosen = taken(own, waiting, now)
    told = (
        f"Overdue, as are {len(waiting)} more runs: the one that was due at {_due_at(chosen):%Y-%m-%d %H:%M} is taken."
    )
    for each in waiting:
        if each.id != chosen.id:
            client.set_flow_run_state(each.id, Cancelled(name=SKIPPED, message=told), force=True)
    return None if chosen.id == run else Cancelled(name=SKIPPED, message=told)


def taken(own: FlowRun, waiting: list[FlowRun], now: datetime) -> FlowRun:
    """The one of several overdue runs that stands for all: of those kept longest the latest. Pure.

    One that began in time gives way to none that is kept as long: on a busy machine another is due before it has begun,
    and so on without end.
    """
    latest = max([own, *waiting], key=lambda run: (_rank(run), _due_at(run)))
    return own if _rank(own) == _rank(latest) and now - _due_at(own) <= _DOWNTIME else latest


def _alike(own: FlowRun, other: FlowRun, now: datetime) -> bool:
    """Whether one backup can stand for both: two of a kind always; a daily and a monthly that were due together only
    after downtime, since each is wanted else."""
    return _rank(own) == _rank(other) or min(now - _due_at(own), now - _due_at(other)) > _DOWNTIME


def _due_at(run: FlowRun) -> datetime:
    return run.expected_start_time or datetime.max.replace(tzinfo=UTC)


def _due(client: SyncPrefectClient, deployment: UUID, now: datetime) -> list[FlowRun]:
    """Scheduled runs whose time has come and that have not started; who was started by hand is not among them."""
    found: list[FlowRun] = []
    wanted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=cast(Any, now)),
    )
    while True:
        page = client.read_flow_runs(
            flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=_PAGE, offset=len(found)
        )
        found += page
        if len(page) < _PAGE:
            return [run for run in found if run.auto_scheduled and run.run_count == 0]


def _rank(run: FlowRun) -> int:
    kind = run.parameters.get("kind")
    return _LONGER_KEPT.index(kind) if kind in _LONGER_KEPT else -1


def kind_of_schedule(client: SyncPrefectClient, run: FlowRun) -> Kind | None:
    """``monthly`` for a run of the schedule ``monthly-2``; None: no schedule of ours started it."""
    if not run.auto_scheduled or run.deployment_id is None or run.created_by is None:
        return None
    schedules = client.read_deployment_schedules(run.deployment_id)
    slug = next((each.slug for each in schedules if each.id == run.created_by.id), None)
    return next((cast(Kind, kind) for kind in _LONGER_KEPT if (slug or "").partition("-")[0] == kind), None)
