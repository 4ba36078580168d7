"""When a plan is overdue, and how alarms are worded: plan, what, since when, what to do. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime

from backproof.fleet.durations import spell
from backproof.fleet.specs import ObjectivesSpec
from backproof.records import Backup, Record


@dataclass(frozen=True, slots=True)
class Message:
    """What a target is sent."""

    subject: str
    body: str


class RecoveryPoint(Record):
    """How a plan stands against its recovery point objective."""

    plan: str
    newest: str | None
    """Its newest proven backup; None: there is none."""
    since: datetime
    """What its age counts from: that backup's snapshot; without one, when the plan was first applied."""
    due: datetime
    """When it is overdue, unless a newer backup is proven."""
    overdue: bool
    limit: str
    """What is promised, in words: ``1d and 2h of grace``."""
    doubts: tuple[str, ...] = ()
    """Stores that could not be asked, a sentence each."""


def deadline(since: datetime, objectives: ObjectivesSpec) -> datetime:
    """When a plan is overdue whose newest proven backup was taken at ``since``."""
    return since + objectives.rpo + objectives.grace


def recovery_point(
    plan: str,
    newest: Backup | None,
    first_applied: datetime,
    objectives: ObjectivesSpec,
    now: datetime,
    doubts: tuple[str, ...] = (),
) -> RecoveryPoint:
    """Hold a plan's newest proven backup against what is promised.

    Args:
        plan: its name.
        newest: its newest proven backup; None: there is none.
        first_applied: what counts while there was never one.
        objectives: of the plan.
        now: aware UTC.
        doubts: stores that could not be asked.
    """
    since = newest.taken_at if newest else first_applied
    due = deadline(since, objectives)
    return RecoveryPoint(
        plan=plan,
        newest=newest.id if newest else None,
        since=since,
        due=due,
        overdue=now >= due,
        limit=limit(objectives),
        doubts=doubts,
    )


def limit(objectives: ObjectivesSpec) -> str:
    """``1d and 2h of grace``."""
    return f"{spell(objectives.rpo)} and {spell(objectives.grace)} of grace"


def overdue_sentence(found: RecoveryPoint) -> str:
    """Why a plan is overdue."""
    if found.newest is None:
        fact = f"There is no proven backup of {found.plan}, which was first applied at {moment(found.since)}."
    else:
        fact = (
            f"The newest proven backup of {found.plan} is {found.newest}, taken at {moment(found.since)}: "
            f"older than {found.limit}."
        )
    return " ".join([fact, *found.doubts])


def moment(at: datetime) -> str:
    """``2025-11-07 02:00:00 UTC``."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def trial_message(fleet: str, target: str, now: datetime) -> Message:
    """What ``backproof alerts test`` sends."""
    return Message(
        f"{fleet}: a test of {target}",
        f"Fleet: {fleet}\nWhat: a test message for target {target}, sent by backproof alerts test\n"
        f"Since: {moment(now)}\nWhat to do: nothing. Alarms of this fleet arrive here.",
    )
