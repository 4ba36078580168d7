"""Stand: what a plan's stores show of it, and how it stands against its recovery point objective."""

from collections.abc import Sequence
from datetime import datetime

from backproof.alarms import RecoveryPoint, recovery_point
from backproof.catalog import read_backup
from backproof.errors import BackproofError, Transient
from backproof.fleet import Fleet
from backproof.holdings import Held, listed
from backproof.naming import ENCRYPTED, PLAIN
from backproof.objectives import CLOCK_SKEW, Seen
from backproof.operations.clock import Now, utc_now
from backproof.records import Backup

_EARLIER = 30
"""Backups before the newest that say which size is usual: a month of daily ones."""


def stand(fleet: Fleet, plan: str, first_applied: datetime, now: Now = utc_now) -> RecoveryPoint:
    """Read a plan's newest proven backup, and hold it against what the plan promises.

    Raises:
        BackproofError: no store of the plan could be asked.
    """
    newest, doubts = newest_proven(fleet, plan, now)
    return recovery_point(plan, newest, first_applied, fleet.plan(plan).objectives, now(), doubts)


def newest_proven(
    fleet: Fleet, plan: str, now: Now = utc_now, down: dict[str, BackproofError] | None = None
) -> tuple[Backup | None, tuple[str, ...]]:
    """A plan's newest proven backup that counts, and a sentence for whatever could not be read.

    None counts that is from the future, and no safety backup: it holds what a recovery was to undo.

    Args:
        fleet: where the plan is found.
        plan: its name.
        now: the wall clock.
        down: as ``seen``.

    Raises:
        BackproofError: no store could be asked.
    """
    shown = seen(fleet, plan, now(), down)
    if len(shown.unreachable) == len(shown.stores):
        raise next(iter(shown.unreachable.values()))
    doubts = [f"Store {name} could not be asked: {error.fact}." for name, error in shown.unreachable.items()]
    if shown.unread is not None:
        doubts.append(f"Not all that tells of proofs could be read: {shown.unread.fact}.")
    if shown.ahead:
        doubts.append(f"{shown.ahead[0]} would be from the future, and does not count.")
    return next((backup for backup in shown.backups if backup.proven_at is not None), None), tuple(doubts)


def seen(fleet: Fleet, plan: str, now: datetime, down: dict[str, BackproofError] | None = None) -> Seen:
    """What a plan's stores show, safety backups aside.

    Args:
        fleet: where the plan is found.
        plan: its name.
        now: what was taken later than that does not count.
        down: stores that did not answer for an earlier plan, and are not asked again: asking takes long. Grows.
    """
    down = {} if down is None else down
    stores = fleet.plan(plan).stores
    held = listed(fleet, plan, [store for store in stores if store not in down])
    down |= {store: error for store, error in held.unlisted.items() if isinstance(error, Transient)}
    unreachable = down | held.unlisted
    committed = sorted((each for each in held.found if each.committed), key=lambda each: each.taken_at, reverse=True)
    until = now + CLOCK_SKEW
    past = [each for each in committed if each.taken_at <= until and each.kind != "safety"]
    backups, unread = _newest(fleet, past)
    return Seen(
        backups=backups,
        earlier_bytes=tuple(size for size in map(_archive_bytes, past[1 : 1 + _EARLIER]) if size),
        ahead=tuple(each.id for each in committed if each.taken_at > until),
        stores=stores,
        unreachable={store: unreachable[store] for store in stores if store in unreachable},
        unread=unread,
    )


def _newest(fleet: Fleet, newest_first: Sequence[Held]) -> tuple[tuple[Backup, ...], BackproofError | None]:
    """The newest and, unless it is proven, the newest that is; and what could not be read before that was found.

    Of no other than the newest is anything read whose proofs do not say by their names that they passed.
    """
    found: list[Backup] = []
    unread: BackproofError | None = None
    for held in newest_first:
        if found and not held.said_to_pass:
            continue
        try:
            backup = read_backup(fleet, held, certain=True)
        except BackproofError as error:
            unread = unread or error
            if found:
                continue
            backup = read_backup(fleet, held)
        if backup is not None and (not found or backup.proven_at is not None):
            found.append(backup)
        if backup is not None and backup.proven_at is not None:
            break
    return tuple(found), unread


def _archive_bytes(held: Held) -> int:
    return max((stored.length for _, part, stored in held.objects if part in (ENCRYPTED, PLAIN)), default=0)
