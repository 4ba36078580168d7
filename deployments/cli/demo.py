"""``backproof demo``: the main job on this machine alone."""

import os
import sys

import click

from deployments.cli import exits, speaking
from deployments.cli.session import Session, pass_session


@click.command("demo", short_help="Show the main job, on this machine alone.")
@click.option("--keep", is_flag=True, help="Leave everything running, and print the URL of the Prefect UI.")
@click.option("--stop", is_flag=True, help="End what --keep left running.")
@pass_session
def demo_command(session: Session, keep: bool, stop: bool) -> int:
    """Back up a shop's database to two S3 regions, prove it, lose a table and bring it back.

    All of it private and on this machine: a PostgreSQL, two S3 servers and a Prefect server, gone afterwards; where
    MariaDB is installed, a second act with it. Takes at most three minutes and needs no account, no root and no fleet
    file.
    """
    if keep and stop:
        raise click.UsageError("--keep and --stop exclude each other.")
    if stop:
        return _stop(session)
    from deployments.demo import ending
    from deployments.demo.servers import running
    from deployments.demo.story import Narrator, tell
    from deployments.servers.prefect import drain, ensure_api

    narrator = Narrator(sys.stderr)
    with running(narrator.say, keep) as demo:
        os.environ.update(demo.environment)
        ensure_api()
        try:
            told = tell(demo, narrator)
        finally:
            drain()  # Prefect's threads first, then its server: else the command hangs for a minute
    session.answer(ending.document(told, demo, keep), lambda: ending.show(told, demo, keep))
    return exits.DONE


def _stop(session: Session) -> int:
    from deployments.demo.servers import stop

    stopped = stop()
    words = "The demo's servers have ended." if stopped else "No demo is running."
    session.answer({"stopped": stopped}, lambda: speaking.say(words))
    return exits.DONE
