"""``backproof doctor``: would a backup work? Every preflight check, with its remedy."""

from typing import TYPE_CHECKING

import click

from deployments.cli import exits, speaking
from deployments.cli.findings import say_findings
from deployments.cli.session import Session, pass_session

if TYPE_CHECKING:
    from backproof.engines import Grants


@click.command("doctor", short_help="Run every preflight check of a plan.")
@click.argument("plan")
@click.option("--print-grants", is_flag=True, help="Print the least-privilege SQL for backup and for restore instead.")
@click.option("--restore", "of_restore", is_flag=True, help="Could the newest backup be restored on the plan's server?")
@pass_session
def doctor_command(session: Session, plan: str, print_grants: bool, of_restore: bool) -> int:
    """Run every preflight check of PLAN: keys, database, rights, tools, stores, space. Exit status 1 if one failed."""
    from backproof.engines import Grants
    from backproof.operations.preflight import preflight
    from backproof.operations.restore import readiness

    if print_grants and of_restore:
        raise click.UsageError("--print-grants prints the rights for a restore too; leave out --restore.")

    fleet = session.fleet(plan, warn=print_grants)  # else a finding says it
    if print_grants:
        engine = fleet.engine(plan)
        grants = Grants(
            engine.grants(fleet.target(plan)).backup, engine.grants(fleet.restorer(plan)).restore
        )  # it is the admin, where there is one, who restores
        session.answer({"backup": grants.backup, "restore": grants.restore}, lambda: _say_grants(grants))
        return exits.DONE
    findings = readiness(fleet, plan) if of_restore else preflight(fleet, plan)
    failed = any(finding.status == "failed" for finding in findings)
    session.answer(
        {"ok": not failed, "findings": [finding.model_dump(mode="json") for finding in findings]},
        lambda: say_findings(findings),
    )
    return exits.FAILED if failed else exits.DONE


def _say_grants(grants: "Grants") -> None:
    speaking.say(grants.backup.strip())
    speaking.say("")
    speaking.say(grants.restore.strip())
