"""``backproof alerts test`` and ``backproof ack``: is everybody reached, and who is at it."""

import getpass
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from backproof.errors import ConfigurationError, NotFound
from deployments.cli import exits, speaking
from deployments.cli.session import Session, pass_session

if TYPE_CHECKING:
    from backproof.fleet import FleetSpec


@click.group("alerts", short_help="Are the targets of messages reached?")
def alerts_command() -> None:
    """Look after the targets that are told when something is wrong."""


@alerts_command.command("test", short_help="Send each target a message.")
@click.argument("targets", nargs=-1, metavar="[TARGET]…")
@pass_session
def test_command(session: Session, targets: tuple[str, ...]) -> int:
    """Send a test message to each TARGET, all of the fleet's unless some are named, and say who took it.

    From this machine: what Prefect's server sends goes from where that runs. Exit status 1: somebody was not reached.
    """
    spec = session.fleet(warn=False).spec
    chosen = targets or tuple(sorted({*spec.notifications, *_named(spec)}))
    if not chosen:
        raise NotFound("the fleet has no targets of messages", "Describe some under notifications in fleet.yaml.")
    rows = [(target, _try(spec, target)) for target in dict.fromkeys(chosen)]
    document = {"targets": [{"target": target, "taken": not why, "reason": why or ""} for target, why in rows]}
    session.answer(document, lambda: _say_tested(rows))
    return exits.FAILED if any(why for _, why in rows) else exits.DONE


@click.command("ack", short_help="Say that you are at an incident.")
@click.argument("incident", metavar="ID")
@click.option("--by", metavar="NAME", help="Who you are; else the name you are logged in with.")
@click.option("--note", default="", metavar="TEXT", help="What others should know.")
@pass_session
def ack_command(session: Session, incident: str, by: str | None, note: str) -> int:
    """Say that you are at the incident ID, as its messages name it: no further level is told.

    Reads and writes the plan's stores alone; Prefect may be down.
    """
    from backproof.alarms import moment
    from backproof.escalation import split_id
    from backproof.operations.incidents import acknowledge

    ended = acknowledge(session.fleet(split_id(incident)[0], warn=False), incident, by or _user(), note)
    closed = ended.closed
    document = {
        "incident": ended.id,
        "plan": ended.plan,
        "what": ended.what,
        "opened_at": ended.opened_at.isoformat(),
        "acknowledged_at": closed.at.isoformat() if closed else None,
        "by": closed.by if closed else None,
    }
    session.answer(document, lambda: speaking.say(f"{ended.id}, open since {moment(ended.opened_at)}, is yours."))
    return exits.DONE


def _try(spec: "FleetSpec", target: str) -> str | None:
    if target not in spec.notifications and "PREFECT_API_URL" not in os.environ:
        return "fleet.yaml does not describe it, and PREFECT_API_URL names no server that may have it"
    from backproof.alarms import trial_message
    from blocks.notifications import tell

    message = trial_message(spec.fleet, target, datetime.now(UTC))
    return tell(spec, target, message.subject, message.body)


def _say_tested(rows: list[tuple[str, str | None]]) -> None:
    speaking.print_table(
        ("Target", "Message"), [(target, f"NOT taken: {why}" if why else "taken") for target, why in rows]
    )


def _named(spec: "FleetSpec") -> set[str]:
    asked = [spec.notify, *(plan.notify for plan in spec.plans.values())]
    named = {name for notify in asked for name in (*notify.failure, *notify.success, *notify.report)}
    return named | {name for plan in spec.plans.values() for level in plan.escalation for name in level.notify}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise ConfigurationError("this user has no name", "Say who you are with --by.") from None
