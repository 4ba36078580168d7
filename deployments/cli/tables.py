"""``backproof diff`` and ``salvage``: one table of a backup against the live one, and its missing rows put back."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deployments.cli import exits, speaking
from deployments.cli.restoring import Tables
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import several

if TYPE_CHECKING:
    from backproof.fleet import Fleet
    from backproof.operations.tables import TableDiff
    from backproof.recovery.opening import Proposal

backup_option = click.option("--backup", metavar="ID", required=True, help="Its id, latest or latest-proven.")
table_option = click.option(
    "--table", metavar="T", required=True, help="Its name; with its schema where several have it."
)
key_option = click.option(
    "--key", type=Tables(), metavar="A,B", default=(), help="Columns that tell rows apart; the primary key unless said."
)
store_option = click.option("--from", "store", metavar="STORE", help="Read this store's copy; else the first good one.")
jobs_option = click.option(
    "--jobs", type=click.IntRange(min=1), help="Connections to load with; one a processor unless said."
)


@click.command("diff", short_help="Compare a table with a backup's: rows missing, changed, new.")
@click.argument("plan")
@backup_option
@table_option
@key_option
@click.option(
    "--to",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The rows too, as .csv or .parquet.",
)
@store_option
@jobs_option
@pass_session
def diff_command(
    session: Session,
    plan: str,
    backup: str,
    table: str,
    key: tuple[str, ...],
    path: Path | None,
    store: str | None,
    jobs: int | None,
) -> None:
    """Count the rows of PLAN's live table that are missing, changed or new against a backup. Changes nothing.

    The server compares: the backup's rows of that table are held beside the live ones meanwhile, and take as much room
    there.
    """
    from backproof.operations.tables import diff

    found = diff(session.fleet(plan), plan, backup, table, key, path, store, jobs)
    for sentence in (*found.passed_over, *found.left_out):
        speaking.warn(sentence)
    if path is not None:
        speaking.warn(f"{path} is plain data: whoever reads it reads the rows. Delete it when you are done")
    session.answer({"diff": found.model_dump(mode="json")}, lambda: _say_diff(found))


def _say_diff(found: "TableDiff") -> None:
    rows = found.rows
    facts = {
        "Table": f"{found.table}, by {', '.join(found.key)}",
        "Backup": f"{found.backup} from {found.store}: {several(rows.backup, 'row')}",
        "Live": several(rows.live, "row"),
        "Missing": f"{rows.missing:,}",
        "Changed": f"{rows.changed:,}",
        "New": f"{rows.new:,}",
    }
    if found.path:
        facts["Rows"] = found.path
    speaking.print_facts(facts)


@click.command("salvage", short_help="Put a table's missing rows back, with the rows they need.")
@click.argument("plan")
@backup_option
@table_option
@key_option
@click.option("--missing", is_flag=True, help="Put the missing rows back. There is nothing else to choose.")
@click.option("--reason", metavar="TEXT", help="Why; it stands in the journal.")
@click.option("--by", metavar="NAME", help="Who you are; else the name you are logged in with.")
@click.option("--fire-triggers", is_flag=True, help="Let triggers do what they do when rows are inserted.")
@click.option("--dry-run", is_flag=True, help="Do it, say what came in, and roll it back.")
@store_option
@jobs_option
@pass_session
def salvage_command(session: Session, plan: str, missing: bool, dry_run: bool, **asked: Any) -> int:
    """Insert the rows of a backup that are missing in PLAN's live table, and those that their foreign keys need.

    All in one transaction. No live row is changed; a row that a live one keeps out stays out, and is told.
    """
    from backproof.operations.tables import salvage
    from backproof.recovery.opening import propose

    if not missing:
        raise click.UsageError("Say --missing: the rows that are missing are put back, and no others are touched.")
    if not dry_run and not asked["reason"]:
        raise click.UsageError("Missing option '--reason': say why; it stands in the journal.")
    fleet = session.fleet(plan)
    backup = "latest" if asked["backup"] == "latest-proven" else asked["backup"]
    proposal = propose(fleet, plan, datetime.now(UTC), backup, store=asked["store"], mode="salvage")
    if dry_run:
        made = salvage(
            fleet,
            plan,
            proposal.backup.id,
            asked["table"],
            asked["key"],
            asked["fire_triggers"],
            True,
            asked["store"],
            asked["jobs"],
        )
        return _answer(session, made.model_dump(mode="json"), None)
    return _recorded(session, fleet, proposal, asked)


def _recorded(session: Session, fleet: "Fleet", proposal: "Proposal", asked: dict[str, Any]) -> int:
    """A recovery of its own, with a journal."""
    from backproof.errors import RestoreFailed
    from backproof.recovery.opening import begin
    from backproof.recovery.run import carry_out
    from deployments.cli.interrupting import interruptible
    from deployments.cli.recovering import surroundings_of, user

    with (
        interruptible() as begun,
        surroundings_of(session, fleet, proposal.plan, asked["jobs"], None) as around,
    ):
        recovery = begin(
            fleet,
            proposal,
            around,
            reason=asked["reason"],
            by=asked["by"] or user(),
            tables=(asked["table"],),
            key=asked["key"],
            fire_triggers=asked["fire_triggers"],
        )
        begun(recovery)
        outcome = carry_out(recovery)
    for doubt in recovery.journal.doubts:
        speaking.warn(doubt)
    if outcome.result != "recovered":
        raise RestoreFailed(f"nothing was put back: {outcome.why.rstrip('.')}")
    return _answer(session, recovery.journal.facts("salvage"), recovery.journal.recovery)


def _answer(session: Session, made: dict[str, Any], recovery: str | None) -> int:
    for sentence in (*made["passed_over"], *made["left_out"]):
        speaking.warn(str(sentence))
    left = sum(each["left_out"] for each in made["tables"])
    session.answer({"salvage": {**made, "recovery": recovery}}, lambda: _say_salvaged(made))
    return exits.DEGRADED if left else exits.DONE


def _say_salvaged(made: dict[str, Any]) -> None:
    done = "Would put back" if made["dry_run"] else "Put back"
    for each in made["tables"]:
        speaking.say(f"{done} {several(each['inserted'], 'row')} of {each['table']}.")
        if each["left_out"]:
            speaking.warn(
                f"{several(each['left_out'], 'row')} of {each['table']} stayed out: a live row has the same value where"
                " it may be there but once"
            )
