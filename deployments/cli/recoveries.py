"""``backproof recovery``: what recoveries there were, what is to be said of them, and what they left."""

import os
import shlex
from typing import TYPE_CHECKING

import click

from deployments.cli import exits, speaking
from deployments.cli.recovering import Moment, confirm, found, user
from deployments.cli.recovery_in_words import say_report
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import moment

if TYPE_CHECKING:
    from datetime import datetime

    from backproof.recovery.context import Recovery
    from backproof.recovery.human_steps import HumanSteps
    from backproof.recovery.journal import Journal


@click.group("recovery", short_help="Look at recoveries, note what was learned, discard what they set aside.")
def recovery_command() -> None:
    """Look after recoveries, by their journals in the stores."""


@recovery_command.command("list", short_help="Every recovery of a plan.")
@click.argument("plan")
@pass_session
def list_command(session: Session, plan: str) -> int:
    """Every recovery of PLAN, newest first, and how it ended."""
    from backproof.recovery.context import places, state_folder, surroundings
    from backproof.recovery.journal import WHOLE, journals

    fleet, around = session.fleet(plan, warn=False), surroundings(state_folder(os.environ))
    known, doubts = journals(places(fleet, plan, around.local), fleet.signer, plan, around.now)
    for doubt in doubts:
        speaking.warn(doubt)
    asked = [each.facts(WHOLE, "opened") for each in known]
    rows = [
        (each.recovery, str(said["backup"]), _result(each), str(said["reason"]))
        for each, said in zip(known, asked, strict=True)
    ]
    names = ("recovery", "backup", "result", "reason")
    document = {"recoveries": [dict(zip(names, row, strict=True)) for row in rows]}
    if rows:
        session.answer(document, lambda: speaking.print_table([*map(str.capitalize, names)], rows))
    else:
        session.answer(document, lambda: speaking.say(f"Plan {plan} had no recovery."))
    return exits.DEGRADED if doubts else exits.DONE


@recovery_command.command("show", short_help="The report of one.")
@click.argument("recovery_id", metavar="ID")
@click.option("--plan", metavar="PLAN", help="Whose recovery it is; looked for unless said.")
@pass_session
def show_command(session: Session, recovery_id: str, plan: str | None) -> None:
    """The report of the recovery ID, as its journal has it now."""
    from backproof.recovery.human_steps import read
    from backproof.recovery.report import report

    fleet, recovery = found(session, plan, recovery_id)
    made = report(recovery.journal, recovery.manifest(), fleet.plan(recovery.plan).objectives.rto)
    people = read(recovery.journal.entries)
    document = {"recovery": made.model_dump(mode="json"), "human_steps": people.model_dump(mode="json")}

    def in_words() -> None:
        say_report(made)
        _say_people(people)

    session.answer(document, in_words)
    _warn_of_maintenance(recovery)


@recovery_command.command("note", short_help="Write down a cause, a plan, a step that a person took.")
@click.argument("recovery_id", metavar="ID")
@click.argument("text")
@click.option("--plan", metavar="PLAN", help="Whose recovery it is; looked for unless said.")
@click.option("--by", metavar="NAME", help="Who you are; else the name you are logged in with.")
@pass_session
def note_command(session: Session, recovery_id: str, text: str, plan: str | None, by: str | None) -> None:
    """Add TEXT to the journal of the recovery ID: the root cause, the alternative plan, a step that a person took."""
    from backproof.recovery.journal import WHOLE
    from backproof.recovery.noting import note

    said = " ".join(text.split())
    if not said:
        raise click.UsageError("There is nothing to note: say it in quotes behind the id.")
    _, recovery = found(session, plan, recovery_id)
    entry = note(recovery, WHOLE, {"by": by or user(), "text": said})
    _renew(recovery)
    document = {"noted": {"recovery": recovery_id, "at": entry.at.isoformat().replace("+00:00", "Z"), **entry.facts}}
    session.answer(document, lambda: speaking.say(f"Noted in {recovery_id} at {moment(entry.at)} UTC."))


@recovery_command.command("scenario", short_help="Say what happened: begins the list of what only people can do.")
@click.argument("recovery_id", metavar="ID")
@click.argument("name")
@click.option("--plan", metavar="PLAN", help="Whose recovery it is; looked for unless said.")
@click.option("--by", metavar="NAME", help="Who you are; else the name you are logged in with.")
@pass_session
def scenario_command(session: Session, recovery_id: str, name: str, plan: str | None, by: str | None) -> None:
    """Say what the recovery ID was needed for: corruption, deletion, lost-server or ransomware.

    Each has a list of steps that only people can take, to be ticked as they are done; `show` has it.
    """
    from backproof.recovery.human_steps import HUMAN, naming, read
    from backproof.recovery.noting import note

    _, recovery = found(session, plan, recovery_id)
    note(recovery, HUMAN, naming(name, by or user()))
    _renew(recovery)
    people = read(recovery.journal.entries)
    session.answer({"human_steps": people.model_dump(mode="json")}, lambda: _say_people(people))


@recovery_command.command("tick", short_help="Tick a step that a person has done.")
@click.argument("recovery_id", metavar="ID")
@click.argument("step")
@click.option("--plan", metavar="PLAN", help="Whose recovery it is; looked for unless said.")
@click.option("--by", metavar="NAME", help="Who did it; else the name you are logged in with.")
@click.option("--at", "done_at", type=Moment(), metavar="MOMENT", help="When it was done; now unless said.")
@pass_session
def tick_command(
    session: Session, recovery_id: str, step: str, plan: str | None, by: str | None, done_at: "datetime | None"
) -> None:
    """Tick STEP in the list of the recovery ID: it is done, by whom and when."""
    from backproof.recovery.human_steps import HUMAN, read, ticking
    from backproof.recovery.noting import note

    _, recovery = found(session, plan, recovery_id)
    now = recovery.around.now()
    note(recovery, HUMAN, ticking(recovery.journal.entries, step, by or user(), done_at or now, now))
    _renew(recovery)
    people = read(recovery.journal.entries)
    session.answer({"human_steps": people.model_dump(mode="json")}, lambda: _say_people(people))


@recovery_command.command("discard", short_help="Remove the database that a recovery set aside.")
@click.argument("recovery_id", metavar="ID")
@click.option("--plan", metavar="PLAN", help="Whose recovery it is; looked for unless said.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def discard_command(session: Session, recovery_id: str, plan: str | None, yes: bool) -> None:
    """Remove what the recovery ID has set aside. A proven backup of it is kept; a rollback is then no longer a swap."""
    from backproof.recovery.setting_aside import discard, remains

    _, recovery = found(session, plan, recovery_id)
    what = remains(recovery)
    for each in what.with_it:
        speaking.warn(f"{each.kind} {each.name} goes with it")
    speaking.note(f"{what.database} goes; the proven backup {what.safety_backup} holds what is in it.")
    if not yes:
        confirm(what.database, "removed")
    discard(recovery, what)
    _renew(recovery)
    document = {"discarded": {"recovery": recovery_id, "database": what.database, "backup": what.safety_backup}}
    said = f"{what.database} is gone; {what.safety_backup} holds what was in it."
    session.answer(document, lambda: speaking.say(said))


@recovery_command.command("give-up", short_help="End one that can neither be gone on with nor taken back.")
@click.argument("recovery_id", metavar="ID")
@click.option("--plan", metavar="PLAN", help="Whose recovery it is; looked for unless said.")
@click.option("--reason", metavar="TEXT", required=True, help="Why; it stands in the report.")
@click.option("--by", metavar="NAME", help="Who you are; else the name you are logged in with.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def give_up_command(
    session: Session, recovery_id: str, plan: str | None, reason: str, by: str | None, yes: bool
) -> None:
    """Write down that the recovery ID is over, so that another may begin: its server or its safety backup is gone.

    Changes no database, and leaves the application as it is. First try `recover --resume`, and `rollback`.
    """
    from backproof.recovery.giving_up import give_up, left

    _, recovery = found(session, plan, recovery_id)
    live = recovery.request.live
    speaking.note(f"Nothing is changed on the server: {live} stays as it is, and so does the application.")
    if not yes:
        confirm(live, "left as it is")
    result = give_up(recovery, " ".join(reason.split()), by or user())
    _renew(recovery)
    names = left(recovery)
    for name in names:
        speaking.warn(f"{name} is left there: look into it before you drop it by hand")
    _warn_of_maintenance(recovery)
    document = {"given_up": {"recovery": recovery_id, "result": result, "left": list(names)}}
    session.answer(document, lambda: speaking.say(f"{recovery_id} is given up: {result}."))


def _warn_of_maintenance(recovery: "Recovery") -> None:
    """Whoever has ended it by hand is told what nobody else does any more."""
    if not recovery.stopped:
        return
    if recovery.journal.closed is None:
        speaking.warn(f"THE APPLICATION IS IN MAINTENANCE until {recovery.journal.recovery} is resumed or taken back")
        return
    application = recovery.fleet.plan(recovery.plan).application
    how = f": `{shlex.join(off)}`" if application and (off := application.maintenance_off) else ""
    speaking.warn(f"THE APPLICATION WAS LEFT IN MAINTENANCE: let it go on by hand, once what is live is right{how}")


def _renew(recovery: "Recovery") -> None:
    from backproof.recovery.report import renew

    for problem in renew(recovery):
        speaking.warn(problem)


def _say_people(people: "HumanSteps") -> None:
    if people.scenario is None:
        return
    done = sum(each.done_at is not None for each in people.steps)
    speaking.say("")
    speaking.say(f"What only people can do, {people.scenario}: {done} of {len(people.steps)} done")
    rows = [
        ["x" if each.done_at else "", each.step, each.what, each.by, moment(each.done_at) if each.done_at else ""]
        for each in people.steps
    ]
    speaking.print_table(["Done", "Step", "What", "By", "When (UTC)"], rows)


def _result(journal: "Journal") -> str:
    return "under way" if journal.closed is None else str(journal.closed.facts.get("result"))
