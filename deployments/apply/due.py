"""The deadlines of plans, as things of a fleet: one scheduled run a plan, see ``tasks.deadlines``."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun

from backproof.alarms import limit, recovery_point
from backproof.errors import BackproofError
from backproof.fleet import Fleet, FleetSpec
from backproof.operations.stand import newest_proven
from backproof.records import Backup
from deployments.apply.things import Change, Sort, Thing
from tasks import deadlines

_READERS = 8


class Deadlines(Sort):
    """A plan that has lapsed gets its next one from its next proven backup, and is left alone until then."""

    name = "deadline"

    def __init__(self) -> None:
        self._spec: FleetSpec
        self._runs: dict[str, FlowRun] = {}
        self._newest: dict[str, Backup | None] = {}
        self._deployment: UUID | None = None

    def desired(self, spec: FleetSpec) -> Sequence[Thing]:
        """One a plan, as far from its newest proven backup as the plan promises."""
        self._spec = spec
        return [self._thing(plan, limit(spec.plans[plan].objectives)) for plan in spec.plans]

    def actual(self, client: SyncPrefectClient, spec: FleetSpec) -> Sequence[Thing]:
        """Those that lie ahead, are being judged, or have lapsed."""
        deployment = deadlines.find_deployment(client, spec.fleet)
        if deployment is None:
            return []
        self._runs = {plan: run for run in deadlines.runs_ahead(client, deployment) for plan in _plans_of(run)}
        settled = {plan for run in deadlines.runs_settled(client, deployment) for plan in _plans_of(run)}
        found = [self._thing(plan, str(run.parameters.get("limit", "")), run.id) for plan, run in self._runs.items()]
        left_alone = settled & spec.plans.keys() - self._runs.keys()
        return found + [self._thing(plan, limit(spec.plans[plan].objectives)) for plan in sorted(left_alone)]

    def before(self, client: SyncPrefectClient, spec: FleetSpec, changes: Sequence[Change]) -> None:
        """A plan that is new here may have backups: their age counts from the snapshot."""
        self._deployment = deadlines.find_deployment(client, spec.fleet)
        new = [change.thing.name for change in changes if change.action == "create"]
        fleet, down = Fleet(spec), dict[str, BackproofError]()
        with ThreadPoolExecutor(_READERS, thread_name_prefix="newest") as pool:
            self._newest = dict(zip(new, pool.map(lambda plan: _newest(fleet, plan, down), new), strict=True))

    def create(self, client: SyncPrefectClient, wanted: Thing) -> None:
        """Schedule the run of a plan that has none."""
        now = datetime.now(UTC)
        if self._deployment is not None:
            plan, objectives = wanted.name, self._spec.plans[wanted.name].objectives
            deadlines.create(client, self._deployment, recovery_point(plan, self._newest[plan], now, objectives, now))

    def change(self, client: SyncPrefectClient, wanted: Thing, found: Thing) -> None:
        """Move a run to where the plan's objectives put it now."""
        deadlines.keep_promise(client, self._runs[wanted.name], self._spec.plans[wanted.name].objectives)

    def remove(self, client: SyncPrefectClient, found: Thing) -> None:
        """Take the run of a plan away that is gone."""
        client.delete_flow_run(found.id)

    def _thing(self, plan: str, promised: str, run: UUID | None = None) -> Thing:
        return Thing(self.name, plan, {"older than": promised}, plan=plan, id=run)


def _plans_of(run: FlowRun) -> list[str]:
    return [tag.removeprefix("plan:") for tag in run.tags if tag.startswith("plan:")]


def _newest(fleet: Fleet, plan: str, down: dict[str, BackproofError]) -> Backup | None:
    """None too where this machine does not reach a store: then the plan's age counts from now."""
    try:
        return newest_proven(fleet, plan, down=down)[0]
    except BackproofError:
        return None
