"""Which backup to recover: the newest proven one, the newest taken before a moment, or one by its id. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from backproof.errors import NotFound
from backproof.records import Backup

LATEST = "latest"
_TOLD_AT_MOST = 5


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
        wanted: ``latest``, or an id.
        before: only what was taken before that moment, aware UTC; not together with an id.

    Raises:
        NotFound: there is none; says why the others were not taken.

    Source: "Choose the backup": the newest from before the corruption, deletion or breach.
    """
    newest_first = sorted(backups, key=lambda each: each.taken_at, reverse=True)
    if wanted != LATEST:
        return _by_id(newest_first, wanted)
    passed_over: list[str] = []
    for backup in newest_first:
        reasons = list(_against(backup, before))
        if not reasons:
            return Selection(backup, _told(passed_over))
        passed_over.append(f"{backup.id}: {reasons[0]}")
    when = f" before {before:%Y-%m-%d %H:%M:%S} UTC" if before else ""
    told = f": {'; '.join(_told(passed_over))}" if passed_over else ""
    raise NotFound(
        f"no proven backup{when} was found{told}",
        "`backproof list` shows those there are; any can be chosen by its id, also one that is not proven.",
    )


def _by_id(newest_first: Sequence[Backup], wanted: str) -> Selection:
    for backup in newest_first:
        if backup.id == wanted:
            newer = sum(each.taken_at > backup.taken_at and each.proven_at is not None for each in newest_first)
            warnings = [f"{wanted}: {reason}" for reason in _doubts(backup)]
            if newer:
                warnings.append(f"{newer} newer proven {'backup is' if newer == 1 else 'backups are'} there")
            return Selection(backup, warnings=tuple(warnings))
    raise NotFound(f"no backup {wanted} was found", "`backproof list` shows those there are.")


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
