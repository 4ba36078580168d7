"""``backproof recovery-test``: a recovery rehearsed by the stopwatch, and the notice a week before."""

from typing import TYPE_CHECKING

import click

from deployments.cli import exits, speaking
from deployments.cli.findings import print_timings, say_findings
from deployments.cli.recovering import user
from deployments.cli.runs import prepare, result
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import moment, size

if TYPE_CHECKING:
    from backproof.recovery_test.notice import Notice
    from backproof.recovery_test.record import RecoveryTest


@click.command("recovery-test", short_help="Rehearse a recovery by the stopwatch, and report.")
@click.argument("plan")
@click.option("--backup", default="latest", show_default=True, metavar="ID", help="Its id, or latest.")
@click.option("--from", "store", metavar="STORE", help="This store's copy; else that of the region whose turn it is.")
@click.option(
    "--notice", is_flag=True, help="Only announce it: tell the team, look at what it needs, record production."
)
@pass_session
def recovery_test_command(session: Session, plan: str, backup: str, store: str | None, notice: bool) -> int:
    """Rehearse a recovery of PLAN: bring a backup back from a cloud copy to a staging server, and let the application
    use it. Nothing live is touched; the report goes to every store.

    Exit status 1: it failed. Exit status 4: not all of it was run, which is no pass. Exit status 3: it passed, and a
    store lacks the report, or somebody was not told; with --notice: something has to be mended before the test.
    """
    prepare(session, plan, store=store)
    if notice:
        return _announce(session, plan)
    from flows.record import RecoveryTestRun
    from flows.recovery_test import recovery_test

    run = RecoveryTestRun.model_validate(result(recovery_test, plan, backup, store, user()))
    for problem in run.problems:
        speaking.warn(problem)
    session.answer(run.model_dump(mode="json"), lambda: _say(run.recovery_test))
    passed = exits.DEGRADED if run.problems else exits.DONE
    return {"passed": passed, "failed": exits.FAILED, "incomplete": exits.COULD_NOT_RUN}[run.recovery_test.verdict]


def _announce(session: Session, plan: str) -> int:
    from backproof.recovery_test.notice import Notice
    from flows.recovery_test import recovery_test_notice

    given = Notice.model_validate(result(recovery_test_notice, plan))
    for problem in given.problems:
        speaking.warn(problem)
    session.answer({"notice": given.model_dump(mode="json")}, lambda: _say_notice(given))
    return exits.DEGRADED if given.problems or given.lacking else exits.DONE


_COLOURS = {"pass": "green", "fail": "red", "not run": "yellow"}


def _say(record: "RecoveryTest") -> None:
    speaking.say(f"{record.test} of {record.plan}: {record.verdict}. {record.summary}")
    speaking.say("")
    speaking.print_facts(
        {
            "Backup": f"{record.backup or 'none'}, {size(record.stored_bytes)} stored, {size(record.live_bytes)} live",
            "From": record.location or "nowhere",
            "To": record.staging or "nowhere",
        }
    )
    speaking.say("")
    points = [[each.name, each.status, each.evidence] for each in (*record.checklist, *record.rollback_checklist)]
    speaking.print_table(["Point", "", "Evidence"], points, colours=_COLOURS)
    if record.issues:
        speaking.say("")
        issues = [[each.id, each.owner, f"{each.due_at:%Y-%m-%d}", each.remedy] for each in record.issues]
        speaking.print_table(["Issue", "Owner", "Due", "To do"], issues)
    speaking.say("")
    print_timings(record.phases)


def _say_notice(given: "Notice") -> None:
    when = "it has no schedule" if given.due_at is None else f"{moment(given.due_at)} UTC"
    speaking.print_facts({"Test": when, "Responsible": given.responsible, "Told": ", ".join(given.told) or "nobody"})
    speaking.say("")
    say_findings(given.environment)
    if given.still_open:
        speaking.say("")
        rows = [[each.id, each.owner, f"{each.due_at:%Y-%m-%d}", each.what] for each in given.still_open]
        speaking.print_table(["Still open", "Owner", "Due", ""], rows)
