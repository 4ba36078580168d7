"""Everything on a Prefect server that tells people of a fleet: notification blocks, automations, deadlines.

Each can be brought there again and again with the same result: only what bears the fleet's name is touched, ids
survive, and an automation that somebody switched off stays off.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient
from prefect.deployments.runner import RunnerDeployment
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.flows import Flow
from prefect.types.entrypoint import EntrypointType

from backproof.alarms import standing
from backproof.errors import BackproofError
from backproof.fleet import Fleet, FleetSpec
from backproof.operations.stand import newest_proven
from backproof.records import Backup
from blocks import notifications
from blocks.notifications import Saved, block_name, kind_of, notification_block, saved_targets
from deployments import alert_rules
from flows.deadline import deadline
from flows.escalation import acknowledge, escalation
from tasks import deadlines

_PAGE = 200
_READERS = 8
_OF_THE_SERVER = {"id", "created", "updated", "enabled"}


@dataclass
class Changes:
    """What was done, by name: ``block shop--ops``, ``automation shop: …``, ``deadline of shop``."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.created or self.updated or self.removed)


def ensure(spec: FleetSpec, client: SyncPrefectClient) -> Changes:
    """Bring a server's alerts to what a fleet says. Its deployments ``deadline`` and ``escalation`` must be there.

    Raises:
        NotFound: a plan names a target that the fleet does not describe and the server has no block of.
    """
    changes = Changes()
    ensure_blocks(spec, client, changes)
    ensure_automations(spec, client, changes)
    ensure_deadlines(spec, client, changes)
    return changes


def deployments(spec: FleetSpec) -> Iterator[RunnerDeployment]:
    """What must be deployed for the rest of this module."""
    described: dict[Flow[..., Any], str] = {
        deadline: "Looks whether a plan has a proven backup that is young enough. Its runs schedule themselves.",
        escalation: "Tells one level of a plan's escalation. Automations start it, and it the turn of the next level.",
        acknowledge: "Say that you are at an incident, so that no further level is told.",
    }
    for flow, description in described.items():
        yield RunnerDeployment.from_flow(
            flow,
            f"{spec.fleet}.{flow.name}",
            entrypoint_type=EntrypointType.MODULE_PATH,
            tags=[f"fleet:{spec.fleet}"],
            description=description,
        )


def remove(fleet: str, client: SyncPrefectClient) -> Changes:
    """Take a whole fleet's alerts from a server; its deadlines go with their deployment."""
    changes = Changes()
    for automation in actual_automations(fleet, client).values():
        client.delete_automation(automation.id)
        changes.removed.append(f"automation {automation.name}")
    for saved in _blocks_of(fleet, client):
        client.delete_block_document(saved.id)
        changes.removed.append(f"block {saved.name}")
    return changes


def ensure_blocks(spec: FleetSpec, client: SyncPrefectClient, changes: Changes) -> None:
    """Write the blocks that differ from the fleet's targets, and remove those of targets that are gone."""
    wanted = {
        block_name(spec.fleet, name): notification_block(target, name) for name, target in spec.notifications.items()
    }
    kept: dict[str, Saved] = {}
    for saved in _blocks_of(spec.fleet, client):
        if saved.name in wanted and wanted[saved.name].get_block_type_slug() == saved.kind:
            kept[saved.name] = saved
    # New ones first: an automation may still tell by an old one.
    for name, block in wanted.items():
        if name not in kept:
            block.save(name)
            changes.created.append(f"block {name}")
        elif not _same_block(block, kept[name]):
            block.save(name, overwrite=True)
            changes.updated.append(f"block {name}")


def ensure_automations(spec: FleetSpec, client: SyncPrefectClient, changes: Changes) -> None:
    """Create, correct and remove automations, and last the blocks that none of them needs any more."""
    wanted = desired_automations(spec, client)
    actual = actual_automations(spec.fleet, client)
    for name, automation in wanted.items():
        if name not in actual:
            client.create_automation(automation)
            changes.created.append(f"automation {name}")
        elif not same_automation(automation, actual[name]):
            update_automation(client, actual[name], automation)
            changes.updated.append(f"automation {name}")
    for name, old in actual.items():
        if name not in wanted:
            client.delete_automation(old.id)
            changes.removed.append(f"automation {name}")
    for saved in _blocks_of(spec.fleet, client):
        if _is_gone(spec, saved):
            client.delete_block_document(saved.id)
            changes.removed.append(f"block {saved.name}")


def ensure_deadlines(spec: FleetSpec, client: SyncPrefectClient, changes: Changes) -> None:
    """Give each plan a deadline that never had one, and move those whose objectives have changed."""
    deployment = deadlines.find_deployment(client, spec.fleet)
    if deployment is None:
        return
    ahead = {plan: run for run in reversed(deadlines.runs_ahead(client, deployment)) for plan in _plans_of(run.tags)}
    for name in spec.plans.keys() & ahead.keys():
        if deadlines.keep_promise(client, ahead[name], spec.plans[name].objectives):
            changes.updated.append(f"deadline of {name}")
    new = [name for name in spec.plans if name not in ahead and not _has_lapsed(client, deployment, name)]
    now = datetime.now(UTC)
    for name, newest in _newest(Fleet(spec), new).items():
        found = standing(name, newest, now, spec.plans[name].objectives, now)
        deadlines.create(client, deployment, found)
        changes.created.append(f"deadline of {name}")


def desired_automations(spec: FleetSpec, client: SyncPrefectClient) -> dict[str, AutomationCore]:
    """What a fleet wants, by name; its blocks must be there."""
    saved = saved_targets(client)
    ids = {name: notifications.chosen(saved, spec, name).id for name in alert_rules.targets(spec)}
    return alert_rules.rules(spec, ids, _escalation(spec, client))


def actual_automations(fleet: str, client: SyncPrefectClient) -> dict[str, Automation]:
    """What there is of a fleet's, by name."""
    mine = alert_rules.prefix(fleet)
    return {automation.name: automation for automation in _automations(client) if automation.name.startswith(mine)}


def same_automation(wanted: AutomationCore, actual: Automation) -> bool:
    """Whether nothing would change; that somebody switched it off is no difference."""
    return _comparable(wanted) == _comparable(actual)


def update_automation(client: SyncPrefectClient, actual: Automation, wanted: AutomationCore) -> None:
    """Correct one; it keeps its id, and whether somebody switched it off. What its trigger waits for is forgotten."""
    client.update_automation(actual.id, wanted.model_copy(update={"enabled": actual.enabled}))


def _escalation(spec: FleetSpec, client: SyncPrefectClient) -> UUID | None:
    if not any(plan.escalation for plan in spec.plans.values()):
        return None
    return client.read_deployment_by_name(f"escalation/{spec.fleet}.escalation").id


def _automations(client: SyncPrefectClient) -> Iterator[Automation]:
    offset = 0
    while True:
        body = {"limit": _PAGE, "offset": offset, "sort": "CREATED_DESC"}
        page = client.request("POST", "/automations/filter", json=body).json()
        yield from (Automation.model_validate(each) for each in page)
        if len(page) < _PAGE:
            return
        offset += _PAGE


def _comparable(automation: AutomationCore) -> dict[str, Any]:
    dumped = automation.model_dump(mode="json", exclude=_OF_THE_SERVER)
    dumped["trigger"].pop("id", None)
    return {name: _sorted(value) for name, value in dumped.items()}


def _sorted(value: Any) -> Any:
    """Sets come back in any order."""
    if isinstance(value, Mapping):
        return {
            name: sorted(each) if name in ("expect", "after", "for_each") else _sorted(each)
            for name, each in value.items()
        }
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def _blocks_of(fleet: str, client: SyncPrefectClient) -> list[Saved]:
    mine = block_name(fleet, "")
    return [saved for saved in saved_targets(client) if saved.name.startswith(mine)]


def _is_gone(spec: FleetSpec, saved: Saved) -> bool:
    target = saved.name.removeprefix(block_name(spec.fleet, ""))
    return target not in spec.notifications or kind_of(spec.notifications[target]) != saved.kind


def _same_block(wanted: NotificationBlock, saved: Saved) -> bool:
    try:
        actual = Block.load(f"{saved.kind}/{saved.name}")
    except (ValueError, RuntimeError):
        return False
    return all(getattr(actual, name) == getattr(wanted, name) for name in type(wanted).model_fields)


def _plans_of(tags: list[str]) -> list[str]:
    return [tag.removeprefix("plan:") for tag in tags if tag.startswith("plan:")]


def _has_lapsed(client: SyncPrefectClient, deployment: UUID, plan: str) -> bool:
    """Whether its deadline was not kept and the next proven backup will set a new one; or is being judged."""
    last = deadlines.last_run(client, deployment, plan)
    return last is not None and (last.state_name in deadlines.LAPSED or not last.state or not last.state.is_final())


def _newest(fleet: Fleet, plans: list[str]) -> dict[str, Backup | None]:
    """Each plan's newest proven backup; None too where this machine does not reach a store."""

    def read(plan: str) -> Backup | None:
        try:
            return newest_proven(fleet, plan)[0]
        except BackproofError:
            return None

    with ThreadPoolExecutor(_READERS, thread_name_prefix="newest") as pool:
        return dict(zip(plans, pool.map(read, plans), strict=True))
