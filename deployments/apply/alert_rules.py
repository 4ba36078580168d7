"""Which automations a fleet has: a few for all its plans, not several a plan. Pure.

Plans whose messages go to the same targets share their automations, which match by the tags ``fleet:…`` and ``plan:…``
of a run. One event of Prefect's is one message to each target: tasks that fail send none, their run does.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from prefect.events.actions import ActionTypes, RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from backproof.fleet import FleetSpec
from deployments.apply import alert_texts
from deployments.apply.alert_texts import Template

FLEET_WIDE = ("retention", "replication")
"""Flows that work for all plans of a fleet in one run."""

_ESCALATES = ["backup", "verification", "recovery", "deadline", "recovery-test"]
_FAILED = {
    "prefect.flow-run.Failed",
    "prefect.flow-run.TimedOut",
    "prefect.flow-run.Crashed",
    "prefect.flow-run.Overdue",
}
_MISSED = "prefect.flow-run.ObjectiveMissed"
_TROUBLE = _FAILED | {"prefect.flow-run.Degraded", _MISSED}
_FINDINGS = {"backproof.recovery-test.overdue", "backproof.objective.outgrown-soon"}
_LATE = "prefect.flow-run.Late"
_LONGEST_NAME = 120

Match = dict[str, str | list[str]]


def prefix(fleet: str) -> str:
    """What the names of a fleet's automations begin with; no name of a fleet holds a colon."""
    return f"{fleet}: "


def targets(spec: FleetSpec) -> list[str]:
    """Every target that some automation of a fleet tells."""
    plans = [name for plan in spec.plans.values() for name in (*plan.notify.failure, *plan.notify.success)]
    return sorted({*plans, *for_the_fleet(spec)})


def for_the_fleet(spec: FleetSpec) -> tuple[str, ...]:
    """Who hears of runs for the whole fleet: whom it names or, where it names nobody, everybody that a plan names."""
    named = spec.notify.failure or tuple(name for plan in spec.plans.values() for name in plan.notify.failure)
    return tuple(sorted(set(named)))


def rules(spec: FleetSpec, blocks: Mapping[str, UUID], escalation: UUID | None) -> dict[str, AutomationCore]:
    """A fleet's automations by name.

    Args:
        spec: the fleet.
        blocks: target to the id of its block on the server; has all of ``targets``.
        escalation: the deployment that escalates; None where no plan has an escalation.
    """
    found = [*_for_plans(spec, blocks), *_for_fleet(spec, blocks)]
    if escalation is not None:
        found += _escalating(spec, escalation)
    return {rule.name: rule for rule in found}


def _for_plans(spec: FleetSpec, blocks: Mapping[str, UUID]) -> Iterator[AutomationCore]:
    failing: dict[tuple[tuple[str, ...], bool], list[str]] = defaultdict(list)
    succeeding: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, plan in sorted(spec.plans.items()):
        if plan.notify.failure:
            failing[tuple(sorted(set(plan.notify.failure))), bool(plan.escalation)].append(name)
        if plan.notify.success:
            succeeding[tuple(sorted(set(plan.notify.success)))].append(name)
    for (told, escalates), plans in failing.items():
        tags = _tags(spec.fleet, plans)
        suffix = " and escalation" if escalates else ""
        text = alert_texts.trouble(spec.fleet, escalates)
        yield _rule(spec, f"trouble{suffix}", told, _now(_TROUBLE, tags), _send(blocks, told, text))
        overdue = [*tags, {"prefect.resource.role": "flow", "prefect.resource.name": "deadline"}]
        yield _rule(spec, f"overdue, no worker{suffix}", told, _now({_LATE}, overdue), _send(blocks, told, text))
        taken_up = [*tags, {"prefect.resource.role": "flow", "prefect.resource.name": "!deadline"}]
        text = alert_texts.waiting(spec.fleet)
        yield _rule(spec, f"late runs{suffix}", told, _still(spec.late_after, taken_up), _send(blocks, told, text))
        trigger = EventTrigger(
            expect=_FINDINGS,
            match={"prefect.resource.id": [f"backproof.plan.{plan}" for plan in plans]},
            match_related=_fleet_tag(spec.fleet),
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
        )
        yield _rule(spec, f"outlook{suffix}", told, trigger, _send(blocks, told, alert_texts.finding(spec.fleet)))
    for told, plans in succeeding.items():
        trigger = EventTrigger(
            expect={"backproof.backup.proven"},
            match={"prefect.resource.id": [f"backproof.plan.{plan}" for plan in plans], "backproof.outcome": "proven"},
            match_related=_fleet_tag(spec.fleet),
            posture=Posture.Reactive,
        )
        yield _rule(spec, "proven backups", told, trigger, _send(blocks, told, alert_texts.proven(spec.fleet)))


def _for_fleet(spec: FleetSpec, blocks: Mapping[str, UUID]) -> Iterator[AutomationCore]:
    told = for_the_fleet(spec)
    if not told:
        return
    runs = [_fleet_tag(spec.fleet), {"prefect.resource.role": "flow", "prefect.resource.name": list(FLEET_WIDE)}]
    text = alert_texts.trouble(spec.fleet, escalates=False)
    yield _rule(spec, "trouble of the whole fleet", told, _now(_TROUBLE, runs), _send(blocks, told, text))
    text = alert_texts.waiting(spec.fleet)
    late = _still(spec.late_after, runs)
    yield _rule(spec, "late runs of the whole fleet", told, late, _send(blocks, told, text))


def _escalating(spec: FleetSpec, deployment: UUID) -> Iterator[AutomationCore]:
    plans = sorted(name for name, plan in spec.plans.items() if plan.escalation)
    if not plans:
        return
    tags = _tags(spec.fleet, plans)
    parameters = {
        "plan": alert_texts.parameter(spec.fleet, "{{ plan }}"),
        "incident": alert_texts.parameter(spec.fleet, alert_texts.INCIDENT),
        "what": alert_texts.parameter(spec.fleet, alert_texts.WHAT),
        "level": 1,
    }
    action = RunDeployment(source="selected", deployment_id=deployment, parameters=parameters)
    flows: Match = {"prefect.resource.role": "flow", "prefect.resource.name": _ESCALATES}
    yield _rule(spec, "escalation", (), _now(_FAILED | {_MISSED}, [*tags, flows]), [action])
    late: Match = {"prefect.resource.role": "flow", "prefect.resource.name": "deadline"}
    yield _rule(spec, "escalation, no worker", (), _now({_LATE}, [*tags, late]), [action])


def _rule(
    spec: FleetSpec, what: str, told: tuple[str, ...], trigger: EventTrigger, actions: Sequence[ActionTypes]
) -> AutomationCore:
    name = prefix(spec.fleet) + (f"{what} to {', '.join(told)}" if told else what)
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 10]} … {sha256(name.encode()).hexdigest()[:7]}"
    return AutomationCore(
        name=name,
        description=f"Made by backproof apply from the fleet {spec.fleet}; the next apply undoes what is changed here.",
        trigger=trigger,
        actions=list(actions),
    )


def _send(blocks: Mapping[str, UUID], told: tuple[str, ...], text: Template) -> list[ActionTypes]:
    return [SendNotification(block_document_id=blocks[name], subject=text.subject, body=text.body) for name in told]


def _now(events: set[str], related: list[Match]) -> EventTrigger:
    """At each such event, once."""
    return EventTrigger(
        expect=events,
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related=related,
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
    )


def _still(late_after: timedelta, related: list[Match]) -> EventTrigger:
    """A run that was late, and of which nothing was heard for a while."""
    return EventTrigger(
        after={_LATE},
        expect={"prefect.flow-run.*"},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related=related,
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        within=max(late_after, timedelta(seconds=10)),
    )


def _tags(fleet: str, plans: list[str]) -> list[Match]:
    return [_fleet_tag(fleet), {"prefect.resource.id": [f"prefect.tag.plan:{plan}" for plan in plans]}]


def _fleet_tag(fleet: str) -> Match:
    return {"prefect.resource.id": f"prefect.tag.fleet:{fleet}"}
