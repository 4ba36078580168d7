"""``backproof up`` and ``backproof down``: a Prefect server and a worker on this machine."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backproof.errors import ConfigurationError
from deployments.cli import exits, speaking
from deployments.cli.session import Session, pass_session

if TYPE_CHECKING:
    from deployments.servers.prefect import PrefectServer

PASSWORD = "PREFECT_API_AUTH_STRING"  # noqa: S105 — the name of a variable
_PATIENCE_SECONDS = 60
_LONGER_THAN_PATIENCE_SECONDS = 120


@click.command("up", short_help="Run a Prefect server and a worker here, supervised.")
@click.option("--port", type=click.IntRange(0, 65535), default=4200, show_default=True, help="The server's; 0: any.")
@click.option("--limit", type=click.IntRange(1), default=4, show_default=True, help="So many runs at once.")
@click.option("--password", is_flag=True, help=f"Ask for the user:password in ${PASSWORD}.")
@click.option(
    "--patience",
    type=click.IntRange(0),
    default=_PATIENCE_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="When stopped, let runs go on so long.",
)
@pass_session
def up_command(session: Session, port: int, limit: int, password: bool, patience: int) -> int:
    """Run a Prefect server and a worker of the fleet's work pool on this machine, in the foreground, until Ctrl-C.

    Both listen to this machine alone. Whichever dies is started again. `backproof apply`, `backup` and `verify` find
    this server by themselves.
    """
    from deployments.servers.prefect import STANDING, default_state_folder
    from deployments.servers.standing import Wish, environment_for_runs, stand

    spec = session.fleet().spec
    if spec.work_pool.type != "process":
        raise ConfigurationError(
            f"work_pool.type is {spec.work_pool.type}, and `backproof up` runs a worker of type process",
            "For other types start Prefect's server and a worker as docs/many-machines.md says.",
        )
    wish = Wish(
        folder=default_state_folder(os.environ) / STANDING,
        port=port,
        password=_password(password),
        pool=spec.pool_name,
        limit=limit,
        worker_environment=environment_for_runs(os.environ, session.fleet_path),
        patience_seconds=patience,
    )
    stand(wish, speaking.note, lambda server: _say_ready(session, server, wish.folder, spec.pool_name))
    return exits.DONE


@click.command("down", short_help="Stop what `backproof up` runs.")
@pass_session
def down_command(session: Session) -> int:
    """Stop the Prefect server and the worker that `backproof up` runs on this machine, and wait for their end."""
    from deployments.servers.prefect import STANDING, default_state_folder
    from deployments.servers.standing import stop

    stopped = stop(default_state_folder(os.environ) / STANDING, _PATIENCE_SECONDS + _LONGER_THAN_PATIENCE_SECONDS)
    words = "Prefect server and worker have ended." if stopped else "Nothing of `backproof up` runs here."
    session.answer({"stopped": stopped}, lambda: speaking.say(words))
    return exits.DONE


def _password(wanted: bool) -> str | None:
    given = os.environ.get(PASSWORD) or None
    if wanted and given is None:
        raise ConfigurationError(f"--password is given, and {PASSWORD} is not set", "Set it to user:password.")
    return given


def _say_ready(session: Session, server: "PrefectServer", folder: Path, pool: str) -> None:
    document = {"url": server.url, "ui_url": server.ui_url, "work_pool": pool, "folder": str(folder)}

    def say() -> None:
        speaking.say(f"Prefect's UI     {server.ui_url}")
        speaking.say(f"its API          export PREFECT_API_URL={server.url}")
        speaking.say(f"logs, database   {folder}")
        speaking.say("Ctrl-C, or `backproof down`, stops both.")

    session.answer(document, say)
