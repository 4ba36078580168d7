"""The automations that mark lost runs ``Crashed``: those whose machine went away without a word.

A run sends a heartbeat every so often, where its worker says so. One that was killed together with its worker sends no
more, and would be "Running" for ever; one that its worker had taken up, and not begun when it died, "Pending".
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
_TAKEN_UP = "prefect.flow-run.Pending"
_ENDS = ("Completed", "Degraded", "Failed", "TimedOut", "Crashed", "Cancelled", "Skipped", *LAPSED)
_SILENT = "No sign of life: its machine or its worker went away. What it left is swept by the plan's next run."
_NEVER_BEGAN = "It never began: its worker went away, or could not start it. Nothing of it was done."
_OVER = tuple(f"prefect.flow-run.{name}" for name in _ENDS)


class LostRuns(Sort):
    """Two automations a fleet, known by their names."""

    name = "automation for lost runs"

    def desired(self, spec: FleetSpec) -> Sequence[Thing]:
        """Those two automations."""
        return [Thing(self.name, each.name, _fields(each)) for each in automations(spec.fleet, spec.lost_after)]

    def actual(self, client: SyncPrefectClient, spec: FleetSpec) -> Sequence[Thing]:
        """The automations of those names that are there; whether one is paused is not looked at."""
        return [
            Thing(self.name, each.name, _fields(each), id=each.id, note={"enabled": each.enabled})
            for wanted in automations(spec.fleet, spec.lost_after)
            for each in client.read_automations_by_name(wanted.name)
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


def automations(fleet: str, silence: timedelta) -> tuple[AutomationCore, AutomationCore]:
    """Of runs that fall silent, and of runs that never begin."""
    return silent(fleet, silence), never_begun(fleet, silence)


def silent(fleet: str, silence: timedelta) -> AutomationCore:
    """After a heartbeat, neither another nor an end within the time: the run is lost."""
    return AutomationCore(
        name=f"Lost runs of {fleet}",
        description=f"Marks runs of fleet {fleet} as crashed that no longer give a sign of life.",
        trigger=_nothing_follows(fleet, _ALIVE, {_ALIVE, *_OVER}, silence),
        actions=[_crashed(_SILENT)],
    )


def never_begun(fleet: str, silence: timedelta) -> AutomationCore:
    """After a worker has taken a run up, nothing more of it within the time, a heartbeat neither: it was lost then."""
    return AutomationCore(
        name=f"Runs of {fleet} that never began",
        description=f"Marks runs of fleet {fleet} as crashed that a worker took up, and that did not begin.",
        trigger=_nothing_follows(fleet, _TAKEN_UP, {"prefect.flow-run.*"}, silence),
        actions=[_crashed(_NEVER_BEGAN)],
    )


def _nothing_follows(fleet: str, after: str, expected: set[str], silence: timedelta) -> EventTrigger:
    return EventTrigger(
        after={after},
        expect=expected,
        match=ResourceSpecification.model_validate({"prefect.resource.id": "prefect.flow-run.*"}),
        match_related=ResourceSpecification.model_validate(
            {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{tag(fleet)}"}
        ),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=silence,
    )


def _crashed(message: str) -> ChangeFlowRunState:
    return ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=message, force=False)


def _fields(given: AutomationCore | Automation) -> dict[str, Any]:
    fields = given.model_dump(mode="json", include={"name", "description", "trigger", "actions"})
    fields["trigger"].pop("id", None)
    for name in ("after", "expect", "for_each"):
        fields["trigger"][name] = sorted(fields["trigger"][name])
    return fields
