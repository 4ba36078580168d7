"""Which backups of a plan are kept, which are to be deleted, and why. Pure: no store, no clock, no deed.

A backup is kept while it is pinned, needed, or younger than its kind's period. What is past its period is kept all the
same where it is one of the last proven backups of the plan, or its newest backup at all. Safety backups hold what a
recovery was to undo: as many proven backups are kept of the other kinds alone. And where something is wrong with what
is known, nothing is deleted: ``Decision.refused`` says what.

A period of whole years ends on the same day of a later year, so that no leap day shortens it; a backup of 29 February
is then kept until 1 March. ``365d`` and ``1y`` are one period.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Literal, NamedTuple

from backproof.fleet import RetentionSpec
from backproof.fleet.durations import spell
from backproof.records import Kind

CLOCKS_MAY_DIFFER = timedelta(hours=1)
"""By so much between this machine and a store."""

_YEAR = timedelta(days=365)
_MOMENT = attrgetter("taken_at", "kind")

Because = Literal[
    "pinned",
    "needed",
    "period",
    "the newest proven backup",
    "one of the last proven backups",
    "the newest backup",
    "period over",
]
"""Why a backup is kept; ``period over``: why it is not, or would not be if anything were deleted."""


class Candidate(NamedTuple):
    """One backup, as far as it matters here."""

    plan: str
    kind: Kind
    id: str
    taken_at: datetime
    pinned: str | None = None
    """Why somebody wants it kept."""


class Fate(NamedTuple):
    """What is decided on one backup."""

    backup: Candidate
    keep: bool
    because: Because
    ends_at: datetime | None
    """When its period ends; None: never."""
    said: str
    """Further words: how long its kind is kept, or why it is needed."""

    @property
    def why(self) -> str:
        """A clause: ``until 2025-12-07 02:00 (daily: 30d)``."""
        ends = "" if self.ends_at is None else f"{self.ends_at:%Y-%m-%d %H:%M}"
        match self.because:
            case "period":
                return f"until {ends} ({self.said})" if ends else f"always ({self.said})"
            case "period over":
                return f"its period ended {ends} ({self.said})"
            case "pinned" | "needed":
                return f"{self.because}: {self.said}"
            case _:
                return self.because


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided on all backups of a plan, newest first."""

    decided_at: datetime
    fates: tuple[Fate, ...]
    refused: tuple[str, ...]
    """Why nothing is deleted at all, a clause each; then every fate is to be kept."""

    @property
    def doomed(self) -> tuple[Fate, ...]:
        """What is to be deleted, oldest first."""
        return tuple(fate for fate in reversed(self.fates) if not fate.keep)


def decide(
    backups: Sequence[Candidate],
    policy: RetentionSpec,
    minimum_proven: int,
    now: datetime,
    *,
    proven: Collection[Candidate] = (),
    needed: Mapping[str, str] | None = None,
    skews: Mapping[str, timedelta] | None = None,
    doubts: Sequence[str] = (),
) -> Decision:
    """Decide which backups of one plan to keep, and say why.

    Args:
        backups: all that exist of a single plan, over all of its stores, in any order.
        policy: how long each kind is kept.
        minimum_proven: so many of the newest proven backups are kept whatever their age, and so many that are no safety
            backups; 1 at least.
        now: timezone-aware UTC.
        proven: those that are proven by a proof whose signature holds, of the newest until they are ``enough``. Where
            nothing is ``due`` nobody needs to look for them.
        needed: backup's id to why it must stay for now: a recovery under way.
        skews: store's name to how far its clock is ahead of this machine's.
        doubts: what else forbids to delete anything, a clause each: a store that could not be listed whole.

    Returns:
        One fate per backup.

    Raises:
        ValueError: backups of more than one plan were given, or ``now`` has no time zone.
    """
    if len({backup.plan for backup in backups}) > 1:
        raise ValueError("backups of several plans are decided one plan at a time")
    if now.tzinfo is None:
        raise ValueError("now has no time zone")
    newest_first = sorted(backups, key=_MOMENT, reverse=True)
    fates = list(_by_period(newest_first, policy, now, needed or {}))
    floor = max(1, minimum_proven)
    last = sorted(proven, key=_MOMENT, reverse=True)
    counted = [each for each in last if _counts(each)][:floor]
    spared = [(each.kind, each.id) for each in (*last[:floor], *counted)]
    refused = [*_wrong_clocks(newest_first, now, skews or {}), *doubts]
    if not enough(counted, floor) and any(not fate.keep for fate in fates):
        known = f"of its backups {len(counted)} are proven, safety backups aside"
        refused.append(f"{known}, and the plan keeps {floor} of these at least")
    for number, fate in enumerate(fates):
        if not fate.keep:
            fates[number] = _spared(fate, number, spared, bool(refused))
    return Decision(now, tuple(fates), tuple(refused))


def due(
    backups: Iterable[Candidate], policy: RetentionSpec, now: datetime, needed: Mapping[str, str] | None = None
) -> Iterator[Candidate]:
    """Those past their period that nobody has pinned and nothing needs, in the order in which they were given."""
    return (fate.backup for fate in _by_period(backups, policy, now, needed or {}) if not fate.keep)


def enough(proven: Iterable[Candidate], minimum_proven: int) -> bool:
    """Whether so many are proven as must be kept: of those that no recovery has taken."""
    return sum(map(_counts, proven)) >= max(1, minimum_proven)


def _counts(backup: Candidate) -> bool:
    return backup.kind != "safety"


def _by_period(
    backups: Iterable[Candidate], policy: RetentionSpec, now: datetime, needed: Mapping[str, str]
) -> Iterator[Fate]:
    periods = {kind: _period(kind, getattr(policy, kind)) for kind in RetentionSpec.model_fields}
    for backup in backups:
        period, said = periods[backup.kind]
        ends = ends_at(backup.taken_at, period)
        if backup.pinned is not None:
            yield Fate(backup, True, "pinned", ends, backup.pinned)
        elif backup.id in needed:
            yield Fate(backup, True, "needed", ends, needed[backup.id])
        elif ends is None or now <= ends:
            yield Fate(backup, True, "period", ends, said)
        else:
            yield Fate(backup, False, "period over", ends, said)


def _period(kind: str, period: timedelta | None) -> tuple[timedelta | None, str]:
    return period, f"{kind}: {'keep' if period is None else spell(period)}"


def _spared(fate: Fate, number: int, spared: Sequence[tuple[str, str]], refused: bool) -> Fate:
    """What becomes of a backup past its period, the ``number``-th from the newest."""
    backup = fate.backup
    because: Because = fate.because
    if spared and (backup.kind, backup.id) == spared[0]:
        because = "the newest proven backup"
    elif (backup.kind, backup.id) in spared:
        because = "one of the last proven backups"
    elif number == 0:
        because = "the newest backup"
    elif not refused:
        return fate
    return Fate(backup, True, because, fate.ends_at, fate.said)


def ends_at(taken_at: datetime, period: timedelta | None) -> datetime | None:
    """When a backup's period ends; None: never, or after the last moment that Python can count."""
    if period is None:
        return None
    years, rest = divmod(period, _YEAR)
    try:
        return taken_at + period if rest else _years_later(taken_at, years)
    except (OverflowError, ValueError):
        return None


def _years_later(moment: datetime, years: int) -> datetime:
    if (moment.month, moment.day) == (2, 29):
        try:
            return moment.replace(year=moment.year + years)
        except ValueError:
            return moment.replace(year=moment.year + years, month=3, day=1)
    return moment.replace(year=moment.year + years)


def _wrong_clocks(newest_first: Sequence[Candidate], now: datetime, skews: Mapping[str, timedelta]) -> list[str]:
    wrong = [
        f"this machine's clock is {_apart(skew)} {'behind' if skew > timedelta(0) else 'ahead of'} store {store}'s"
        for store, skew in skews.items()
        if abs(skew) > CLOCKS_MAY_DIFFER
    ]
    if newest_first and newest_first[0].taken_at > now:
        wrong.append(
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, and {newest_first[0].id} was taken after that"
        )
    return wrong


def _apart(skew: timedelta) -> str:
    minutes = round(abs(skew).total_seconds() / 60)
    return f"{minutes} minutes" if minutes < 180 else f"{minutes // 60} hours"
