"""The work pool of a fleet, as a thing of it: whose workers run its flows, and what a run becomes."""

from collections.abc import Sequence

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound

from backproof.errors import ConfigurationError
from backproof.fleet import FleetSpec
from deployments.apply import job_templates
from deployments.apply.things import Sort, Thing


class WorkPools(Sort):
    """A pool that somebody else has made is used as it is; ours says in its description whose it is."""

    name = "work pool"

    def desired(self, spec: FleetSpec) -> Sequence[Thing]:
        """The one pool of the fleet.

        Raises:
            ConfigurationError: ``work_pool.settings`` is wrong for this type of pool.
        """
        pool = spec.work_pool
        job_templates.template(pool.type, pool.settings)
        fields = {"type": pool.type, "settings": pool.settings}
        return [Thing(self.name, spec.pool_name, fields, note={"description": _description(spec.fleet)})]

    def actual(self, client: SyncPrefectClient, spec: FleetSpec) -> Sequence[Thing]:
        """That pool, if it is there."""
        try:
            pool = client.read_work_pool(spec.pool_name)
        except ObjectNotFound:
            return []
        if pool.type != spec.work_pool.type:
            raise ConfigurationError(
                f"the work pool {pool.name} is of type {pool.type}, and work_pool.type says {spec.work_pool.type}",
                "A pool can't change its type: correct fleet.yaml, or name another pool there.",
            )
        ours = pool.description == _description(spec.fleet)
        wanted = spec.work_pool.settings
        settings = job_templates.defaults(pool.base_job_template, wanted) if ours else wanted
        return [Thing(self.name, pool.name, {"type": pool.type, "settings": settings}, id=pool.id)]

    def create(self, client: SyncPrefectClient, wanted: Thing) -> None:
        """Make the pool."""
        kind, settings = wanted.fields["type"], wanted.fields["settings"]
        client.create_work_pool(
            WorkPoolCreate(
                name=wanted.name,
                type=kind,
                description=wanted.note["description"],
                base_job_template=job_templates.template(kind, settings),
            )
        )

    def change(self, client: SyncPrefectClient, wanted: Thing, found: Thing) -> None:
        """Give its job template other defaults; what else was set there by hand stays."""
        there = client.read_work_pool(wanted.name).base_job_template
        changed = job_templates.with_defaults(there, wanted.fields["type"], wanted.fields["settings"])
        client.update_work_pool(wanted.name, WorkPoolUpdate(base_job_template=changed))

    def remove(self, client: SyncPrefectClient, found: Thing) -> None:
        """Never called: a fleet has one pool, and ``actual`` reads no other."""
        raise NotImplementedError


def _description(fleet: str) -> str:
    return f"Runs the flows of fleet {fleet}."
