"""Replication, as tasks: what a plan's stores lack, and bringing one thing to one of them."""

import logging
from typing import Any

from prefect.events import emit_event

from backproof.operations import replicate as operation
from backproof.operations.replicate import Brought
from backproof.replication import Alarm, Outlook, Step
from backproof.reports.carrying import Carried, carry
from blocks import load_fleet
from tasks import stopping, words
from tasks.progress import progress
from tasks.steps import log, step

EVENTS = {
    "differ": "backproof.copies.differ",
    "damaged": "backproof.copy.damaged",
    "no good copy": "backproof.copy.none-good",
}


@step("survey {plan}")
def survey(plan: str) -> Outlook:
    """See what each store of a plan lacks of what is kept."""
    found = operation.survey(load_fleet(plan), plan, stopping.now)
    for store, reason in found.unreachable.items():
        log(f"{plan}: store {store} could not be asked: {reason}", logging.WARNING)
    return found


@step("replicate {lacking.backup} to {lacking.target}")
def bring(plan: str, lacking: Step) -> Brought:
    """Bring to one store what it lacks of one backup: the archive, checked there, the manifest, the proofs, the pin."""
    what = f"replicating {lacking.backup} to {lacking.target}"
    total = None if lacking.archive == "keep" else lacking.stored_bytes
    with progress(f"{plan}-replicate-{lacking.target}", what, total) as reported:
        brought = operation.bring(load_fleet(plan), plan, lacking, reported, stopping.now)
    log(f"{plan}: {said(brought)}")
    return brought


@step("reports of {plan}")
def carry_reports(plan: str) -> Carried:
    """Bring to every store of a plan what it lacks of the reports of recovery tests."""
    carried = carry(load_fleet(plan), plan)
    if carried.documents:
        log(f"{plan}: {carried.documents} documents of recovery tests were brought where they were missing")
    return carried


@step("alarms of {plan}", retries=0)
def raise_alarms(plan: str, alarms: tuple[Alarm, ...]) -> None:
    """Say in the log, and as events, what a person must look at."""
    resource = {"prefect.resource.id": f"backproof.plan.{plan}", "prefect.resource.name": plan}
    for alarm in alarms:
        log(f"{plan}: {alarm.fact}. {alarm.remedy}", logging.ERROR)
        facts: dict[str, Any] = alarm.model_dump(mode="json")
        emit_event(EVENTS[alarm.what], resource=resource, payload={"plan": plan, **facts})


def said(brought: Brought) -> str:
    """One line on what was done."""
    parts = []
    if brought.source is not None:
        seconds = brought.timing.elapsed_seconds
        speed = f", {rate}" if (rate := words.rate(brought.copied_bytes, seconds)) else ""
        how = ", by the store itself" if brought.server_side else ""
        parts.append(
            f"{words.size(brought.copied_bytes)} from {brought.source}{how} in {words.duration(seconds)}{speed}"
        )
    elif brought.manifest:
        parts.append("the archive was there and is the same; its manifest is written")
    if brought.proofs:
        parts.append("1 proof" if brought.proofs == 1 else f"{brought.proofs} proofs")
    if brought.pin:
        parts.append("its pin")
    otherwise = "no copy of it is good" if brought.alarms else "nothing was missing any more"
    return f"{brought.backup} to {brought.target}: {'; '.join(parts) or otherwise}"
