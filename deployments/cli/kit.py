"""``backproof kit``: what it takes to restore without Backproof."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from deployments.cli import speaking
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import several

if TYPE_CHECKING:
    from backproof.recovery.kit import Kit


@click.command("kit", short_help="Write a folder with which stock tools restore a plan, without Backproof.")
@click.argument("plan")
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="FOLDER", help="The folder to make; PLAN-kit unless said."
)
@pass_session
def kit_command(session: Session, plan: str, to: Path | None) -> None:
    """Write a folder with which the holder of the escrow private key restores PLAN with stock tools, without Backproof.

    It holds commands with the plan's own names, scripts for roles and settings, fingerprints and public keys; no
    secret. Keep it with the escrow key; make it anew when stores, keys, roles or settings of the database have changed.
    """
    from datetime import UTC, datetime

    from backproof.recovery.kit import write_kit

    made = write_kit(session.fleet(plan), plan, to or Path(f"{plan}-kit"), datetime.now(UTC))
    session.answer({"kit": made.model_dump(mode="json")}, lambda: _say(made))


def _say(made: "Kit") -> None:
    key = f"{made.escrow} opens its archives" if made.escrow else "its archives are not encrypted"
    speaking.say(f"Wrote {made.folder}, {several(len(made.files), 'file')}, from {made.plan} {made.backup}: {key}.")
    speaking.say(f"Read {made.folder}/README.md once before you need it, and keep the folder where the escrow key is.")
