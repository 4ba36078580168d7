"""Which backup a recovery takes, and from where: the same for who recovers and for who asks whether they could."""

from dataclasses import dataclass
from datetime import datetime

from backproof import catalog
from backproof.errors import ConfigurationError, NotFound
from backproof.fleet import Fleet
from backproof.records import Backup, Manifest
from backproof.selection import LATEST, NEWEST, Selection, select


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Args:
        wanted: ``latest``, which is proven here and may be called ``latest-proven`` too; or an id.
        before: the newest proven one taken before that moment, aware UTC.
        store: read this store's copy and no other's.

    Raises:
        ConfigurationError: an id and a moment were both given.
    """

    wanted: str = LATEST
    before: datetime | None = None
    store: str | None = None

    def __post_init__(self) -> None:
        if self.before is not None and self.is_by_id:
            raise ConfigurationError("a backup and a moment were both given", "Give one of them.")

    @property
    def is_by_id(self) -> bool:
        """Whether one backup is named."""
        return self.wanted not in NEWEST


@dataclass(frozen=True)
class Choice:
    """What would be recovered."""

    selection: Selection
    manifest: Manifest
    stores: tuple[str, ...]
    """Whole copies to read, the nearest first."""

    @property
    def backup(self) -> Backup:
        """The backup alone."""
        return self.selection.backup


def choose(fleet: Fleet, plan: str, listing: catalog.Listing, wish: Wish) -> Choice:
    """Choose a backup of a plan that a recovery can read.

    Args:
        fleet: where the plan is found.
        plan: its name.
        listing: its backups.
        wish: which of them.

    Raises:
        NotFound: no backup fits; says why.
        BackproofError: there is no backup, and a store did not answer; or no store gives the manifest.
    """
    if wish.store is not None:
        fleet.store(wish.store)
    if not listing.backups and listing.unreachable:
        raise listing.unreachable[0][1]
    selection = select(listing.backups, wish.wanted, wish.before)
    backup = selection.backup
    stores = tuple(copy.store for copy in backup.copies if copy.archive and copy.manifest)
    if not stores or (wish.store is not None and wish.store not in stores):
        where = "no store has" if wish.store is None else f"store {wish.store} has not"
        known = f"There are copies in: {', '.join(stores)}." if stores else "Choose another backup: `backproof list`."
        raise NotFound(f"{where} a whole copy of {backup.id}", known)
    manifest, _ = catalog.manifest(fleet, plan, backup.id)
    return Choice(selection, manifest, stores if wish.store is None else (wish.store,))
