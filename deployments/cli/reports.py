"""``backproof reports``: the reports of recovery tests, listed, brought here, checked; and what they found, closed."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deployments.cli import exits, speaking
from deployments.cli.recovering import user
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import moment, several, span

if TYPE_CHECKING:
    from backproof.errors import BackproofError
    from backproof.fleet import Fleet
    from backproof.recovery_test.record import Issue, RecoveryTest
    from backproof.reports.catalogue import Held
    from backproof.reports.checking import Format
    from backproof.reports.pulling import Pulled

_COLOURS = {"passed": "green", "failed": "red", "incomplete": "yellow", "unreadable": "red"}


class Since(click.ParamType):  # type: ignore[type-arg]
    """``2026``, ``2026-01`` or ``2026-01-06``: its first moment, in UTC."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse it."""
        if isinstance(value, datetime):
            return value
        for pattern in ("%Y-%m-%d", "%Y-%m", "%Y"):
            try:
                return datetime.strptime(value, pattern).replace(tzinfo=UTC)
            except ValueError:
                continue
        self.fail(f"{value!r} is no month or day; write 2026-01 or 2026-01-06.", param, ctx)


@click.group("reports", short_help="The reports of recovery tests: list, pull, check; close what they found.")
def reports_command() -> None:
    """Look after the reports of recovery tests. They are read from the stores alone."""


@reports_command.command("list", short_help="Every report, newest first, and the issues that are open.")
@click.option("--plan", metavar="PLAN", help="Of this plan; of all unless said.")
@click.option("--since", type=Since(), metavar="MONTH", help="Of tests since then, such as 2026-01.")
@pass_session
def list_command(session: Session, plan: str | None, since: datetime | None) -> int:
    """Every report of a recovery test, newest first, with its verdict and time; then the issues that are open.

    Exit status 3: a store could not be asked, or a report could not be read.
    """
    from backproof.reports.catalogue import records, shelf
    from backproof.reports.issues import issues

    fleet = session.fleet(plan, warn=False)
    plans = _plans(fleet, plan)
    found = shelf(fleet, plans, since)
    read = list(records(fleet, found.reports))
    known = {each: issues(fleet, each) for each in plans}
    doubts = [*found.doubts, *(doubt for each in known.values() for doubt in each.doubts)]
    doubts = list(dict.fromkeys(doubts))
    for doubt in doubts:
        speaking.warn(doubt)
    still = [(name, issue) for name, each in known.items() for issue in each.open]
    document = {
        "reports": [_report(held, record) for held, record in read],
        "open_issues": [{"plan": name, **issue.model_dump(mode="json")} for name, issue in still],
        "problems": doubts,
    }
    session.answer(document, lambda: _say_list(document["reports"], still))
    return exits.DEGRADED if doubts else exits.DONE


@reports_command.command("pull", short_help="Bring reports to a folder, each checked.")
@click.option("--since", type=Since(), metavar="MONTH", help="Of tests since then, such as 2026-01; all unless said.")
@click.option("--plan", metavar="PLAN", help="Of this plan; of all unless said.")
@click.option("--format", "form", type=click.Choice(["pdf", "html", "json"]), default="pdf", show_default=True)
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path(), metavar="DIR")
@pass_session
def pull_command(session: Session, since: datetime | None, plan: str | None, form: "Format", folder: Path) -> int:
    """Bring reports of recovery tests to DIR (here unless said), each with its signature checked.

    A file that is there already is never written over. Exit status 3: a store could not be asked, and may hold more.
    """
    from backproof.reports.pulling import pull

    fleet = session.fleet(plan, warn=False)
    pulled = pull(fleet, _plans(fleet, plan), since, form, folder)
    for doubt in pulled.doubts:
        speaking.warn(doubt)
    document = {"pulled": [asdict(each) for each in pulled.reports], "problems": list(pulled.doubts)}
    session.answer(document, lambda: _say_pulled(pulled))
    if any(each.outcome == "failed" for each in pulled.reports):
        return exits.FAILED
    return exits.DEGRADED if pulled.doubts else exits.DONE


@reports_command.command("check", short_help="Is a report as it was signed?")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@pass_session
def check_command(session: Session, file: Path) -> None:
    """Check the signature of FILE, a report as PDF, HTML or JSON, with the keys that this fleet trusts.

    One byte that was changed, added or cut off, and it fails (status 1).
    """
    from backproof.reports.checking import checked

    genuine = checked(_content(file), session.fleet(warn=False).signer)
    of = "the record itself" if genuine.format == "json" else f"drawn from the record {genuine.record_sha256}"
    said = (
        f"{file} is genuine: the report of {genuine.test} of plan {genuine.plan}, {of}, signed by {genuine.signed_by}."
    )
    session.answer({"genuine": asdict(genuine)}, lambda: speaking.say(said))


@reports_command.command("close", short_help="Close an issue that a recovery test has found.")
@click.argument("plan")
@click.argument("issue")
@click.option("--how", required=True, metavar="TEXT", help="What was done; it is kept.")
@click.option("--by", metavar="NAME", help="Who you are; else the name you are logged in with.")
@pass_session
def close_command(session: Session, plan: str, issue: str, how: str, by: str | None) -> int:
    """Close ISSUE of PLAN, such as 2026-01-1. A small signed document in every store says who did, how and when.

    It is no longer repeated then. Exit status 3: not every store took it; one is enough.
    """
    from backproof.reports.issues import close

    closed, problems = close(session.fleet(plan, warn=False), plan, issue, how, by or user(), datetime.now(UTC))
    for problem in problems:
        speaking.warn(problem)
    document = {"closed": closed.model_dump(mode="json") | {"problems": problems}}
    session.answer(document, lambda: speaking.say(f"{closed.issue} of {plan} is closed by {closed.by}: {closed.how}"))
    return exits.DEGRADED if problems else exits.DONE


def _plans(fleet: "Fleet", plan: str | None) -> list[str]:
    return [plan] if plan else sorted(fleet.spec.plans)


def _content(file: Path) -> bytes:
    from backproof.errors import ConfigurationError

    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from None


def _report(held: "Held", record: "RecoveryTest | BackproofError") -> dict[str, Any]:
    from backproof.recovery_test.naming import REPORT_JSON
    from backproof.recovery_test.record import RecoveryTest

    read = record if isinstance(record, RecoveryTest) else None
    return {
        "plan": held.plan,
        "test": held.test,
        "started_at": held.started_at.isoformat().replace("+00:00", "Z"),
        "verdict": read.verdict if read else None,
        "recovery_seconds": read.recovery_seconds if read else None,
        "objective_seconds": read.objective_seconds if read else None,
        "issues": len(read.issues) if read else None,
        "stores": held.parts[REPORT_JSON],
    }


def _say_list(reports: "list[dict[str, Any]]", still: "list[tuple[str, Issue]]") -> None:
    if not reports:
        speaking.say("There is no report. `backproof recovery-test PLAN` makes one.")
    else:
        rows = [
            [
                each["plan"],
                each["test"],
                each["verdict"] or "unreadable",
                _seconds(each["recovery_seconds"]),
                _seconds(each["objective_seconds"]),
                "–" if each["issues"] is None else str(each["issues"]),
                ", ".join(each["stores"]),
            ]
            for each in reports
        ]
        heads = ["Plan", "Test", "Verdict", "Recovery", "Promised", "Issues", "Stores"]
        speaking.print_table(heads, rows, right=["Recovery", "Promised", "Issues"], colours=_COLOURS)
    if still:
        speaking.say("")
        speaking.say(f"{several(len(still), 'issue')} open:")
        rows = [[name, each.id, each.what, each.owner, f"{moment(each.due_at)[:10]}"] for name, each in still]
        speaking.print_table(["Plan", "Issue", "What", "Owner", "Due"], rows)


def _seconds(value: float | None) -> str:
    return "–" if value is None else span(value)


def _say_pulled(pulled: "Pulled") -> None:
    if not pulled.reports:
        speaking.say("There is no such report. `backproof reports list` shows those there are.")
        return
    for each in pulled.reports:
        speaking.say(f"{each.outcome}: {each.file}" + (f": {each.why}" if each.why else ""))
    written = sum(each.outcome == "written" for each in pulled.reports)
    speaking.say(f"{several(written, 'report')} written, {len(pulled.reports)} asked for.")
