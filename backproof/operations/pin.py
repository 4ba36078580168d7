"""Pin: keep one backup from ever being deleted by retention, until it is unpinned.

A pin is a small signed document beside the backup in every store, so that it holds wherever Backproof runs, and with
every other store lost. One that lies in a single store protects the backup in all, and replication brings it to the
others.
"""

from backproof import catalog
from backproof.errors import AlreadyExists, BackproofError, ConfigurationError, NotFound
from backproof.fleet import Fleet
from backproof.naming import MANIFEST, PIN, Name, key
from backproof.operations.clock import Now, utc_now
from backproof.records import Backup, Pin, Record

_LONGEST_WHY = 500


class Pinned(Record):
    """A pin that was made or taken away."""

    plan: str
    backup: str
    why: str
    stores: tuple[str, ...]
    """Where it lies now; after ``unpin``, where it no longer does."""
    problems: tuple[str, ...] = ()
    """Which stores failed, a clause each."""


def pin(fleet: Fleet, plan: str, backup: str, why: str, now: Now = utc_now) -> Pinned:
    """Pin a backup in every store of its plan that can be reached.

    Args:
        fleet: where the plan is found.
        plan: its name.
        backup: an id, ``latest`` or ``latest-proven``.
        why: for whoever wonders later; one line.
        now: the wall clock.

    Raises:
        NotFound: there is no such backup, or it is deleted just now.
        AlreadyExists: it is pinned, for another reason.
        BackproofError: no store took the pin.
    """
    reason = " ".join(why.split())
    if not 0 < len(reason) <= _LONGEST_WHY:
        raise ConfigurationError(
            f"the reason has {len(reason)} characters", f"Say in 1 to {_LONGEST_WHY} why the backup is to stay."
        )
    chosen, _ = catalog.find(fleet, plan, backup)
    for each in chosen:
        if each.pinned not in (None, reason):
            raise AlreadyExists(
                f"{each.id} is pinned: {each.pinned}", f"Unpin it first: backproof unpin {plan} {each.id}."
            )
    stores: set[str] = set()
    refused: dict[str, BackproofError] = {}
    for each in chosen:
        document = Pin(plan=plan, backup=each.id, kind=each.kind, why=reason, pinned_at=now())
        for store in fleet.plan(plan).stores:
            try:
                fleet.store(store).put(key(_name(each)), [fleet.signer.sign(document)])
            except AlreadyExists:
                pass
            except BackproofError as error:
                refused[store] = error
                continue
            stores.add(store)
    if not stores:
        raise next(iter(refused.values()))
    _require_there(fleet, chosen)
    return _told(fleet, plan, chosen[0].id, reason, stores, refused)


def unpin(fleet: Fleet, plan: str, backup: str) -> Pinned:
    """Take a pin away from every store; while one store keeps it, the backup stays pinned.

    A replication under way may bring a pin from a store that is asked late to one that was asked early. So all are
    asked twice: what it writes after that it takes back itself, since its source has none any more.

    Raises:
        NotFound: there is no such backup, or it is not pinned.
        BackproofError: no store let go of it.
    """
    chosen, _ = catalog.find(fleet, plan, backup)
    pinned = [each for each in chosen if each.pinned is not None]
    if not pinned:
        raise NotFound(f"{chosen[0].id} of plan {plan} is not pinned", f"`backproof list {plan}` shows what is.")
    stores: set[str] = set()
    refused: dict[str, BackproofError] = {}
    for place in 2 * [key(_name(each)) for each in pinned]:
        for store in fleet.plan(plan).stores:
            try:
                if fleet.store(store).head(place) is not None:
                    fleet.store(store).delete(place)
            except BackproofError as error:
                refused[store] = error
            else:
                stores.add(store)
    stores -= refused.keys()
    if not stores:
        raise next(iter(refused.values()))
    return _told(fleet, plan, pinned[0].id, pinned[0].pinned or "", stores, refused)


def _name(backup: Backup) -> Name:
    return Name(backup.plan, backup.kind, backup.taken_at, PIN)


def _require_there(fleet: Fleet, chosen: tuple[Backup, ...]) -> None:
    """The pin may have come too late."""
    for each in chosen:
        place = key(_name(each).with_part(MANIFEST))
        for copy in each.copies:
            try:
                if fleet.store(copy.store).head(place) is not None:
                    break
            except BackproofError:
                break  # it was there a moment ago
        else:
            raise NotFound(f"{each.id} is being deleted just now, and the pin came too late", "Pin another backup.")


def _told(
    fleet: Fleet, plan: str, backup: str, why: str, stores: set[str], refused: dict[str, BackproofError]
) -> Pinned:
    return Pinned(
        plan=plan,
        backup=backup,
        why=why,
        stores=tuple(store for store in fleet.plan(plan).stores if store in stores),
        problems=tuple(f"{store}: {error.fact}" for store, error in refused.items()),
    )
