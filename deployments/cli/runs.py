"""``backproof backup`` and ``backproof verify``: the scheduler's own flows, run from a terminal."""

import click

from deployments.cli.session import Session, pass_session


@click.command("backup", short_help="Take a backup, copy it to every store, and prove it.")
@click.argument("plan")
@click.option("--kind", type=click.Choice(["daily", "monthly", "manual"]), default="manual", show_default=True)
@click.option("--verify/--no-verify", default=True, show_default=True, help="Prove the backup by restoring it.")
@pass_session
def backup_command(session: Session, plan: str, kind: str, verify: bool) -> int:
    """Take a backup of PLAN, copy it to every store, and prove it."""
    raise NotImplementedError


@click.command("verify", short_help="Prove a backup by restoring it.")
@click.argument("plan")
@click.option("--backup", default="latest", show_default=True, metavar="ID", help="Its id, or latest.")
@click.option("--from", "store", metavar="STORE", help="Prove this store's copy; else the last store's.")
@pass_session
def verify_command(session: Session, plan: str, backup: str, store: str | None) -> int:
    """Prove a backup of PLAN by restoring it into a throwaway server and comparing all of it."""
    raise NotImplementedError
