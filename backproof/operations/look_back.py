"""Look back: a backup and those before it, in numbers, from the stores alone."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from backproof.catalog import read_manifest, read_proof
from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.holdings import Held, listed_anywhere
from backproof.naming import MANIFEST, ProofPart
from backproof.records import Manifest, Proof
from backproof.trend import Measures, measures

EARLIER = 10
"""Backups to look back at: enough to see a trend; the manifest of a large database has megabytes."""

_AT_ONCE = 4


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
    held = listed_anywhere(fleet, plan)
    known = (each for each in held.found if each.committed and each.taken_at <= until)
    committed = sorted(known, key=lambda each: (each.taken_at, each.kind))
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="look-back") as pool:
        read = list(pool.map(lambda each: _measured(fleet, each), committed[-earlier - 1 :]))
    return tuple(each for each in read if each is not None)


def _measured(fleet: Fleet, held: Held) -> Measures | None:
    manifest = _manifest(fleet, held)
    return None if manifest is None else measures(manifest, _proof(fleet, held))


def _manifest(fleet: Fleet, held: Held) -> Manifest | None:
    for store in held.having(MANIFEST):
        try:
            return read_manifest(fleet.store(store), held.name, fleet.signer)
        except BackproofError:
            continue
    return None


def _proof(fleet: Fleet, held: Held) -> Proof | None:
    passed = [
        (name.part.finished_at, name, store)
        for store, parts in held.places().items()
        for name, _ in parts
        if isinstance(name.part, ProofPart) and name.part.verdict == "passed"
    ]
    for _, name, store in sorted(passed, key=lambda place: place[0], reverse=True):
        try:
            return read_proof(fleet.store(store), name, fleet.signer)
        except BackproofError:
            continue
    return None
