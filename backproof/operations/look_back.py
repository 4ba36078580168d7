"""Look back: a backup and those before it, in numbers, from the stores alone."""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from backproof.catalog import read_manifest, read_proof
from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.naming import MANIFEST, Name, ProofPart, parse
from backproof.records import Kind, Manifest, Proof
from backproof.trend import Measures, measures

EARLIER = 10
"""Backups to look back at: enough to see a trend; the manifest of a large database has megabytes."""

_AT_ONCE = 4

_Places = list[tuple[Name, str]]
"""What is listed of one backup: each part with the store that has it, in the plan's order of stores."""


def look_back(fleet: Fleet, plan: str, until: datetime, earlier: int = EARLIER) -> tuple[Measures, ...]:
    """The backup of that moment and those before it, oldest first; the last is not that of ``until`` where it is gone.

    What can't be read is left out: this is a picture and no verdict.

    Args:
        fleet: where the plan and its stores are found.
        plan: its name.
        until: when the backup was taken that the others are compared with.
        earlier: how many others, at most.

    Raises:
        BackproofError: no store could be listed.
    """
    backups: dict[tuple[datetime, Kind], _Places] = defaultdict(list)
    for store, names in _listed(fleet, plan):
        for name in names:
            if name.taken_at <= until:
                backups[name.taken_at, name.kind].append((name, store))
    committed = [each for each in sorted(backups) if any(name.part == MANIFEST for name, _ in backups[each])]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="look-back") as pool:
        read = list(pool.map(lambda each: _measured(fleet, backups[each]), committed[-earlier - 1 :]))
    return tuple(each for each in read if each is not None)


def _listed(fleet: Fleet, plan: str) -> list[tuple[str, list[Name]]]:
    stores = fleet.plan(plan).stores
    with ThreadPoolExecutor(len(stores), thread_name_prefix="look-back") as pool:
        answers = list(pool.map(lambda store: _names(fleet, store, plan), stores))
    found = [(store, given) for store, given in zip(stores, answers, strict=True) if isinstance(given, list)]
    if not found:
        raise next(given for given in answers if isinstance(given, BackproofError))
    return found


def _names(fleet: Fleet, store: str, plan: str) -> list[Name] | BackproofError:
    try:
        parsed = [parse(stored.key) for stored in fleet.store(store).list(f"{plan}/")]
    except BackproofError as error:
        return error
    return [name for name in parsed if name is not None and name.plan == plan]


def _measured(fleet: Fleet, places: _Places) -> Measures | None:
    manifest = _manifest(fleet, [place for place in places if place[0].part == MANIFEST])
    return None if manifest is None else measures(manifest, _proof(fleet, places))


def _manifest(fleet: Fleet, places: Sequence[tuple[Name, str]]) -> Manifest | None:
    for name, store in places:
        try:
            return read_manifest(fleet.store(store), name, fleet.signer)
        except BackproofError:
            continue
    return None


def _proof(fleet: Fleet, places: _Places) -> Proof | None:
    passed = [
        (name.part.finished_at, name, store)
        for name, store in places
        if isinstance(name.part, ProofPart) and name.part.verdict == "passed"
    ]
    for _, name, store in sorted(passed, key=lambda place: place[0], reverse=True):
        try:
            return read_proof(fleet.store(store), name, fleet.signer)
        except BackproofError:
            continue
    return None
