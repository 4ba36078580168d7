"""What the stores of a plan tell of the past: how long restorations took, and what a disaster would have lost."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from backproof.catalog import read_proof
from backproof.errors import BackproofError
from backproof.fleet import Fleet, PlanSpec
from backproof.holdings import Held, listed_anywhere
from backproof.naming import ProofPart
from backproof.recovery.measured import measures as measures
from backproof.recovery_test.record import DataLoss

_READ_AT_MOST = 400
"""Backups whose proofs are read: where there are more, knowledge begins later."""
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when a backup counted as proven."""

    taken_at: datetime
    begins: datetime
    ends: datetime | None = None
    """When a later proof failed; None: it still counts."""


def data_loss(fleet: Fleet, plan: str, since: datetime, until: datetime) -> DataLoss:
    """How old the newest proven backup became, at most and typically.

    Proofs are deleted with their backups: of a time whose daily backups are gone, older ones that are kept for longer
    would say too much. So the answer begins where it can be known, and ``since`` in it says where that is.

    Args:
        fleet: where the plan and its stores are found.
        plan: its name.
        since: aware UTC, such as a quarter ago.
        until: aware UTC, now: what retention has deleted by then is gone.

    Raises:
        BackproofError: no store could be listed.
    """
    held = listed_anywhere(fleet, plan)
    kept = [each for each in held.found if each.committed and each.kind != "safety" and each.taken_at <= until]
    newest_first = sorted(kept, key=lambda each: each.taken_at, reverse=True)
    read = [each for each in newest_first if each.said_to_pass][:_READ_AT_MOST]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="proofs") as pool:
        spans = [each for each in pool.map(lambda each: _span(fleet, each, until), read) if each is not None]
    whole_from = _whole_from(fleet.plan(plan), until)
    if len(read) == _READ_AT_MOST:
        whole_from = max(whole_from, read[-1].taken_at)
    first_ever = min((each.taken_at for each in newest_first), default=since)
    begins = _begins(spans, since, until, whole_from, first_ever)
    maximum, typical = ages(spans, begins, until)
    return DataLoss(
        since=begins,
        until=until,
        maximum_seconds=maximum,
        typical_seconds=typical,
        objective_seconds=fleet.plan(plan).objectives.rpo.total_seconds(),
    )


def ages(spans: Sequence[Span], since: datetime, until: datetime) -> tuple[float | None, float | None]:
    """The greatest age of the newest proven backup, and the one not exceeded half of the time, in seconds; pure.

    Returns:
        None for the greatest where for some of the time there was none; None for both where there was none for half.
    """
    total = max((until - since).total_seconds(), 0.0)
    pieces = list(_pieces(spans, since, until))
    covered = sum(length for _, length in pieces)
    greatest = max((age + length for age, length in pieces), default=None)
    if not pieces:
        return None, None
    gap = total - covered > 1
    return None if gap else greatest, _middle(pieces, total / 2) if covered >= total / 2 else None


def _pieces(spans: Sequence[Span], since: datetime, until: datetime) -> Iterator[tuple[float, float]]:
    """Times in which one backup was the newest: its age at their beginning, and how long they are."""
    moments = {since, until, *(each.begins for each in spans), *(each.ends for each in spans if each.ends)}
    within = sorted(each for each in moments if since <= each <= until)
    for begins, ends in pairwise(within):
        counted = [each for each in spans if each.begins <= begins and (each.ends is None or each.ends > begins)]
        if counted:
            newest = max(each.taken_at for each in counted)
            yield (begins - newest).total_seconds(), (ends - begins).total_seconds()


def _middle(pieces: Sequence[tuple[float, float]], half: float) -> float:
    """The age up to which ``half`` seconds were spent."""
    bounds = sorted({bound for age, length in pieces for bound in (age, age + length)})
    before, reached = bounds[0], 0.0
    for bound in bounds:
        spent = sum(min(max(bound - age, 0.0), length) for age, length in pieces)
        if spent >= half:
            share = (half - reached) / (spent - reached) if spent > reached else 0.0
            return before + (bound - before) * share
        before, reached = bound, spent
    return bounds[-1]


def _whole_from(plan: PlanSpec, until: datetime) -> datetime:
    """From when on retention has deleted no backup."""
    kept = plan.retention
    periods = [period for period in (kept.daily, kept.monthly, kept.manual) if period is not None]
    shortest = min(periods, default=None)
    return datetime.min.replace(tzinfo=until.tzinfo) if shortest is None else until - shortest


def _begins(
    spans: Sequence[Span], since: datetime, until: datetime, whole_from: datetime, first_ever: datetime
) -> datetime:
    """Where knowledge begins: from then on no backup that is gone could have been the newest proven one.

    Retention never deletes the newest proven backup, so that it is the newest whatever else is gone.
    """
    if whole_from <= min(since, first_ever):
        return min(max(since, first_ever), until)
    sure = [each.begins for each in spans if each.taken_at >= whole_from]
    newest = max(spans, key=lambda each: each.taken_at, default=None)
    known_from = min([*sure, *([newest.begins] if newest else [])], default=since)
    return min(max(since, known_from), until)


def _span(fleet: Fleet, held: Held, until: datetime) -> Span | None:
    """By its first proof that passed and, after that, its last that failed: those that a trusted key has signed."""
    begins: datetime | None = None
    ends: datetime | None = None
    names = {
        (name.part.finished_at, name.part.verdict): name
        for parts in held.places().values()
        for name, _ in parts
        if isinstance(name.part, ProofPart) and name.part.finished_at <= until
    }
    for (at, verdict), name in sorted(names.items()):
        if verdict == "could-not-run" or (verdict == "passed") == (begins is not None and ends is None):
            continue
        for store in held.stores:
            try:
                read_proof(fleet.store(store), name, fleet.signer)
            except BackproofError:
                continue
            begins, ends = (begins or at, None) if verdict == "passed" else (begins, at)
            break
    return None if begins is None else Span(held.taken_at, begins, ends)
