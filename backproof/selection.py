"""Which backup to recover: the newest proven one, the newest taken before a moment, or one by its id. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backproof.errors import NotFound
from backproof.records import Backup

LATEST = "latest"
NEWEST = (LATEST, "latest-proven")
"""A recovery takes nothing for the latest that is not proven."""
_TOLD_AT_MOST = 5
_CLOCKS_DIFFER = timedelta(minutes=1)
"""Those of two machines may, and nothing is wrong."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The backup to recover, and what was thought of others."""

    backup: Backup
    passed_over: tuple[str, ...] = ()
    """Newer backups that were not taken, and why: a sentence each, newest first."""
    warnings: tuple[str, ...] = ()
    """What speaks against the chosen one."""


def select(backups: Sequence[Backup], wanted: str = LATEST, before: datetime | None = None) -> Selection:
    """Choose one backup of a plan.

    ``latest`` is the newest that is proven and has a whole copy; what was sealed because of a recovery holds the very
    state that somebody wanted to be rid of, and is taken by its id alone.

    Args:
        backups: of one plan, in any order.
        wanted: ``latest`` or ``latest-proven``, or an id.
        before: only what was taken before that moment, aware UTC; not together with an id.

    Raises:
        NotFound: there is none; says why the others were not taken.

    Source: "Choose the backup": the newest from before the corruption, deletion or breach.
    """
    newest_first = sorted(backups, key=lambda each: each.taken_at, reverse=True)
    if wanted not in NEWEST:
        return _by_id(newest_first, wanted)
    passed_over: list[str] = []
    for backup in newest_first:
        reasons = list(_against(backup, before))
        if not reasons:
            return Selection(backup, _told(passed_over))
        passed_over.append(f"{backup.id}: {reasons[0]}")
    raise _none(newest_first, before)


def _none(newest_first: Sequence[Backup], before: datetime | None) -> NotFound:
    """What is nearest to what was asked for comes first: neither safety backups nor what came after the moment."""
    remedy = "`backproof list PLAN` shows those there are; any can be chosen by its id, also one that is not proven."
    if before and (taken := [each for each in newest_first if not list(_against(each, None))]):
        oldest = taken[-1]
        return NotFound(
            f"no proven backup before {before:%Y-%m-%d %H:%M:%S} UTC was found; the oldest is {oldest.id},"
            f" of {oldest.taken_at:%Y-%m-%d %H:%M:%S} UTC",
            f"A moment is UTC unless it has an offset. {remedy}",
        )
    ordinary_first = sorted(newest_first, key=lambda each: each.kind == "safety")
    told = "; ".join(_told([f"{each.id}: {next(_against(each, before))}" for each in ordinary_first]))
    when = f" before {before:%Y-%m-%d %H:%M:%S} UTC" if before else ""
    return NotFound(f"no proven backup{when} was found{f': {told}' if told else ''}", remedy)


def yet_to_come(backup: Backup, now: datetime) -> tuple[str, ...]:
    """A sentence where a clock is wrong: then nobody knows how old the backup is, nor what would be lost."""
    if backup.taken_at - now <= _CLOCKS_DIFFER:
        return ()
    return (
        f"{backup.id} was taken at {backup.taken_at:%Y-%m-%d %H:%M} UTC, which is yet to come by the clock of this"
        f" machine ({now:%Y-%m-%d %H:%M} UTC): set it right",
    )


def moment_ahead(before: datetime | None, now: datetime) -> tuple[str, ...]:
    """A sentence where the moment that was asked for is yet to come."""
    if before is None or before <= now:
        return ()
    return (
        f"{before:%Y-%m-%d %H:%M} UTC is yet to come: is it a moment of another zone? It is UTC unless it has an"
        " offset",
    )


def _by_id(newest_first: Sequence[Backup], wanted: str) -> Selection:
    for backup in newest_first:
        if backup.id == wanted:
            newer = sum(each.taken_at > backup.taken_at and each.proven_at is not None for each in newest_first)
            warnings = [f"{wanted}: {reason}" for reason in _doubts(backup)]
            if newer:
                warnings.append(f"{newer} newer proven {'backup is' if newer == 1 else 'backups are'} there")
            return Selection(backup, warnings=tuple(warnings))
    raise NotFound(f"no backup {wanted} was found", "`backproof list PLAN` shows those there are.")


def _against(backup: Backup, before: datetime | None) -> Iterator[str]:
    if before is not None and backup.taken_at >= before:
        yield f"it was taken at {backup.taken_at:%Y-%m-%d %H:%M:%S} UTC, not before"
    if backup.kind == "safety":
        yield "it was sealed because of a recovery, and holds what that replaced"
    yield from _doubts(backup)


def _doubts(backup: Backup) -> Iterator[str]:
    if not any(copy.archive and copy.manifest for copy in backup.copies):
        yield "no store has a whole copy of it"
    if backup.proven_at is None:
        yield "its proof failed" if backup.failed_at is not None else "it is not proven"


def _told(passed_over: Sequence[str]) -> tuple[str, ...]:
    left = len(passed_over) - _TOLD_AT_MOST
    return (*passed_over[:_TOLD_AT_MOST], *([f"and {left} more"] if left > 0 else []))
