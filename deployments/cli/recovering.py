"""``backproof recover`` and ``rollback``: a lost or damaged database brought back, and taken back."""

import getpass
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from deployments.cli import exits, recovering_tables, speaking
from deployments.cli.interrupting import interruptible
from deployments.cli.recovery_in_words import already, proposal_document, say_proposal, say_report
from deployments.cli.restoring import Tables
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import moment

if TYPE_CHECKING:
    from backproof.alarms import Message
    from backproof.fleet import Fleet
    from backproof.recovery.context import Recovery, Surroundings
    from backproof.recovery.run import Outcome


class Moment(click.ParamType):  # type: ignore[type-arg]
    """``2025-11-07 14:02``, also with ``UTC`` behind it, or ``2025-11-07T14:02:30+01:00``; UTC unless said."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse it."""
        if isinstance(value, datetime):
            return value
        try:
            parsed = datetime.fromisoformat(value.removesuffix("UTC").rstrip())
            return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no moment; write 2025-11-07T14:02, in UTC, or with an offset.", param, ctx)


@click.command("recover", short_help="Put a backup in the place of the live database, with a way back.")
@click.argument("plan", required=False)
@click.option("--backup", default="latest", metavar="ID", help="Its id, or latest: the newest that is proven.")
@click.option("--before", type=Moment(), metavar="MOMENT", help="The newest proven one taken before that (UTC).")
@click.option("--from", "store", metavar="STORE", help="Read this store's copy; else the first good one.")
@click.option("--reason", metavar="TEXT", help="Why; it stands in the report.")
@click.option("--mode", type=click.Choice(["swap", "in-place"]), default="swap", show_default=True)
@click.option("--by", metavar="NAME", help="Who you are; else the name you are logged in with.")
@click.option("--accept", "accepted", multiple=True, metavar="NAME", help="Go on in spite of this obstacle.")
@click.option("--no-safety-backup", default="", metavar="WHY", help="Only where the live database can't be read.")
@click.option("--create-missing-roles", is_flag=True, help="Make the roles that the backup needs, without login.")
@click.option("--accept-mentions", is_flag=True, help="As for restore.")
@click.option("--tables", type=Tables(), metavar="A,B", default=(), help="Replace just these; all others stay.")
@click.option("--accept-orphans", is_flag=True, help="With --tables: also where rows of others point at nothing then.")
@click.option("--jobs", type=click.IntRange(min=1), help="Connections to load with; one a processor unless said.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--show", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--resume", metavar="ID", help="Go on with a recovery that was interrupted.")
@pass_session
def recover_command(session: Session, plan: str | None, resume: str | None, **asked: Any) -> int:
    """Put a backup of PLAN in the place of its live database; what was live is set aside.

    The backup is restored beside the live database, which stays in use meanwhile; then the application is stopped, the
    two change places, and its tests are run. Whatever fails after that takes all of it back. Interrupted anywhere, the
    same recovery is gone on with by --resume, also from another machine. With --tables just these are replaced, while
    the application is stopped, once a safety backup is sealed.
    """
    if resume is not None:
        return _resume(session, plan, resume, asked["jobs"])
    if plan is None:
        raise click.UsageError("Name a plan, or a recovery to --resume.")
    if not asked["reason"] and not asked["show"]:
        raise click.UsageError("Missing option '--reason': say why; it stands in the report.")
    mode = recovering_tables.mode(asked)
    with interruptible() as begun:
        return _recover(session, plan, mode, asked, begun)


def _recover(session: Session, plan: str, mode: Any, asked: dict[str, Any], begun: "Callable[[Recovery], None]") -> int:
    from backproof.recovery.opening import begin, propose, require_unreadable

    fleet = session.fleet(plan)
    proposal = propose(fleet, plan, datetime.now(UTC), asked["backup"], asked["before"], asked["store"], mode=mode)
    if asked["tables"]:
        recovering_tables.say_proposal(
            proposal, asked["tables"], asked["before"], fleet.spec.timezone, asked["no_safety_backup"]
        )
    else:
        say_proposal(proposal, asked["before"], fleet.spec.timezone, asked["create_missing_roles"])
    if asked["show"]:
        session.answer({"proposal": proposal_document(proposal)}, lambda: None)
        return exits.DONE
    if asked["no_safety_backup"] and not asked["tables"]:
        require_unreadable(fleet, proposal)
    if not asked["yes"]:
        confirm(proposal.live.database, "replaced")
    with surroundings_of(session, fleet, plan, asked["jobs"], proposal.manifest.plain_bytes) as around:
        recovery = begin(
            fleet,
            proposal,
            around,
            reason=asked["reason"],
            by=asked["by"] or user(),
            accepted=asked["accepted"],
            no_safety_backup=asked["no_safety_backup"],
            create_missing_roles=asked["create_missing_roles"],
            accept_mentions=asked["accept_mentions"],
            tables=asked["tables"],
            accept_orphans=asked["accept_orphans"],
        )
        begun(recovery)
        name = recovery.journal.recovery
        speaking.note(f"{name} has begun; if this ends, `backproof recover --resume {name}` goes on.")
        if ends := recovery.expected_end:
            speaking.note(f"By what was measured before, it should end about {moment(ends)} UTC.")
        ended = _carried_out(session, recovery)
        recovering_tables.say_replaced(recovery)
        return ended


@click.command("rollback", short_help="Take a recovery back.")
@click.argument("recovery_id", metavar="ID")
@click.option("--plan", metavar="PLAN", help="Whose recovery it is; looked for unless said.")
@click.option("--reason", metavar="TEXT", required=True, help="Why; it stands in the report.")
@click.option("--by", metavar="NAME", help="Who you are; else the name you are logged in with.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--jobs", type=click.IntRange(min=1), help="Connections to load with; one a processor unless said.")
@pass_session
def rollback_command(
    session: Session, recovery_id: str, plan: str | None, reason: str, by: str | None, yes: bool, jobs: int | None
) -> int:
    """Take the recovery ID back: what was live before it is live again.

    What was written since stays in the database that was recovered, which is set aside in turn, sealed and proven.
    """
    from backproof.recovery.run import take_back

    fleet, chosen = found(session, plan, recovery_id)
    with interruptible() as begun, surroundings_of(session, fleet, chosen.plan, jobs, None) as around:
        chosen.around = around
        closed = chosen.journal.closed
        if closed is not None and closed.facts.get("result") != "recovered":
            if closed.facts.get("result") == "rollback failed":
                speaking.warn(already(recovery_id, chosen.plan, closed))
                return exits.FAILED
            speaking.say(f"{recovery_id} ended already: {closed.facts.get('result')}. There is nothing to take back.")
            return exits.DONE
        since = "It had not ended." if closed is None else f"What was written since {moment(closed.at)} UTC will not be"
        speaking.note(since if closed is None else f"{since} in {chosen.request.live}; it is kept.")
        if not yes:
            confirm(chosen.request.live, "taken back")
        begun(chosen)
        outcome = take_back(chosen, " ".join(reason.split()), by or user())
        return _ended(session, chosen, outcome, "rolled back")


def _resume(session: Session, plan: str | None, recovery_id: str, jobs: int | None) -> int:
    fleet, chosen = found(session, plan, recovery_id)
    if (closed := chosen.journal.closed) is not None:
        speaking.note(already(chosen.journal.recovery, chosen.plan, closed))
    with interruptible() as begun, surroundings_of(session, fleet, chosen.plan, jobs, None) as around:
        chosen.around = around
        begun(chosen)
        return _carried_out(session, chosen)


def _carried_out(session: Session, recovery: "Recovery") -> int:
    from backproof.recovery.run import carry_out

    return _ended(session, recovery, carry_out(recovery), "recovered")


def _ended(session: Session, recovery: "Recovery", outcome: "Outcome", wanted: str) -> int:
    from backproof.recovery.report import publish

    made, problems = publish(recovery)
    if outcome.result == "not ended":
        speaking.warn(outcome.why)
    for problem in (*outcome.problems, *problems, *recovery.journal.doubts):
        speaking.warn(problem)
    session.answer({"recovery": made.model_dump(mode="json")}, lambda: say_report(made, outcome.also))
    if outcome.result != wanted:
        return exits.FAILED
    return exits.DEGRADED if outcome.problems or problems else exits.DONE


def found(session: Session, plan: str | None, recovery_id: str) -> "tuple[Fleet, Recovery]":
    """A recovery by its id; every plan is asked where none is named."""
    from backproof.errors import NotFound
    from backproof.recovery.context import Recovery, places, state_folder, surroundings
    from backproof.recovery.journal import find

    fleet = session.fleet(plan, warn=False)
    around = surroundings(state_folder(os.environ))
    refused: list[NotFound] = []
    for name in [plan] if plan else list(fleet.spec.plans):
        try:
            journal = find(places(fleet, name, around.local), fleet.signer, name, recovery_id, around.now)
        except NotFound as error:
            refused.append(error)
        else:
            return fleet, Recovery(fleet, journal, around)
    if not refused:
        raise NotFound("the fleet has no plans", "Describe one.")
    remedies = " ".join(f"{error.fact}. {error.remedy}" for error in refused)
    raise refused[0] if len(refused) == 1 else NotFound(f"no plan has a recovery {recovery_id}", remedies)


class surroundings_of:
    """What a recovery needs of this terminal: progress, messages, a folder for its journal."""

    def __init__(self, session: Session, fleet: "Fleet", plan: str, jobs: int | None, total: int | None) -> None:
        self._fleet, self._plan, self._jobs = fleet, plan, jobs or os.cpu_count() or 1
        self._progress = speaking.progress("restore", total)

    def __enter__(self) -> "Surroundings":
        from backproof.recovery.context import state_folder, surroundings

        return surroundings(
            state_folder(os.environ),
            tell=_tell(self._fleet, self._plan),
            say=speaking.note,
            progress=self._progress.__enter__(),
            jobs=self._jobs,
        )

    def __exit__(self, *raised: Any) -> None:
        self._progress.__exit__(*raised)


def _tell(fleet: "Fleet", plan: str) -> "Callable[[Message], tuple[str, ...]]":
    targets = fleet.plan(plan).notify.failure or fleet.spec.notify.failure

    def tell(message: "Message") -> tuple[str, ...]:
        if not targets:
            return ()
        from blocks.notifications import tell as send

        told = []
        for target in targets:
            if why := send(fleet.spec, target, message.subject, message.body):
                speaking.warn(f"{target} was not told: {why}")
            else:
                told.append(target)
        return tuple(told)

    return tell


def user() -> str:
    """The name somebody is logged in with."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def confirm(database: str, what: str) -> None:
    """Have the database's name typed."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"{database} will be {what}: say --yes where nobody can be asked.")
    typed = click.prompt(f"{database} will be {what}. Type its name to go on", err=True)
    if typed.strip() != database:
        speaking.note("That is not its name. Nothing was done.")
        raise click.Abort
