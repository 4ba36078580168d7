"""Remove one backup, or what is left of one, from every store; safe to kill anywhere and to repeat.

First a signed mark (``removal.json``) is put beside it in each store that has any of it; then, store by store, its
manifest goes, its proofs, its archive, and the mark at last. So what a killed run leaves is a backup still, or bears a
mark by which the next run knows what it is and finishes it.
"""

from contextlib import suppress
from datetime import datetime
from typing import Literal

from backproof import catalog
from backproof.errors import AlreadyExists, BackproofError, Damaged, Locked, NoSpace, NotFound
from backproof.fleet import Fleet
from backproof.holdings import Held
from backproof.naming import PIN, REMOVAL, key
from backproof.records import Kind, Record, Removal
from backproof.stores import Store

Why = Literal["retention", "leftover"]


class Removed(Record):
    """What was removed of one backup, or is to be; and what was not, and why."""

    backup: str
    kind: Kind
    taken_at: datetime
    why: str
    """A clause."""
    stores: tuple[str, ...] = ()
    """Where all of it is gone."""
    freed_bytes: int = 0
    kept: tuple[str, ...] = ()
    """What holds it where, a clause each: Object Lock, a pin made meanwhile."""
    problems: tuple[str, ...] = ()
    """What failed where, a clause each; the next run tries again."""


def remove(fleet: Fleet, held: Held, why: str, marked_as: Why, now: datetime, dry_run: bool) -> Removed:
    """Remove what the stores list of one backup.

    Args:
        fleet: where the stores are found.
        held: what they list.
        why: a clause for people.
        marked_as: what the mark says of it.
        now: when that was decided.
        dry_run: only look for what would keep it.
    """
    found = Removed(backup=held.id, kind=held.kind, taken_at=held.taken_at, why=why)
    try:
        if (reason := _hands_off(fleet, held)) is not None:
            return found.model_copy(update={"kept": (reason,)})
    except BackproofError as error:
        return found.model_copy(update={"problems": (error.fact,)})
    kept, problems, open_stores = [], [], []
    for name in held.stores:
        try:
            if (locked := _locked(fleet.store(name), held)) is not None:
                kept.append(f"{name}: {locked}")
            else:
                open_stores.append(name)
        except BackproofError as error:
            problems.append(f"{name}: {error.fact}")
    for name in [] if dry_run else list(open_stores):
        try:
            _mark(fleet, held, name, marked_as, now)
        except BackproofError as error:
            problems.append(f"{name}: {error.fact}")
            open_stores.remove(name)
    done = []
    for name in open_stores:
        try:
            if not dry_run:
                _delete(fleet.store(name), held)
            done.append(name)
        except Locked as error:
            kept.append(f"{name}: {error.fact}")
        except BackproofError as error:
            problems.append(f"{name}: {error.fact}")
    freed = sum(each.length for name in done for each in held.in_order(name))
    return found.model_copy(
        update={"stores": tuple(done), "freed_bytes": freed, "kept": tuple(kept), "problems": tuple(problems)}
    )


def mark(fleet: Fleet, held: Held, why: Why, now: datetime) -> None:
    """Put a mark beside it in each store that has any of it, as far as they can be reached."""
    for store in held.stores:
        with suppress(BackproofError):
            _mark(fleet, held, store, why, now)


def unmark(fleet: Fleet, held: Held) -> None:
    """Take away the marks of a backup that is to stay after all; what can't be reached is left to the next run."""
    for store in held.having(REMOVAL):
        with suppress(BackproofError):
            fleet.store(store).delete(key(held.name.with_part(REMOVAL)))


def marked(fleet: Fleet, held: Held) -> Removal | None:
    """The first good mark of a backup, or None."""
    for store in held.having(REMOVAL):
        with suppress(BackproofError):
            return catalog.read_removal(fleet.store(store), held.name, fleet.signer)
    return None


def _hands_off(fleet: Fleet, held: Held) -> str | None:
    """Why it must not be touched, as it is at this moment: it is somebody else's, or was pinned since it was listed.

    Raises:
        BackproofError: a store does not say.
    """
    if held.committed and not _ours(fleet, held):
        return "its manifest is not signed by a key this fleet trusts, or was changed"
    for store in held.stores:
        if fleet.store(store).head(key(held.name.with_part(PIN))) is not None:
            return f"it was pinned meanwhile, in store {store}"
        if not held.committed and fleet.store(store).head(key(held.name)) is not None:
            return f"its manifest has come meanwhile, to store {store}"
    return None


def _ours(fleet: Fleet, held: Held) -> bool:
    """Whether any manifest is what this fleet has written; else another fleet may share the place."""
    refused: BackproofError | None = None
    for store in held.stores:
        try:
            catalog.read_manifest(fleet.store(store), held.name, fleet.signer)
        except (Damaged, NotFound):
            continue
        except BackproofError as error:
            refused = error
        else:
            return True
    if refused is not None:
        raise refused
    return False


def _locked(store: Store, held: Held) -> str | None:
    """Why a store keeps any of it for now: then all of it stays there, or a locked archive would lose its manifest."""
    for each in held.in_order(store.name):
        if (locked := store.lock(each.key)) is not None:
            return locked
    return None


def _mark(fleet: Fleet, held: Held, store: str, why: Why, now: datetime) -> None:
    if store in held.having(REMOVAL):
        return
    removal = Removal(plan=held.plan, backup=held.id, kind=held.kind, why=why, decided_at=now)
    # A full disk must not keep what fills it: without a mark it is found in the end as well.
    with suppress(AlreadyExists, NoSpace):
        fleet.store(store).put(key(held.name.with_part(REMOVAL)), [fleet.signer.sign(removal)])


def _delete(store: Store, held: Held) -> None:
    for each in held.in_order(store.name):
        store.delete(each.key)
    store.delete(key(held.name.with_part(REMOVAL)))
