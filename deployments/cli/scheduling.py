"""``backproof schedule``: what will run when. Offline."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from deployments.cli import speaking
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import moment

if TYPE_CHECKING:
    from backproof.fleet import FleetSpec
    from backproof.fleet.timetable import Entry

TIMES = 3


@dataclass(frozen=True)
class Row:
    """One schedule, and the next times it fires."""

    plan: str | None
    """None: it is for the whole fleet."""
    entry: "Entry"
    next: Sequence[datetime]
    paused: bool | None
    """None: nobody has asked the server."""

    def document(self) -> dict[str, object]:
        """As ``docs/json.md`` has it."""
        return {
            "plan": self.plan,
            "kind": self.entry.kind,
            "cron": self.entry.cron,
            "next": [each.isoformat().replace("+00:00", "Z") for each in self.next],
            "paused": self.paused,
        }


@click.command("schedule", short_help="Print what will run when, offline.")
@click.argument("plan", required=False)
@pass_session
def schedule_command(session: Session, plan: str | None) -> None:
    """Print what will run when, for PLAN or the whole fleet: each schedule and its next three times. Offline.

    These are the times at which Prefect's scheduler starts runs, once `backproof apply` has been run; whether somebody
    has paused a schedule there is not known here.
    """
    from backproof.fleet.advice import advice
    from backproof.operations.clock import utc_now

    spec, now = session.fleet(plan, warn=False).spec, utc_now()
    found = rows(spec, now, {}, plan)
    warnings = advice(spec, now)
    for warning in warnings:
        speaking.warn(warning)
    document = {"timezone": spec.timezone, "schedules": [row.document() for row in found], "warnings": warnings}
    session.answer(document, lambda: say(spec, found))


def rows(
    spec: "FleetSpec", now: datetime, paused: Mapping[tuple[str | None, str], bool], plan: str | None = None
) -> list[Row]:
    """Every schedule of a fleet, or of one plan.

    Args:
        spec: the fleet.
        now: where the next times begin.
        paused: by plan and slug, whether a schedule is paused; what is not in it is not known.
        plan: only this one's.
    """
    from backproof.fleet import timetable

    entries: list[tuple[str | None, Iterable[Entry]]] = [
        (name, (*timetable.of_plan(spec, name), *timetable.recovery_tests(spec, name), *timetable.notices(spec, name)))
        for name in spec.plans
        if plan in (None, name)
    ]
    if plan is None:
        entries.append((None, timetable.of_fleet(spec)))
    return [
        Row(
            name,
            entry,
            timetable.next_of(entry, spec.timezone, now, TIMES),
            paused.get((name, entry.slug)),
        )
        for name, of_one in entries
        for entry in of_one
    ]


def say(spec: "FleetSpec", found: Sequence[Row]) -> None:
    """A line a schedule."""
    zone = "" if spec.timezone == "UTC" else f", in {spec.timezone}"
    table = [
        [
            row.plan or "(all plans)",
            row.entry.kind,
            row.entry.cron if row.entry.rule is None else f"a week before {row.entry.cron}",
            "paused by hand" if row.paused else ", ".join(map(moment, row.next)) or "never",
        ]
        for row in found
    ]
    if table:
        speaking.print_table(["Plan", "What", f"Schedule{zone}", "Next (UTC)"], table)
    else:
        speaking.say("Nothing is scheduled.")
