"""What must be true of a fleet after anything went wrong: earlier backups untouched, no manifest without its bytes."""

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from backproof import catalog, subprocesses
from backproof.archive.manifest import archive_name
from backproof.archive.reader import checked
from backproof.errors import NotFound
from backproof.fleet import Fleet
from backproof.naming import ENCRYPTED, MANIFEST, PLAIN, key, parse
from backproof.records import Target
from backproof.stores import Store, Stored
from deployments.servers import seaweedfs
from deployments.servers.seaweedfs import S3Server
from tests.support.kinds import Kind
from tests.support.proc import comm
from tests.support.s3_fixtures import BUCKET


@dataclass(frozen=True)
class Holdings:
    """Every object of every store of a plan, by digest."""

    stores: dict[str, dict[str, str]]

    @classmethod
    def of(cls, fleet: Fleet, plan: str, stores: Iterable[str] | None = None) -> "Holdings":
        names = stores or fleet.plan(plan).stores
        return cls({name: digests(fleet.store(name)) for name in names})

    def expect_untouched(self, fleet: Fleet, plan: str) -> None:
        """All that was there is there still, to the byte; there may be more."""
        now = Holdings.of(fleet, plan, self.stores)
        for store, held in self.stores.items():
            assert held.items() <= now.stores[store].items(), f"{store} lost or changed an object"

    def expect_nothing_new(self, fleet: Fleet, plan: str) -> None:
        """Not one object more or less."""
        assert Holdings.of(fleet, plan, self.stores) == self


def listed(store: Store) -> list[Stored]:
    return list(store.list())


def digests(store: Store) -> dict[str, str]:
    """By key; without what a store was probed with, and was gone before it was read."""
    found = {}
    for each in listed(store):
        try:
            found[each.key] = digest(store, each.key)
        except NotFound:
            if not each.key.startswith("probe-"):
                raise
    return found


def digest(store: Store, name: str) -> str:
    found = hashlib.sha256()
    for chunk in store.read(name):
        found.update(chunk)
    return found.hexdigest()


def expect_whole(fleet: Fleet, plan: str) -> int:
    """Every manifest of every store has its whole archive, by length and SHA-256. Returns how many there are."""
    manifests = 0
    for name in fleet.plan(plan).stores:
        store = fleet.store(name)
        for each in store.list(f"{plan}/"):
            place = parse(each.key)
            if place is None or place.part != MANIFEST:
                continue
            manifest = catalog.read_manifest(store, place, fleet.signer)
            for _ in checked(store.read(key(archive_name(manifest))), manifest):
                pass
            manifests += 1
    return manifests


def archives(fleet: Fleet, plan: str) -> int:
    """How many archives lie in the stores, with a manifest or without."""
    names = (parse(each.key) for store in fleet.stores(plan) for each in store.list(f"{plan}/"))
    return sum(name is not None and name.part in (ENCRYPTED, PLAIN) for name in names)


def programs(*names: str) -> list[int]:
    """Our own children of these names that live; the servers of the tests are children as well."""
    return [pid for pid in subprocesses.live() if comm(pid) in names]


def expect_no_sessions(kind: Kind, target: Target, seconds: float = 10) -> None:
    """Nobody of ours is connected any more; a server takes a moment to notice that a client died."""
    expect_soon(lambda: kind.ask(target, kind.sessions, target.database) == [], seconds, "a session stays")


def expect_soon(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def unfinished_files(folder: Path) -> list[str]:
    """What writers of a folder store have left."""
    return [str(path) for path in folder.rglob("~*")]


def unfinished_uploads(server: S3Server, store: Store) -> list[str]:
    """What writers of an S3 store have left, seen past the store."""
    prefix = store.location().removeprefix(f"s3://{BUCKET}/")
    found = seaweedfs.client(server).list_multipart_uploads(Bucket=BUCKET, Prefix=prefix)
    return [each["Key"] for each in found.get("Uploads", ())]
