"""``backproof prune``, ``pin`` and ``unpin``: what is kept, what is deleted, and why."""

from collections import Counter
from typing import TYPE_CHECKING

import click

from deployments.cli import exits, speaking
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import several, size

if TYPE_CHECKING:
    from backproof.operations.pin import Pinned
    from backproof.operations.prune import Pruned
    from backproof.operations.removing import Removed


@click.command("prune", short_help="Delete the backups that retention no longer keeps.")
@click.argument("plan")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted and kept, and why; change nothing.")
@pass_session
def prune_command(session: Session, plan: str, dry_run: bool) -> int:
    """Delete what the retention of PLAN no longer keeps, from every store, and sweep up what killed runs left.

    The newest proven backups stay whatever their age, and so do pinned ones. With a reason to doubt (a store that can't
    be listed, a wrong clock, too few proven backups) nothing is deleted at all, and the exit status is then 3.
    """
    from backproof.operations.prune import prune
    from backproof.recovery.needing import needed

    fleet = session.fleet(plan)
    pruned = prune(fleet, plan, dry_run, needed=lambda: needed(fleet, plan))
    for sentence in pruned.problems:
        speaking.warn(sentence)
    document = pruned.model_dump(mode="json") | {"freed_bytes": pruned.freed_bytes, "problems": list(pruned.problems)}
    session.answer({"pruned": document}, lambda: _say_pruned(pruned))
    return exits.DEGRADED if pruned.problems else exits.DONE


def _say_pruned(pruned: "Pruned") -> None:
    rows = [
        [each.backup, each.kind, _done(each, pruned.dry_run), size(each.freed_bytes), each.why]
        for each in (*pruned.removed, *pruned.leftovers)
    ]
    rows += [[each.backup, each.kind, "kept", "", each.why] for each in (*pruned.kept, *pruned.waiting)]
    if not rows:
        speaking.say("No backup was found. `backproof backup PLAN` takes one.")
        return
    speaking.print_table(["Backup", "Kind", "What", "Size", "Why"], rows, right=["Size"])
    gone = Counter(bool(each.stores) for each in (*pruned.removed, *pruned.leftovers))[True]
    verb = "would be deleted" if pruned.dry_run else "deleted"
    speaking.say("")
    speaking.say(
        f"{several(gone, 'backup')} {verb}, {size(pruned.freed_bytes)} in all stores; {len(pruned.kept)} kept."
    )


def _done(removed: "Removed", dry_run: bool) -> str:
    held = f"held back ({'; '.join(removed.kept)})" if removed.kept else ""
    failed = f"FAILED ({'; '.join(removed.problems)})" if removed.problems else ""
    where = f"{'delete from' if dry_run else 'deleted from'} {', '.join(removed.stores)}" if removed.stores else ""
    return "; ".join(part for part in (where, held, failed) if part)


@click.command("pin", short_help="Keep a backup from ever being deleted by retention.")
@click.argument("plan")
@click.argument("backup", metavar="ID")
@click.option("--why", required=True, metavar="TEXT", help="For whoever wonders later.")
@pass_session
def pin_command(session: Session, plan: str, backup: str, why: str) -> int:
    """Keep the backup ID of PLAN (or latest, latest-proven) whatever its age, until it is unpinned.

    The pin is a small signed document beside the backup in every store. Exit status 3: not every store took it; one is
    enough to protect the backup in all.
    """
    from backproof.operations.pin import pin

    pinned = pin(session.fleet(plan), plan, backup, why)
    return _answer(session, "pinned", pinned, f"{pinned.backup} of {plan} is pinned: {pinned.why}")


@click.command("unpin", short_help="Let retention delete a pinned backup again.")
@click.argument("plan")
@click.argument("backup", metavar="ID")
@click.option("--why", metavar="TEXT", default="", help="Repeated in the answer, for the record of whoever keeps it.")
@pass_session
def unpin_command(session: Session, plan: str, backup: str, why: str) -> int:
    """Take the pin of backup ID of PLAN away: the next `prune`, or retention on its schedule, may delete it.

    Exit status 3: a store could not be reached, keeps its pin, and so the backup stays pinned: unpin it again later.
    """
    from backproof.operations.pin import unpin

    unpinned = unpin(session.fleet(plan), plan, backup)
    reason = f" Why: {why}" if why else ""
    said = f"{unpinned.backup} of {plan} is no longer pinned. It was: {unpinned.why}.{reason}"
    if unpinned.problems:
        said = (
            f"The pin of {unpinned.backup} of {plan} is gone from {', '.join(unpinned.stores)} only, and replication "
            f"would bring it back: unpin it again once every store can be reached. It says: {unpinned.why}.{reason}"
        )
    return _answer(session, "unpinned", unpinned, said)


def _answer(session: Session, what: str, done: "Pinned", said: str) -> int:
    for problem in done.problems:
        speaking.warn(f"store {problem}")
    session.answer({what: done.model_dump(mode="json")}, lambda: speaking.say(said))
    return exits.DEGRADED if done.problems else exits.DONE
