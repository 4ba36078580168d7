"""``backproof recover --tables``: some tables replaced by a backup's, all others left as they are."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from deployments.cli import speaking
from deployments.cli.recovery_in_words import asked_for, say_lines
from deployments.cli.wording import moment

if TYPE_CHECKING:
    from backproof.recovery.context import Recovery
    from backproof.recovery.opening import Proposal

_OF_ALL = {"mode": "swap", "create_missing_roles": False, "accept_mentions": False, "accepted": ()}
"""Options that are about the whole database, as they are when nobody asks for them."""


def mode(asked: dict[str, Any]) -> Any:
    """Which recovery the options mean.

    Raises:
        UsageError: some are about the whole database and some about tables.
    """
    if not asked["tables"]:
        if asked["accept_orphans"]:
            raise click.UsageError("--accept-orphans goes with --tables.")
        return asked["mode"]
    if other := [name for name, usual in _OF_ALL.items() if asked[name] != usual]:
        option = "--" + {"accepted": "accept"}.get(other[0], other[0]).replace("_", "-")
        raise click.UsageError(f"{option} is about the whole database: leave it out, or --tables.")
    return "tables"


def say_proposal(
    proposal: "Proposal", tables: tuple[str, ...], before: datetime | None, zone: str, no_safety_backup: str
) -> None:
    """What would be replaced, and by what."""
    kept = "nothing will hold it, and nothing is taken back" if no_safety_backup else "the safety backup will hold it"
    backup = proposal.backup
    proven = f"proven {moment(backup.proven_at)} UTC" if backup.proven_at else "NOT PROVEN"
    lines = {
        "Replace": f"{', '.join(tables)} of {proposal.live.database} on {proposal.live.host}:{proposal.live.port}",
        **asked_for(before, zone),
        "With": f"those of {backup.id} ({backup.kind}), taken {moment(backup.taken_at)} UTC, {proven}",
        "Lost": f"what was written to them since; {kept}",
    }
    say_lines(lines, proposal.passed_over)
    for warning in proposal.warnings:
        speaking.warn(warning)


def say_replaced(recovery: "Recovery") -> None:
    """What of the tables is not as in the backup."""
    facts = recovery.journal.facts("replace")
    listed = facts.get("left_out")
    for sentence in listed if isinstance(listed, list) else ():
        speaking.warn(str(sentence))
    orphans = facts.get("orphans")
    for each in orphans if isinstance(orphans, list) else ():
        if isinstance(each, dict):
            speaking.warn(
                f"{each['rows']} rows of {each['table']} point at nothing in {each['parent']} ({each['foreign_key']})"
            )
