"""``backproof ready``: could I recover now? Every part of a recovery, with what to do where one is missing."""

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from deployments.cli import exits, speaking
from deployments.cli.findings import say_findings
from deployments.cli.recovering import Moment
from deployments.cli.recovery_in_words import asked_for
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import moment, span

if TYPE_CHECKING:
    from backproof.recovery.readiness import Readiness


@click.command("ready", short_help="Could I recover now? And how long would it take?")
@click.argument("plan")
@click.option("--backup", default="latest", metavar="ID", help="Its id, or latest: the newest that is proven.")
@click.option("--before", type=Moment(), metavar="MOMENT", help="The newest proven one taken before that (UTC).")
@pass_session
def ready_command(session: Session, plan: str, backup: str, before: datetime | None) -> int:
    """Look at all that a recovery of PLAN needs: keys, copies, tools, roles, extensions, versions, room, time.

    It is the backup that `recover` would take, with the same options. Changes nothing. Exit status 1: something is in
    the way; 3: nothing is, but there are warnings.
    """
    from backproof.recovery.choosing import Wish
    from backproof.recovery.context import state_folder, surroundings
    from backproof.recovery.readiness import look

    now, wish = datetime.now(UTC), Wish(backup, before)
    fleet = session.fleet(plan, warn=False)
    found = look(fleet, plan, surroundings(state_folder(os.environ)).local, now, wish)
    session.answer(_document(found, before, now), lambda: _say(found, asked_for(before, fleet.spec.timezone)))
    if not found.ready:
        return exits.FAILED
    return exits.DEGRADED if any(finding.status == "warning" for finding in found.findings) else exits.DONE


def _document(found: "Readiness", before: datetime | None, now: datetime) -> dict[str, object]:
    backup = found.backup
    return {
        "ready": found.ready,
        "plan": found.plan,
        "before": _utc(before) if before else None,
        "backup": backup.id if backup else None,
        "taken_at": _utc(backup.taken_at) if backup else None,
        "loses_seconds": max(0, round((now - backup.taken_at).total_seconds())) if backup else None,
        "expected_seconds": round(found.expected.total_seconds(), 3) if found.expected else None,
        "objective_seconds": round(found.objective.total_seconds()) if found.objective else None,
        "findings": [finding.model_dump(mode="json") for finding in found.findings],
        "passed_over": list(found.passed_over),
    }


def _utc(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _say(found: "Readiness", asked: dict[str, str]) -> None:
    say_findings(found.findings)
    speaking.say("")
    rows = [*asked.items(), *(("Not taken", sentence) for sentence in found.passed_over)]
    for name, value in rows:
        speaking.say(f"{name}: {value}")
    if not found.ready or found.backup is None:
        speaking.say(f"Plan {found.plan} could NOT be recovered now: see what FAILED.")
        return
    takes = (
        f"it takes about {span(found.expected.total_seconds())}" if found.expected else "nobody has measured how long"
    )
    speaking.say(
        f"Plan {found.plan} could be recovered now, to what it was {moment(found.backup.taken_at)} UTC; {takes}."
    )
