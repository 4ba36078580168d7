"""``backproof ready``: could I recover now? Every part of a recovery, with what to do where one is missing."""

import os
from typing import TYPE_CHECKING

import click

from deployments.cli import exits, speaking
from deployments.cli.findings import say_findings
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import moment, span

if TYPE_CHECKING:
    from backproof.recovery.readiness import Readiness


@click.command("ready", short_help="Could I recover now? And how long would it take?")
@click.argument("plan")
@pass_session
def ready_command(session: Session, plan: str) -> int:
    """Look at all that a recovery of PLAN needs: keys, copies, tools, roles, extensions, versions, room, time.

    Changes nothing. Exit status 1: something is in the way; 3: nothing is, but there are warnings.
    """
    from datetime import UTC, datetime

    from backproof.recovery.context import state_folder, surroundings
    from backproof.recovery.readiness import look

    now = datetime.now(UTC)
    found = look(session.fleet(plan, warn=False), plan, surroundings(state_folder(os.environ)).local, now)
    backup = found.backup
    document = {
        "ready": found.ready,
        "plan": plan,
        "backup": backup.id if backup else None,
        "taken_at": backup.taken_at.isoformat().replace("+00:00", "Z") if backup else None,
        "loses_seconds": round((now - backup.taken_at).total_seconds()) if backup else None,
        "expected_seconds": round(found.expected.total_seconds(), 1) if found.expected else None,
        "objective_seconds": round(found.objective.total_seconds()) if found.objective else None,
        "findings": [finding.model_dump(mode="json") for finding in found.findings],
    }
    session.answer(document, lambda: _say(found))
    if not found.ready:
        return exits.FAILED
    return exits.DEGRADED if any(finding.status == "warning" for finding in found.findings) else exits.DONE


def _say(found: "Readiness") -> None:
    say_findings(found.findings)
    speaking.say("")
    if not found.ready or found.backup is None:
        speaking.say(f"Plan {found.plan} could NOT be recovered now: see what FAILED.")
        return
    takes = (
        f"it takes about {span(found.expected.total_seconds())}" if found.expected else "nobody has measured how long"
    )
    speaking.say(
        f"Plan {found.plan} could be recovered now, to what it was {moment(found.backup.taken_at)} UTC; {takes}."
    )
