"""The automation that marks lost runs ``Crashed``: those whose machine went away without a word.

A run sends a heartbeat every so often, where its worker says so. One that was killed together with its worker sends no
more, and would be "Running" for ever.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from backproof.fleet import FleetSpec
from deployments.apply.things import Sort, Thing
from deployments.apply.what_runs import tag
from tasks.deadlines import LAPSED

_ALIVE = "prefect.flow-run.heartbeat"
_ENDS = ("Completed", "Degraded", "Failed", "TimedOut", "Crashed", "Cancelled", "Skipped", *LAPSED)
_OVER = tuple(f"prefect.flow-run.{name}" for name in _ENDS)


class LostRuns(Sort):
    """One automation a fleet, known by its name."""

    name = "automation for lost runs"

    def desired(self, spec: FleetSpec) -> Sequence[Thing]:
        """That one automation."""
        return [Thing(self.name, _name(spec.fleet), _fields(automation(spec.fleet, spec.lost_after)))]

    def actual(self, client: SyncPrefectClient, spec: FleetSpec) -> Sequence[Thing]:
        """The automation of that name, if it is there; whether it is paused is not looked at."""
        found = client.read_automations_by_name(_name(spec.fleet))
        return [
            Thing(self.name, each.name, _fields(each), id=each.id, note={"enabled": each.enabled}) for each in found
        ]

    def create(self, client: SyncPrefectClient, wanted: Thing) -> None:
        """Make it."""
        client.create_automation(AutomationCore.model_validate(dict(wanted.fields)))

    def change(self, client: SyncPrefectClient, wanted: Thing, found: Thing) -> None:
        """Write over it; one that is switched off stays so."""
        client.update_automation(found.id, AutomationCore.model_validate({**wanted.fields, **found.note}))

    def remove(self, client: SyncPrefectClient, found: Thing) -> None:
        """Take it away."""
        client.delete_automation(found.id)


def automation(fleet: str, silence: timedelta) -> AutomationCore:
    """After a heartbeat, neither another nor an end within the time: the run is lost."""
    trigger = EventTrigger(
        after={_ALIVE},
        expect={_ALIVE, *_OVER},
        match=ResourceSpecification.model_validate({"prefect.resource.id": "prefect.flow-run.*"}),
        match_related=ResourceSpecification.model_validate(
            {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{tag(fleet)}"}
        ),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=silence,
    )
    message = "No sign of life: its machine or its worker went away. What it left is swept by the plan's next run."
    action = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=message)
    return AutomationCore(
        name=_name(fleet),
        description=f"Marks runs of fleet {fleet} as crashed that no longer give a sign of life.",
        trigger=trigger,
        actions=[action],
    )


def _name(fleet: str) -> str:
    return f"Lost runs of {fleet}"


def _fields(given: AutomationCore | Automation) -> dict[str, Any]:
    fields = given.model_dump(mode="json", include={"name", "description", "trigger", "actions"})
    fields["trigger"].pop("id", None)
    for name in ("after", "expect", "for_each"):
        fields["trigger"][name] = sorted(fields["trigger"][name])
    return fields
