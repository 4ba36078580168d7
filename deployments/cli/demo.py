"""``backproof demo``: the main job on this machine alone."""

import sys

import click

from backproof.errors import ConfigurationError
from deployments.cli import exits, speaking
from deployments.cli.session import Session, pass_session


@click.command("demo", short_help="Show the main job on this machine alone.")
@click.option("--keep", is_flag=True, help="Leave everything running, and print the URL of the Prefect UI.")
@click.option("--stop", is_flag=True, help="End what --keep left running.")
@pass_session
def demo_command(session: Session, keep: bool, stop: bool) -> int:
    """Back up a shop's database to two S3 regions, prove it, lose a table and bring it back, all on this machine.

    Starts a private PostgreSQL, two S3 servers and a Prefect server on loopback, and ends them again. Needs no root, no
    account and no network.
    """
    from deployments.demo import servers

    if stop:
        ended = servers.stop()
        said = "The demo's servers are stopped." if ended else "No demo is running."
        session.answer({"demo": {"stopped": ended}}, lambda: speaking.say(said))
        return exits.DONE
    if "prefect" in sys.modules:
        raise ConfigurationError("Prefect was imported before the demo's server was chosen")
    from deployments.demo import story
    from deployments.demo.ending import document, show

    narrator = story.Narrator(sys.stderr)
    narrator.say("Starting PostgreSQL, two S3 regions and Prefect, all private to this demo")
    with servers.running(narrator.say, keep) as demo:
        told = story.tell(demo, narrator)
        session.answer({"demo": document(told, demo, keep)}, lambda: show(told, demo, keep))
        from deployments.servers.prefect import drain

        drain()
    return exits.DONE
