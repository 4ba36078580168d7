"""Deployments from a fleet: when each plan is backed up, and what a person starts by hand.

From Python, not from ``prefect.yaml``: that one writes the secrets of blocks in clear into deployments and runs. A
deployment names its flow by module, so that a worker finds it wherever this checkout, or image, is installed.
"""

from collections.abc import Iterator
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists
from prefect.flows import Flow
from prefect.schedules import Cron, Schedule
from prefect.types.entrypoint import EntrypointType

from backproof.fleet import FleetSpec
from flows.backup import backup
from flows.verification import verification

_ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
"""Waiting in line: cancelling the newcomer would drop the monthly backup while the daily one still runs."""


def deploy(spec: FleetSpec, work_pool: str) -> list[str]:
    """Create or renew a fleet's deployments; doing it again changes nothing.

    Per plan ``<plan>-backup`` with its schedules, and for the whole fleet ``<fleet>.backup`` and
    ``<fleet>.verification``, whose form lists the plans. Nothing is removed.

    Args:
        spec: the fleet, whose blocks ``blocks.save_fleet`` has written.
        work_pool: whose workers run the flows; made, for processes, where there is none of that name.

    Returns:
        The deployments' full names, ``backup/shop-backup``.
    """
    _ensure_work_pool(work_pool)
    deployments = [*(_plan_backup(spec, plan) for plan in spec.plans), *_by_hand(spec)]
    for deployment in deployments:  # one at a time: SQLite would only queue them
        deployment.apply(work_pool_name=work_pool)
    return [deployment.full_name for deployment in deployments]


def _plan_backup(spec: FleetSpec, plan: str) -> RunnerDeployment:
    return _deployment(
        backup,
        f"{plan}-backup",
        schedules=list(_schedules(spec, plan)),
        parameters={"plan": plan, "kind": "manual"},
        tags=[f"fleet:{spec.fleet}", f"plan:{plan}"],
        concurrency_limit=_ONE_AT_A_TIME,
        description=f"Back up {plan} on its schedules. Started by hand, it counts as manual.",
    )


def _by_hand(spec: FleetSpec) -> Iterator[RunnerDeployment]:
    for flow in (backup, verification):
        deployment = _deployment(flow, f"{spec.fleet}.{flow.name}", tags=[f"fleet:{spec.fleet}"])
        deployment._parameter_openapi_schema.properties["plan"]["enum"] = sorted(spec.plans)
        yield deployment


def _schedules(spec: FleetSpec, plan: str) -> Iterator[Schedule]:
    schedules = spec.plans[plan].schedules
    for kind, crons in (("daily", schedules.daily), ("monthly", schedules.monthly)):
        for number, cron in enumerate(crons, 1):
            slug = kind if number == 1 else f"{kind}-{number}"
            yield Cron(cron, timezone=spec.timezone, slug=slug, parameters={"kind": kind})


def _deployment(flow: Flow[..., Any], name: str, **settings: Any) -> RunnerDeployment:
    return RunnerDeployment.from_flow(flow, name, entrypoint_type=EntrypointType.MODULE_PATH, **settings)


def _ensure_work_pool(name: str) -> None:
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        except ObjectAlreadyExists:
            return
