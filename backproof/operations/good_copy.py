"""Use a copy of a backup, and the next one where a copy turns out not to be good."""

from collections.abc import Callable
from typing import TypeVar

from backproof import catalog
from backproof.archive.reader import ArchiveReader
from backproof.errors import BackproofError, Damaged, NotFound, StoreUnavailable
from backproof.fleet import Fleet

R = TypeVar("R")

Use = Callable[[ArchiveReader, str], R]
"""Given an open archive and the store it lies in; leaves nothing behind where it raises."""


def from_a_good_copy(fleet: Fleet, plan: str, backup: str, store: str | None, use: Use[R]) -> tuple[R, tuple[str, ...]]:
    """What ``use`` gives for the first copy that is good, and a sentence for each that was passed over.

    Args:
        fleet: where the plan is found.
        plan: its name.
        backup: an id, ``latest`` or ``latest-proven``.
        store: this store's copy, and no other's.
        use: may read the archive, or only begin to.

    Raises:
        NotFound: no store has such a backup.
        BackproofError: that of the first copy, where none is good; of ``use``, at once, where it is not about the copy.
    """
    refused: list[tuple[str, BackproofError]] = []
    chosen, doubts = catalog.find(fleet, plan, backup, store)
    for manifest, place in catalog.manifests_of(fleet, chosen):
        try:
            archive = catalog.open_archive(fleet, manifest, place)
        except (Damaged, NotFound, StoreUnavailable) as error:
            refused.append((place, error))
            continue
        try:
            given = use(archive, place)
        except (Damaged, StoreUnavailable) as error:
            refused.append((place, error))
        else:
            passed_over = (f"the copy in {passed} was passed over: {error.fact}" for passed, error in refused)
            return given, (*doubts, *passed_over)
    if len(refused) == 1:
        raise refused[0][1]
    others = "; ".join(f"{passed}: {error.fact}" for passed, error in refused[1:])
    first = refused[0][1]
    raise type(first)(f"{first.fact}. No other copy is good either: {others}", first.remedy)
