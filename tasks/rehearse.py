"""A recovery test, as tasks: one for each of its steps, one for the report; and the notice a week before."""

import logging
import os
from functools import partial

from backproof.alarms import Message
from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.recovery.context import Surroundings, Tell, state_folder, surroundings
from backproof.recovery_test.context import Rehearsal
from backproof.recovery_test.notice import Notice, give
from backproof.recovery_test.record import RecoveryTest
from backproof.recovery_test.run import perform
from backproof.recovery_test.steps import Step
from backproof.reports import publish
from backproof.reports.message import report_message, report_places
from backproof.runbook import facts
from backproof.runbook_page import page
from backproof.runbook_trial import program
from blocks import load_fleet
from blocks.notifications import tell
from tasks import stopping
from tasks.progress import progress
from tasks.steps import carry_out, log, step

_MOVING = ("restore", "verify")
"""Steps that report how far they are."""


def rehearsal(plan: str, backup: str, store: str | None, by: str) -> Rehearsal:
    """A recovery test that is about to begin."""
    fleet = load_fleet(plan)
    runner = partial(program, environment=os.environ)
    return Rehearsal(fleet, plan, _around(fleet, plan), by, backup, store, runner)


def as_task(under_way: Rehearsal, one: Step) -> None:
    """Carry out one step, as a task of its own. It is tried again inside, within its own phase."""

    def carried_out() -> None:
        if one.name not in _MOVING or under_way.manifest is None:
            perform(under_way, one)
            return
        plan, total = under_way.plan, under_way.manifest.plain_bytes
        with progress(f"{plan}-recovery-test-{one.name}", f"{one.name}: {plan}", total) as reported:
            under_way.progress = reported
            perform(under_way, one)

    carry_out(one.name, one.name, carried_out)


@step("report of {record.test}", retries=0)
def report(record: RecoveryTest) -> tuple[tuple[str, ...], list[str]]:
    """Write the report into every store of the plan, and tell the stakeholders.

    Returns:
        Where it lies, and a sentence for each store that has none and each target that was not told.
    """
    fleet = load_fleet(record.plan)
    problems = publish(fleet, record)
    places = report_places(fleet, record.plan, record.test)
    message = report_message(record, places, problems)
    for target in fleet.plan(record.plan).notify.report:
        if why := tell(fleet.spec, target, message.subject, message.body):
            problems.append(f"{target} was not told: {why}. `backproof alerts test` tries it.")
    for problem in problems:
        log(problem, logging.WARNING)
    return places, problems


@step("runbook of {plan}", retries=0)
def runbook(plan: str) -> str:
    """The plan's runbook, as it reads now; or why it can't be written."""
    fleet = load_fleet(plan)
    try:
        return page(fleet, plan, facts(fleet, plan, stopping.now()))
    except BackproofError as error:
        log(f"the runbook could not be written anew: {error}", logging.WARNING)
        return f"The runbook could not be written anew: {error}"


@step("notice of {plan}'s recovery test", retries=0)
def notice(plan: str) -> Notice:
    """Tell the team, look at the test environment, record the state of production."""
    fleet = load_fleet(plan)
    given = give(fleet, plan, _telling(fleet, plan), stopping.now)
    for finding in given.lacking:
        log(finding.line(), logging.WARNING)
    return given


def _around(fleet: Fleet, plan: str) -> Surroundings:
    return surroundings(
        state_folder(os.environ),
        tell=_telling(fleet, plan),
        say=log,
        progress=lambda _: stopping.check(),
        now=stopping.now,
        jobs=os.cpu_count() or 1,
    )


def _telling(fleet: Fleet, plan: str) -> Tell:
    its = fleet.plan(plan).notify
    targets = dict.fromkeys((*its.report, *its.failure))

    def told(message: Message) -> tuple[str, ...]:
        refused = {target: tell(fleet.spec, target, message.subject, message.body) for target in targets}
        for target, why in refused.items():
            if why:
                log(f"{target} was not told: {why}", logging.WARNING)
        return tuple(target for target, why in refused.items() if why is None)

    return told
