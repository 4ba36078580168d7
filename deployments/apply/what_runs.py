"""Which deployments a fleet has, and on which schedules. Pure.

A deployment names its flow by module, so that a worker finds it wherever this checkout, or image, is installed.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema

from backproof.fleet import FleetSpec, timetable
from backproof.fleet.timetable import Entry
from deployments.apply import forms
from deployments.apply.things import Thing
from flows.backup import backup
from flows.deadline import deadline
from flows.escalation import acknowledge, escalation
from flows.recovery import recovery
from flows.recovery_test import recovery_test, recovery_test_notice
from flows.replication import replication
from flows.retention import retention
from flows.verification import verification

SORT = "deployment"
BY_HAND: tuple[Flow[..., Any], ...] = (backup, verification, recovery, recovery_test)
"""Started by a person, for a plan picked from a list."""
FOR_ALL: tuple[Flow[..., Any], ...] = (retention, replication)
"""On a schedule of the fleet's, over all plans or some."""


BEHIND_THE_SCENES: tuple[Flow[..., Any], ...] = (deadline, escalation)
"""Started by other runs, and by automations."""


def tag(fleet: str) -> str:
    """What all deployments of a fleet bear, and their runs."""
    return f"fleet:{fleet}"


def deployments(spec: FleetSpec) -> list[Thing]:
    """Per plan its backup, recovery test and notice of that; for the whole fleet ``<fleet>.…``, with lists of plans."""
    entries = timetable.of_fleet(spec)
    return [
        *(thing for plan in spec.plans for thing in _of_plan(spec, plan)),
        *(_by_hand(spec, flow) for flow in BY_HAND),
        *(_behind_the_scenes(spec, flow) for flow in BEHIND_THE_SCENES),
        _deployment(spec, acknowledge, f"{spec.fleet}.acknowledge", _first_line(acknowledge)),
        *(_for_all(spec, flow, [entry for entry in entries if entry.kind == flow.name]) for flow in FOR_ALL),
    ]


def _of_plan(spec: FleetSpec, plan: str) -> Iterator[Thing]:
    schedules = {entry.slug: _schedule(spec, entry, {"kind": entry.kind}) for entry in timetable.of_plan(spec, plan)}
    yield _deployment(
        spec,
        backup,
        f"{plan}-backup",
        forms.plan_backup(spec, plan),
        plan=plan,
        form=_form(spec, backup, [plan]),
        schedules=schedules,
        parameters={"plan": plan, "kind": "manual"},
    )
    tests, notices = timetable.recovery_tests(spec, plan), timetable.notices(spec, plan)
    yield _deployment(
        spec,
        recovery_test,
        f"{plan}-recovery-test",
        forms.plan_recovery_test(spec, plan),
        plan=plan,
        form=_form(spec, recovery_test, [plan]),
        schedules={entry.slug: _schedule(spec, entry, {}) for entry in tests},
        parameters={"plan": plan},
    )
    if notices:
        yield _deployment(
            spec,
            recovery_test_notice,
            f"{plan}-recovery-test-notice",
            forms.plan_notice(spec, plan),
            plan=plan,
            form=_form(spec, recovery_test_notice, [plan]),
            schedules={entry.slug: _schedule(spec, entry, {}) for entry in notices},
            parameters={"plan": plan},
        )


def _by_hand(spec: FleetSpec, flow: Flow[..., Any]) -> Thing:
    words = forms.by_hand(spec, flow.name, _first_line(flow))
    return _deployment(spec, flow, f"{spec.fleet}.{flow.name}", words, form=_form(spec, flow, spec.plans))


def _for_all(spec: FleetSpec, flow: Flow[..., Any], entries: Sequence[Entry]) -> Thing:
    return _deployment(
        spec,
        flow,
        f"{spec.fleet}.{flow.name}",
        forms.for_all(spec, flow.name, _first_line(flow)),
        form=_form(spec, flow, spec.plans),
        schedules={entry.slug: _schedule(spec, entry, {}) for entry in entries},
        parameters={"fleet": spec.fleet},
    )


def _behind_the_scenes(spec: FleetSpec, flow: Flow[..., Any]) -> Thing:
    return _deployment(spec, flow, f"{spec.fleet}.{flow.name}", f"{_first_line(flow)} Nobody needs to start it.")


def _deployment(
    spec: FleetSpec,
    flow: Flow[..., Any],
    name: str,
    description: str,
    *,
    plan: str | None = None,
    form: Mapping[str, Any] | None = None,
    schedules: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Thing:
    fields = {
        "description": description,
        "entrypoint": f"{flow.fn.__module__}.{flow.fn.__name__}",
        "form": form or copy.deepcopy(_form_of(flow)),
        "parameters": parameters or {},
        "schedules": schedules or {},
        "tags": [tag(spec.fleet), *([f"plan:{plan}"] if plan else [])],
        "work_pool": spec.pool_name,
        # In line: cancelling the newcomer would drop the monthly backup while the daily one still runs.
        "one_at_a_time": bool(schedules),
    }
    return Thing(SORT, f"{flow.name}/{name}", fields, plan=plan)


def _schedule(spec: FleetSpec, entry: Entry, parameters: Mapping[str, Any]) -> dict[str, Any]:
    fires = {"cron": entry.cron} if entry.rule is None else {"rrule": entry.rule}
    return fires | {"timezone": spec.timezone, "parameters": dict(parameters)}


def _form(spec: FleetSpec, flow: Flow[..., Any], plans: Iterable[str]) -> dict[str, Any]:
    form = copy.deepcopy(_form_of(flow))
    forms.offer(form["properties"], spec.fleet, plans, spec.stores)
    return form


@cache
def _form_of(flow: Flow[..., Any]) -> dict[str, Any]:
    return parameter_schema(flow).model_dump(mode="json", exclude_unset=True)


def _first_line(flow: Flow[..., Any]) -> str:
    return (flow.description or "").strip().splitlines()[0]
