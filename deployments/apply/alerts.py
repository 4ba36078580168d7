"""The automations that tell people, as things of a fleet; which there are, ``alert_rules`` says."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound

from backproof.fleet import FleetSpec
from blocks.notifications import chosen, find, saved_targets
from deployments.apply import alert_rules
from deployments.apply.things import Change, Sort, Thing

_PAGE = 200
_NAMED = {"send-notification": "block_document_id", "run-deployment": "deployment_id"}
"""What each kind of action names by its id."""


class Alerts(Sort):
    """Their names begin with the fleet's and a colon. What each names by id, its fields name by name."""

    name = "automation"
    removed_at_once = True  # one that is left over would tell of a plan twice, or whom it should no longer tell

    def __init__(self) -> None:
        self._wanted: Sequence[Thing] = ()
        self._ids: dict[str, str] = {}

    def desired(self, spec: FleetSpec) -> Sequence[Thing]:
        """The rules of a fleet; the ids in them are made up of names."""
        named = {_made_up(name): name for name in [*alert_rules.targets(spec), _escalation(spec)]}
        ids = {name: _made_up(name) for name in alert_rules.targets(spec)}
        escalates = any(plan.escalation for plan in spec.plans.values())
        rules = alert_rules.rules(spec, ids, _made_up(_escalation(spec)) if escalates else None)
        names = {str(made_up): name for made_up, name in named.items()}
        self._wanted = [Thing(self.name, name, _fields(rule, names)) for name, rule in rules.items()]
        return self._wanted

    def actual(self, client: SyncPrefectClient, spec: FleetSpec) -> Sequence[Thing]:
        """The fleet's automations; whether one is switched off is not looked at.

        Raises:
            NotFound: a target that is told is neither in the fleet nor on the server.
        """
        saved = saved_targets(client)
        theirs = {name for name in alert_rules.targets(spec) if name not in spec.notifications}
        names = {str(chosen(saved, spec, name).id): name for name in theirs}
        for target in spec.notifications:
            if there := find(saved, spec, target):
                names[str(there.id)] = target
        if deployment := _deployment(client, spec):
            names[str(deployment)] = _escalation(spec)
        mine = alert_rules.prefix(spec.fleet)
        return [
            Thing(self.name, each.name, _fields(each, names), id=each.id, note={"enabled": each.enabled})
            for each in _automations(client)
            if each.name.startswith(mine)
        ]

    def before(self, client: SyncPrefectClient, spec: FleetSpec, changes: Sequence[Change]) -> None:
        """Targets and deployments are there by now."""
        saved = saved_targets(client)
        self._ids = {name: str(chosen(saved, spec, name).id) for name in alert_rules.targets(spec)}
        if deployment := _deployment(client, spec):
            self._ids[_escalation(spec)] = str(deployment)

    def create(self, client: SyncPrefectClient, wanted: Thing) -> None:
        """Make an automation."""
        client.create_automation(self._automation(wanted, enabled=True))

    def change(self, client: SyncPrefectClient, wanted: Thing, found: Thing) -> None:
        """Write over one. It keeps its id, and stays switched off; what its trigger waits for is forgotten."""
        client.update_automation(found.id, self._automation(wanted, enabled=found.note["enabled"]))

    def remove(self, client: SyncPrefectClient, found: Thing) -> None:
        """Take one away."""
        client.delete_automation(found.id)

    def _automation(self, wanted: Thing, enabled: bool) -> AutomationCore:
        actions = [_renamed(action, self._ids) for action in wanted.fields["actions"]]
        return AutomationCore.model_validate({**wanted.fields, "actions": actions, "enabled": enabled})


def _fields(rule: AutomationCore, names: Mapping[str, str]) -> dict[str, Any]:
    fields = rule.model_dump(mode="json", include={"name", "description", "trigger", "actions"})
    fields["trigger"].pop("id", None)
    for name in ("after", "expect", "for_each"):
        fields["trigger"][name] = sorted(fields["trigger"][name])
    fields["actions"] = [_renamed(action, names) for action in fields["actions"]]
    return fields


def _renamed(action: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    field = _NAMED.get(str(action["type"]), "")
    return {**action, field: names.get(action[field], action[field])} if field in action else dict(action)


def _made_up(name: str) -> UUID:
    return uuid5(NAMESPACE_URL, name)


def _escalation(spec: FleetSpec) -> str:
    return f"escalation/{spec.fleet}.escalation"


def _deployment(client: SyncPrefectClient, spec: FleetSpec) -> UUID | None:
    try:
        return client.read_deployment_by_name(_escalation(spec)).id
    except ObjectNotFound:
        return None


def _automations(client: SyncPrefectClient) -> list[Automation]:
    found: list[Automation] = []
    while True:
        body = {"limit": _PAGE, "offset": len(found), "sort": "CREATED_DESC"}
        page = client.request("POST", "/automations/filter", json=body).json()
        found += (Automation.model_validate(each) for each in page)
        if len(page) < _PAGE:
            return found
