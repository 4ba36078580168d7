"""The notice, a week before a recovery test: the team told, the environment looked at, production's state recorded."""

from collections.abc import Sequence
from datetime import datetime

from backproof.alarms import Message, moment
from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.fleet.timetable import next_times
from backproof.operations.clock import Now, utc_now
from backproof.records import Finding, Record
from backproof.recovery.context import Tell
from backproof.recovery_test import environment, production
from backproof.recovery_test.downloading import clouds, where, whose_turn
from backproof.recovery_test.judging import responsible
from backproof.recovery_test.production import ProductionState
from backproof.recovery_test.record import Issue
from backproof.reports.issues import open_issues
from backproof.reports.message import issue_lines


class Notice(Record):
    """What was told and recorded."""

    plan: str
    due_at: datetime | None
    """When the test is to be."""
    responsible: str
    told: tuple[str, ...]
    environment: tuple[Finding, ...]
    state: ProductionState | None
    """None: production could not be read; ``problems`` says why."""
    still_open: tuple[Issue, ...]
    problems: tuple[str, ...]

    @property
    def lacking(self) -> tuple[Finding, ...]:
        """What has to be mended before the test."""
        return tuple(each for each in self.environment if each.status == "failed")


def give(fleet: Fleet, plan: str, tell: Tell, now: Now = utc_now) -> Notice:
    """Tell the team, look at the test environment, record the state of production.

    Args:
        fleet: where the plan is found.
        plan: its name.
        tell: sends the message.
        now: the wall clock.

    Raises:
        BackproofError: production was read, and no store took its state.
    """
    its, at = fleet.plan(plan), now()
    due_at = next(iter(next_times(its.schedules.recovery_test, fleet.spec.timezone, at, 1)), None)
    found = environment.look(fleet, plan, due_at or at)
    problems: list[str] = []
    state: ProductionState | None = None
    try:
        state = production.read(fleet, plan, now)
    except BackproofError as error:
        problems.append(f"the state of production could not be recorded: {error}")
    still_open = open_issues(fleet, plan)
    told = tell(message(fleet, plan, due_at, at, found, state, still_open))
    if state is not None:
        state = state.model_copy(update={"due_at": due_at, "told": told, "environment": found})
        problems += production.write(fleet, state)
    who = responsible(its.recovery_test, its.escalation)
    return Notice(
        plan=plan,
        due_at=due_at,
        responsible=who,
        told=told,
        environment=found,
        state=state,
        still_open=still_open,
        problems=tuple(problems),
    )


def message(
    fleet: Fleet,
    plan: str,
    due_at: datetime | None,
    at: datetime,
    found: Sequence[Finding],
    state: ProductionState | None,
    still_open: Sequence[Issue],
) -> Message:
    """What the team is told."""
    its = fleet.plan(plan)
    buckets = clouds(fleet, plan)
    copy = where(fleet, whose_turn(buckets, due_at) if buckets and due_at else its.stores[-1])
    staging = its.recovery_test.staging.database or "a throwaway server"
    when = "when somebody starts it: it has no schedule" if due_at is None else moment(due_at)
    tables = f", of {len(state.rows)} tables and {sum(state.rows.values()):,} rows" if state else ""
    lines = [
        f"Plan: {plan}",
        f"When: {when}",
        f"Scope: the newest backup of {its.database}{tables} is brought back from {copy} to {staging}, held against "
        "production, and used by the application. Nothing live is touched.",
        f"Responsible: {responsible(its.recovery_test, its.escalation)}",
    ]
    lacking = [each for each in found if each.status == "failed"]
    lines += [f"To mend before: {each.check}: {each.found}. {each.remedy}" for each in lacking]
    lines += [f"Still open: {line}" for line in issue_lines(still_open, at)]
    lines += [] if still_open else ["Still open: nothing of earlier tests"]
    day = "soon" if due_at is None else f"on {due_at:%Y-%m-%d}"
    return Message(f"{plan}: a recovery test {day}", "\n".join(lines))
