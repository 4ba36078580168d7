"""Prune: carry out in every store of a plan what ``retention.decide`` decides, and sweep up what is left of backups.

Only as much is read as the decision takes: the names of everything, and, where something is due, the proofs of the
newest backups until as many are proven as the plan keeps whatever their age.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from backproof import catalog, retention
from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.garbage import no_garbage
from backproof.holdings import Held, Holdings, holdings
from backproof.naming import PIN
from backproof.operations.clock import Now, utc_now
from backproof.operations.removing import Removed, mark, marked, remove, unmark
from backproof.records import Kind, Record
from backproof.retention import Candidate, Decision

Needed = Callable[[], Mapping[str, str]]

T = TypeVar("T")
R = TypeVar("R")

_LONGEST_COPY = timedelta(days=2)
"""An archive younger than this may be on its way, and its manifest still to come."""

_AT_A_TIME = 8
"""Over a network, reading and deleting are mostly waiting."""


class Kept(Record):
    """One backup that stays, and why."""

    backup: str
    kind: Kind
    taken_at: datetime
    why: str


class Pruned(Record):
    """What a run did with a plan, or would do."""

    plan: str
    decided_at: datetime
    dry_run: bool
    refused: tuple[str, ...]
    """Why nothing is deleted at all, a clause each."""
    removed: tuple[Removed, ...]
    """What was due, oldest first."""
    kept: tuple[Kept, ...]
    """Newest first."""
    leftovers: tuple[Removed, ...]
    """What has no manifest in any store and was removed now."""
    waiting: tuple[Kept, ...]
    """The same, listed now and to be removed by a later run."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What a person may have to look at, a sentence each; empty after a run that did all that was due."""
        failed = (
            f"{each.backup} could not be removed: {problem}"
            for each in (*self.removed, *self.leftovers)
            for problem in each.problems
        )
        return (*(f"nothing is deleted: {reason}" for reason in self.refused), *failed)

    @property
    def freed_bytes(self) -> int:
        """Over all stores."""
        return sum(each.freed_bytes for each in (*self.removed, *self.leftovers))


def prune(fleet: Fleet, plan: str, dry_run: bool = False, now: Now = utc_now, needed: Needed = dict) -> Pruned:
    """Delete what the plan's retention no longer keeps, from every store.

    Safe to kill anywhere and to repeat. What Object Lock holds is kept and told, and no error; a store that fails
    midway is told under ``problems``, and the next run tries again. With a reason to doubt what is known (see
    ``retention.decide``) nothing is touched at all.

    Args:
        fleet: where the plan and its stores are found.
        plan: its name.
        dry_run: change nothing, and tell what would be done.
        now: the wall clock.
        needed: asked for backups, by id, that must stay for now, and why. Where it can't tell, nothing is deleted.

    Raises:
        NotFound: there is no such plan.
    """
    decision, held = decided(fleet, plan, now, needed)
    places = {(each.kind, each.id): each for each in held.found}
    removed: list[Removed] = []
    leftovers: list[Removed] = []
    waiting: list[Kept] = []
    if not decision.refused:
        doomed = {(fate.backup.kind, fate.backup.id): fate.why for fate in decision.doomed}
        removed = _each(
            lambda each: remove(fleet, places[each], doomed[each], "retention", now(), dry_run), list(doomed)
        )
        if not dry_run:
            _each(lambda each: unmark(fleet, each), _marked_in_vain(held, doomed))
        swept = _each(lambda each: _swept(fleet, each, now(), dry_run), _without_manifest(held))
        leftovers = [each for each in swept if isinstance(each, Removed)]
        waiting = [each for each in swept if isinstance(each, Kept)]
    return Pruned(
        plan=plan,
        decided_at=decision.decided_at,
        dry_run=dry_run,
        refused=decision.refused,
        removed=tuple(removed),
        kept=tuple(
            Kept(backup=fate.backup.id, kind=fate.backup.kind, taken_at=fate.backup.taken_at, why=fate.why)
            for fate in decision.fates
            if fate.keep
        ),
        leftovers=tuple(leftovers),
        waiting=tuple(waiting),
    )


def decided(fleet: Fleet, plan: str, now: Now = utc_now, needed: Needed = dict) -> tuple[Decision, Holdings]:
    """What is decided on a plan's backups at this moment, and what its stores list. Nothing is changed."""
    spec = fleet.plan(plan)
    held = holdings(fleet, plan, now)
    moment = now()
    doubts = [f"store {store} could not be listed whole: {error.fact}" for store, error in held.unlisted.items()]
    backups = [each for each in held.found if each.committed]
    with no_garbage():
        candidates = [_candidate(fleet, each) for each in backups]
    proven: list[Candidate] = []
    stay: Mapping[str, str] = {}
    try:
        stay = needed()
    except BackproofError as error:
        doubts.append(f"what a recovery under way needs could not be read: {error.fact}")
    if next(retention.due(candidates, spec.retention, moment, stay), None) is not None:
        pairs = sorted(zip(backups, candidates, strict=True), key=lambda pair: pair[0].taken_at, reverse=True)
        try:
            proven = _newest_proven(fleet, (pair for pair in pairs if pair[0].said_to_pass), spec.minimum_proven)
        except BackproofError as error:
            doubts.append(f"which backups are proven could not be read: {error.fact}")
            proven = candidates  # the doubt keeps everything; this keeps it from a second one
    with no_garbage():
        decision = retention.decide(
            candidates,
            spec.retention,
            spec.minimum_proven,
            moment,
            proven=proven,
            needed=stay,
            skews=held.skews,
            doubts=doubts,
        )
    return decision, held


def _candidate(fleet: Fleet, held: Held) -> Candidate:
    why = catalog.why_pinned(fleet, held.name, held.having(PIN)) if held.pinned else None
    return Candidate(held.plan, held.kind, held.id, held.taken_at, why)


def _newest_proven(fleet: Fleet, hinted: Iterable[tuple[Held, Candidate]], minimum: int) -> list[Candidate]:
    """The newest that are proven, until there are enough.

    Raises:
        BackproofError: a store could not be read, so that one may be proven without our knowing it.
    """

    def is_proven(pair: tuple[Held, Candidate]) -> bool:
        backup = catalog.read_backup(fleet, pair[0], certain=True)
        return backup is not None and backup.proven_at is not None

    found: list[Candidate] = []
    for batch in _batches(hinted, minimum):
        found += [pair[1] for pair, proven in zip(batch, _each(is_proven, batch), strict=True) if proven]
        if retention.enough(found, minimum):
            break
    return found


def _batches(items: Iterable[T], first: int) -> Iterator[list[T]]:
    """As many as should be enough; then more at a time, since something is wrong."""
    rest = iter(items)
    size = first
    while batch := list(islice(rest, size)):
        yield batch
        size = max(first, 4 * _AT_A_TIME)


def _marked_in_vain(held: Holdings, doomed: Collection[tuple[Kind, str]]) -> list[Held]:
    """Backups that are to stay after all: somebody has pinned them since, or the plan keeps them longer now."""
    return [each for each in held.found if each.committed and each.marked and (each.kind, each.id) not in doomed]


def _without_manifest(held: Holdings) -> list[Held]:
    """What is no backup, but for a pin that is alone: it keeps nothing from anything."""
    return [each for each in held.found if not each.committed and (each.marked or any(map(each.in_order, each.stores)))]


def _swept(fleet: Fleet, held: Held, now: datetime, dry_run: bool) -> Removed | Kept:
    """Remove what no store has a manifest of: at once what retention was at, else what was listed before and is old."""
    what = Kept(backup=held.id, kind=held.kind, taken_at=held.taken_at, why="")
    objects = [each for store in held.stores for each in held.in_order(store)]
    if objects and held.pinned:
        return what.model_copy(update={"why": "it has no manifest in any store, and is pinned"})
    found = marked(fleet, held)
    if not objects or (found is not None and found.why == "retention"):
        return remove(fleet, held, "what an earlier run had begun to remove", "retention", now, dry_run)
    newest = max([held.taken_at, *(each.modified_at for each in objects)])
    if now - newest < _LONGEST_COPY:
        return what.model_copy(update={"why": "it has no manifest in any store; that may be on its way"})
    if found is not None:
        return remove(fleet, held, "it has no manifest in any store, and was listed before", "leftover", now, dry_run)
    if not dry_run:
        mark(fleet, held, "leftover", now)
    return what.model_copy(update={"why": "it has no manifest in any store; a later run removes it"})


def _each(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Several at a time, where there are several."""
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(_AT_A_TIME, len(items)), thread_name_prefix="prune") as pool:
        return list(pool.map(function, items))
