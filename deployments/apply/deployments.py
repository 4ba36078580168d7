"""Deployments, as things of a fleet.

Made from Python, not from ``prefect.yaml``: that one writes the secrets of blocks in clear into deployments and runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule, RRuleSchedule

from backproof.errors import ConfigurationError
from backproof.fleet import FleetSpec
from deployments.apply import what_runs
from deployments.apply.things import Sort, Thing, stamp

PAGE = 200


class Deployments(Sort):
    """A fleet's bear its tag. Each holds, as its version, the digest of what was last applied."""

    name = what_runs.SORT

    def __init__(self) -> None:
        self._flows: dict[str, UUID] = {}
        self._wanted: Sequence[Thing] = ()

    def desired(self, spec: FleetSpec) -> Sequence[Thing]:
        """Every deployment of the fleet."""
        self._wanted = what_runs.deployments(spec)
        return self._wanted

    def actual(self, client: SyncPrefectClient, spec: FleetSpec) -> Sequence[Thing]:
        """Every deployment that bears the fleet's tag."""
        tagged = {"tags": {"all_": [what_runs.tag(spec.fleet)]}}
        found = [_thing(each, self._flow_of(client, each)) for each in _pages(client, tagged)]
        self._refuse_what_is_not_ours(client, spec, {thing.name for thing in found})
        return found

    def create(self, client: SyncPrefectClient, wanted: Thing) -> None:
        """Make a deployment."""
        self._put(client, wanted, {})

    def change(self, client: SyncPrefectClient, wanted: Thing, found: Thing) -> None:
        """Write over a deployment. It keeps its id and its runs; what is paused stays paused."""
        self._put(client, wanted, found.note)

    def remove(self, client: SyncPrefectClient, found: Thing) -> None:
        """Take a deployment away. Its runs stay in Prefect's history."""
        client.delete_deployment(found.id)

    def _put(self, client: SyncPrefectClient, wanted: Thing, note: Mapping[str, Any]) -> None:
        flow, _, name = wanted.name.partition("/")
        if flow not in self._flows:
            self._flows[flow] = client.create_flow_from_name(flow)
        fields, in_line = wanted.fields, ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
        client.create_deployment(  # over one of that name, where there is one
            flow_id=self._flows[flow],
            name=name,
            version=stamp(fields),
            paused=note.get("paused", False),
            schedules=[
                DeploymentScheduleCreate(
                    slug=slug,
                    schedule=_schedule(each),
                    parameters=each["parameters"],
                    active=slug not in note.get("inactive", ()),
                )
                for slug, each in fields["schedules"].items()
            ],
            concurrency_limit=1 if fields["one_at_a_time"] else None,
            concurrency_options=in_line if fields["one_at_a_time"] else None,
            parameters=fields["parameters"],
            description=fields["description"],
            tags=fields["tags"],
            work_pool_name=fields["work_pool"],
            entrypoint=fields["entrypoint"],
            parameter_openapi_schema=fields["form"],
            enforce_parameter_schema=True,
            pull_steps=[],
        )

    def _refuse_what_is_not_ours(self, client: SyncPrefectClient, spec: FleetSpec, ours: set[str]) -> None:
        missing = {thing.name for thing in self._wanted} - ours
        names = sorted(name.partition("/")[2] for name in missing)
        for start in range(0, len(names), PAGE):
            for each in _pages(client, {"name": {"any_": names[start : start + PAGE]}}):
                if (full := f"{self._flow_of(client, each)}/{each['name']}") in missing:
                    raise ConfigurationError(
                        f"the deployment {full} is there already and does not bear the tag {what_runs.tag(spec.fleet)}",
                        "It is somebody else's: name the plan otherwise, or delete that deployment in the Prefect UI.",
                    )

    def _flow_of(self, client: SyncPrefectClient, found: Mapping[str, Any]) -> str:
        flow = UUID(found["flow_id"])
        name = next((name for name, known in self._flows.items() if known == flow), None)
        if name is None:
            name = client.read_flow(flow).name
            self._flows[name] = flow
        return name


def _schedule(fields: Mapping[str, Any]) -> CronSchedule | RRuleSchedule:
    zone = fields["timezone"]
    if "rrule" in fields:
        return RRuleSchedule(rrule=fields["rrule"], timezone=zone)
    return CronSchedule(cron=fields["cron"], timezone=zone)


def _fires(schedule: Mapping[str, Any]) -> dict[str, Any]:
    if "rrule" in schedule:
        return {"rrule": schedule["rrule"]}
    return {"cron": schedule.get("cron", str(schedule))}


def _pages(client: SyncPrefectClient, which: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """As plain JSON: Prefect's own records of a thousand deployments take it seconds to make."""
    offset = 0
    while True:
        body = {"deployments": which, "limit": PAGE, "offset": offset, "sort": "NAME_ASC"}
        page = client.request("POST", "/deployments/filter", json=body).json()
        yield from page
        if len(page) < PAGE:
            return
        offset += PAGE


def _thing(found: Mapping[str, Any], flow: str) -> Thing:
    schedules = {
        each["slug"] or each["id"]: {
            **_fires(each["schedule"]),
            "timezone": each["schedule"].get("timezone"),
            "parameters": each["parameters"],
        }
        for each in found["schedules"]
    }
    limit, options = found["global_concurrency_limit"], found["concurrency_options"]
    fields = {
        "description": found["description"],
        "entrypoint": found["entrypoint"],
        "form": found["parameter_openapi_schema"],
        "parameters": found["parameters"],
        "schedules": schedules,
        "tags": found["tags"],
        "work_pool": found["work_pool_name"],
        "one_at_a_time": (
            limit is not None
            and limit["limit"] == 1
            and options is not None
            and options["collision_strategy"] == ConcurrencyLimitStrategy.ENQUEUE
        ),
    }
    note = {
        "paused": found["paused"],
        "inactive": [each["slug"] for each in found["schedules"] if not each["active"]],
    }
    plan = next((tag.partition(":")[2] for tag in found["tags"] if tag.startswith("plan:")), None)
    by_hand = found["version"] is not None and found["version"] != stamp(fields)
    id = UUID(found["id"])
    return Thing(what_runs.SORT, f"{flow}/{found['name']}", fields, plan=plan, id=id, by_hand=by_hand, note=note)
