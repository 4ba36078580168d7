"""``backproof demo``: the main job on this machine alone."""

import click

from deployments.cli.session import Session, pass_session


@click.command("demo", short_help="Show the main job on this machine alone.")
@click.option("--keep", is_flag=True, help="Leave everything running, and print the URL of the Prefect UI.")
@click.option("--stop", is_flag=True, help="End what --keep left running.")
@pass_session
def demo_command(session: Session, keep: bool, stop: bool) -> int:
    """Back up a shop's database to two S3 regions, prove it, lose a table and bring it back, all on this machine."""
    raise NotImplementedError
