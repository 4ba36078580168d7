"""``backproof runbook``: the page of a plan, with its own commands."""

from pathlib import Path

import click

from deployments.cli import speaking
from deployments.cli.files import write_over
from deployments.cli.session import Session, pass_session


@click.command("runbook", short_help="Write the page of a plan: its commands, figures, people, keys.")
@click.argument("plan")
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="A file; else printed.")
@pass_session
def runbook_command(session: Session, plan: str, to: Path | None) -> None:
    """Write the runbook of PLAN in Markdown: its own commands, sizes, times, people, and where backups and keys are.

    No secret is in it, and nothing of the moment: the same facts give the same page. A recovery test executes its
    commands, and looks whether its review (recovery_test.runbook_reviewed) still counts.
    """
    from datetime import UTC, datetime

    from backproof.runbook import facts, reviewed
    from backproof.runbook_page import page

    now = datetime.now(UTC)
    fleet = session.fleet(plan, warn=False)
    text = page(fleet, plan, facts(fleet, plan, now))
    status, said = reviewed(fleet, plan, now)
    if to is not None:
        write_over(to, text)
    document = {"plan": plan, "file": str(to) if to else None, "review": {"status": status, "what": said}, "page": text}
    session.answer({"runbook": document}, lambda: speaking.say(f"Wrote {to}.") if to else speaking.say(text.rstrip()))
