"""``backproof apply``: a Prefect server brought to the state of fleet.yaml."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import click

from deployments.cli import exits, scheduling, speaking
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import several

if TYPE_CHECKING:
    from deployments.apply import Outlook
    from deployments.apply.orphans import Orphaned
    from deployments.apply.things import Change

_LISTED = 20
_SECONDS_BETWEEN_NOTES = 10.0
_DONE = {"create": "created", "change": "changed", "remove": "removed"}


@click.command("apply", short_help="Bring a Prefect server to the state of fleet.yaml.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--remove", is_flag=True, help="Also take away what is no longer in the file. Never a backup.")
@pass_session
def apply_command(session: Session, dry_run: bool, remove: bool) -> int:
    """Bring a Prefect server to the state of fleet.yaml: blocks, work pool, deployments with schedules, automations.

    The server is the one that PREFECT_API_URL names, else the one that `backproof up` runs here. Doing it again changes
    nothing. It touches only what bears the fleet's name; what was paused by hand stays paused; what was edited by hand
    is shown before it is overwritten.
    """
    from backproof.fleet.advice import advice
    from backproof.operations.clock import utc_now
    from deployments.servers.prefect import ensure_api

    spec = session.fleet().spec
    with redirect_stdout(sys.stderr):
        url = ensure_api(private=False)
        from deployments.apply import carry_out, outlook
        from deployments.apply.connecting import connected, explained
        from deployments.apply.orphans import orphaned

        with explained(), connected() as client:
            seen = outlook(client, spec)
            left = [orphaned(plan) for plan in seen.plans_gone]
            if not session.json:
                _say_by_hand(seen)
            if not dry_run:
                carry_out(client, seen, remove, _told(len(seen.changes) + (len(seen.gone) if remove else 0)))
    now = utc_now()
    rows = scheduling.rows(spec, now, _paused(seen))
    warnings = advice(spec, now)
    for warning in warnings:
        speaking.warn(warning)
    document = {
        "fleet": spec.fleet,
        "server": url,
        "dry_run": dry_run,
        "changes": [_change(change) for change in seen.changes],
        "unchanged": seen.right,
        "gone": [{"sort": each.thing.sort, "name": each.thing.name} for each in seen.gone],
        "removed": remove and not dry_run,
        "orphaned": [
            {"plan": each.plan, "stores": each.stores, "backups": each.backups, "unknown": each.unknown}
            for each in left
        ],
        "schedules": [row.document() for row in rows],
        "warnings": warnings,
    }
    session.answer(document, lambda: _say(seen, left, rows, dry_run, remove))
    return exits.DONE


def _paused(seen: "Outlook") -> dict[tuple[str | None, str], bool]:
    """By plan and slug; a schedule that was not there before this run is not paused."""
    from deployments.apply.what_runs import SORT

    return {
        (thing.plan, slug): bool(thing.note["paused"] or slug in thing.note["inactive"])
        for thing in seen.there
        if thing.sort == SORT
        for slug in thing.fields["schedules"]
    }


def _change(change: "Change") -> dict[str, object]:
    return {
        "action": change.action,
        "sort": change.thing.sort,
        "name": change.thing.name,
        "by_hand": change.by_hand,
        "differences": [{"field": each.field, "was": each.was, "becomes": each.becomes} for each in change.differences],
    }


def _told(total: int) -> "Callable[[Change], None]":
    """A line every ten seconds: a thousand plans take minutes."""
    done, last = 0, time.monotonic()

    def told(change: "Change") -> None:
        nonlocal done, last
        done += 1
        if (now := time.monotonic()) - last >= _SECONDS_BETWEEN_NOTES:
            last = now
            speaking.note(f"{done:,} of {several(total, 'change')}")

    return told


def _say_by_hand(seen: "Outlook") -> None:
    """Before it is overwritten: whoever edited it may want to put it into the file."""
    for change in seen.changes:
        if change.by_hand:
            speaking.warn(f"{_name(change)} was edited by hand: {_differences(change)}")


def _say(
    seen: "Outlook", left: "Sequence[Orphaned]", rows: Sequence[scheduling.Row], dry_run: bool, remove: bool
) -> None:
    if not seen.changes:
        speaking.say(
            f"Nothing to change: all {several(seen.right, 'thing')} of fleet {seen.spec.fleet} are as the file says."
        )
    _say_changes(seen.changes, dry_run)
    if seen.gone:
        _say_gone(seen, dry_run, remove)
    for each in left:
        _say_orphaned(each)
    speaking.say("")
    scheduling.say(seen.spec, rows)


def _say_changes(changes: "Sequence[Change]", dry_run: bool) -> None:
    """One by one, save where there are many of a kind."""
    counted = Counter((change.action, change.thing.sort) for change in changes)
    for (action, sort), count in counted.items():
        verb = f"would be {_DONE[action]}" if dry_run else _DONE[action]
        if count > _LISTED:
            speaking.say(f"{several(count, sort)} {verb}")
            continue
        for change in changes:
            if (change.action, change.thing.sort) == (action, sort):
                said = f": {_differences(change)}" if change.differences else ""
                speaking.say(f"{_name(change)} {verb}{said}")


def _say_gone(seen: "Outlook", dry_run: bool, remove: bool) -> None:
    if remove:
        _say_changes(seen.gone, dry_run)
        return
    speaking.say("No longer in the file, and still there; `backproof apply --remove` takes it away:")
    for change in seen.gone:
        speaking.say(f"  {_name(change)}")


def _say_orphaned(left: "Orphaned") -> None:
    if left.unknown:
        speaking.warn(f"plan {left.plan} is no longer in the file, and of its backups not all is known: {left.unknown}")
    if left.backups:
        speaking.say(
            f"{several(len(left.backups), 'backup')} of plan {left.plan} are orphaned, the newest {left.backups[0]}; "
            f"they stay in {', '.join(left.stores)} until somebody deletes them"
        )


def _name(change: "Change") -> str:
    return f"{change.thing.sort} {change.thing.name}"


def _differences(change: "Change") -> str:
    return "; ".join(f"{each.field}: {each.was} → {each.becomes}" for each in change.differences)
