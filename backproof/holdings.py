"""What the stores of a plan list, put together by backup; nothing of it is read yet.

``catalog`` reads of it the backups it is asked for. Whoever must see all of a plan at once sees a hundred thousand
backups too: a key costs a microsecond here. What a name says of a proof is only a hint where to look.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.garbage import no_garbage
from backproof.naming import ENCRYPTED, MANIFEST, PIN, PLAIN, REMOVAL, Name, parse, parse_stem
from backproof.records import Kind
from backproof.stores import Store, Stored

_PASSED = "_passed.json"
_ORDER = {MANIFEST: 0, ENCRYPTED: 2, PLAIN: 2}


@dataclass(slots=True)
class Held:
    """One backup, or what is left of one, over all stores."""

    plan: str
    kind: Kind
    id: str
    taken_at: datetime
    stored: list[Stored] = field(default_factory=list)
    """What lies there."""
    where: list[str] = field(default_factory=list)
    """The store of each."""
    committed: bool = False
    """Whether any store has its manifest: else it is no backup."""
    pinned: bool = False
    """Whether any store has a pin of it, valid or not."""
    marked: bool = False
    """Whether any store has a mark that it is to be removed, valid or not."""

    @property
    def name(self) -> Name:
        """Of its manifest, wherever that lies, or would lie."""
        return Name(self.plan, self.kind, self.taken_at, MANIFEST)

    @property
    def objects(self) -> Iterator[tuple[str, str, Stored]]:
        """Store name, the last part of the key (``manifest.json``), and what lies there."""
        return ((store, _part(each), each) for store, each in zip(self.where, self.stored, strict=True))

    @property
    def stores(self) -> list[str]:
        """Those that have any of it."""
        return list(dict.fromkeys(self.where))

    @property
    def said_to_pass(self) -> bool:
        """Whether the name of a proof says that it passed: others need not be read to find a proven backup."""
        return any(each.key.endswith(_PASSED) for each in self.stored)

    def having(self, part: str) -> list[str]:
        """The stores that list a part."""
        return [store for store, found, _ in self.objects if found == part]

    def places(self) -> dict[str, list[tuple[Name, int]]]:
        """Each part that we know with its length, by store."""
        found: dict[str, list[tuple[Name, int]]] = {}
        for store, _, each in self.objects:
            if (name := parse(each.key)) is not None:
                found.setdefault(store, []).append((name, each.length))
        return found

    def in_order(self, store: str) -> list[Stored]:
        """What lies in one store in the order in which it is deleted: manifest, proofs, archive. No pin, no mark."""
        deleted = [
            each
            for place, part, each in self.objects
            if place == store and part not in (PIN, REMOVAL) and parse(each.key) is not None
        ]
        return sorted(deleted, key=lambda each: (_ORDER.get(_part(each), 1), each.key))


@dataclass(frozen=True, slots=True)
class Holdings:
    """All that the stores hold of a plan."""

    found: tuple[Held, ...]
    """In no order."""
    skews: dict[str, timedelta]
    """How far the clock of each store that was asked is ahead of this machine's."""
    unlisted: dict[str, BackproofError]
    """The stores that could not be listed whole, or did not tell the time."""


def holdings(fleet: Fleet, plan: str, now: Callable[[], datetime]) -> Holdings:
    """List every store of a plan, all at the same time."""
    return _of(fleet, plan, fleet.plan(plan).stores, lambda store: store.clock() - now())


def listed(fleet: Fleet, plan: str, stores: Sequence[str]) -> Holdings:
    """List some stores and ask none for its time, which a folder tells only to who may write there."""
    return _of(fleet, plan, stores, lambda _: None)


def listed_anywhere(fleet: Fleet, plan: str) -> Holdings:
    """The same of all the plan's stores that answer.

    Raises:
        BackproofError: none does.
    """
    stores = fleet.plan(plan).stores
    held = listed(fleet, plan, stores)
    if len(held.unlisted) == len(stores):
        raise next(iter(held.unlisted.values()))
    return held


def _of(fleet: Fleet, plan: str, stores: Sequence[str], skew: Callable[[Store], timedelta | None]) -> Holdings:
    with ThreadPoolExecutor(max_workers=max(1, len(stores)), thread_name_prefix="list") as pool:
        found = list(pool.map(lambda name: _listed(fleet, name, plan, skew), stores))
    known: dict[str, Held | None] = {}
    skews, unlisted = {}, {}
    for store, given in zip(stores, found, strict=True):
        if isinstance(given, BackproofError):
            unlisted[store] = given
            continue
        if given[0] is not None:
            skews[store] = given[0]
        with no_garbage():
            _put_together(store, given[1], known)
    return Holdings(tuple(held for held in known.values() if held is not None), skews, unlisted)


def _listed(
    fleet: Fleet, name: str, plan: str, skew: Callable[[Store], timedelta | None]
) -> tuple[timedelta | None, list[Stored]] | BackproofError:
    try:
        store = fleet.store(name)
        return skew(store), list(store.list(f"{plan}/"))
    except BackproofError as error:
        return error


def _put_together(store: str, objects: list[Stored], known: dict[str, Held | None]) -> None:
    for each in objects:
        stem, _, part = each.key.partition(".")
        held = known.get(stem)
        if held is None:
            if stem in known or (parsed := parse_stem(stem)) is None:
                known[stem] = None
                continue
            held = known[stem] = Held(*parsed)
        held.stored.append(each)
        held.where.append(store)
        if part == MANIFEST:
            held.committed = True
        elif part == PIN:
            held.pinned = True
        elif part == REMOVAL:
            held.marked = True


def _part(stored: Stored) -> str:
    return stored.key.partition(".")[2]
