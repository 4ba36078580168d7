"""Plans whose stores hold real archives that no database had to be asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from secrets import token_bytes
from typing import Any

from backproof.archive.manifest import archive_name
from backproof.fleet import Fleet
from backproof.naming import MANIFEST, PIN, Name, ProofPart, key
from backproof.operations.replicate import Brought, bring, survey
from backproof.records import Kind, Manifest, Pin, Proof, Target, Verdict
from backproof.replication import Outlook, Step
from deployments.servers.seaweedfs import S3Server
from tests.support.archives import SHOP, Archive, make, rows_of
from tests.support.fleets import PLAN, built, described
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY

NOBODY = Target(host="127.0.0.1", port=1, database="shop", user="nobody")
FIRST = datetime(2025, 11, 7, 2, 0, tzinfo=UTC)


def region(server: S3Server, prefix: str, number: int = 0, **more: Any) -> dict[str, Any]:
    """A store in one of the tests' regions, as a fleet describes it."""
    where = {"bucket": BUCKET, "region": REGIONS[number], "prefix": prefix, "endpoint_url": server.endpoint_url}
    return {"type": "s3", **where, **more}


def folder(path: Path) -> dict[str, Any]:
    return {"type": "local", "path": str(path)}


@cache
def archive(day: int = 0, megabytes: int = 0, kind: Kind = "daily") -> Archive:
    """A whole archive of so many days after the first; made once, and unlike any other of the same day's remaking."""
    large = rows_of("public.photos", token_bytes(megabytes * 1_000_000))
    pieces = (*SHOP[:-1], large, SHOP[-1]) if megabytes else SHOP
    return make(pieces, kind=kind, taken_at=FIRST + timedelta(days=day))


@dataclass
class Replicas:
    """A fleet with one plan, and what a test lays into its stores."""

    stores: dict[str, Any]
    folder: Path
    daily: str = "keep"
    """How long daily backups are kept."""
    description: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        plan = {"encryption": "none", "retention": {"daily": self.daily}}
        self.description = described(NOBODY, self.folder, self.stores, (ACCESS_KEY, SECRET_KEY), **plan)
        self.description["plans"][PLAN].pop("key")
        self.fleet: Fleet = built(self.description, self.folder)

    def lay(self, store: str, laid: Archive, archive: bool = True, manifest: bool = True) -> Archive:
        """One backup into one store, or a part of it."""
        place = self.fleet.store(store)
        if archive:
            place.put(key(archive_name(laid.manifest)), [laid.stored])
        if manifest:
            place.put(key(archive_name(laid.manifest).with_part(MANIFEST)), [self.fleet.signer.sign(laid.manifest)])
        return laid

    def prove(
        self, laid: Archive, copy: str, into: Sequence[str], verdict: Verdict = "passed", minute: int = 15
    ) -> None:
        """A proof of one copy, into some stores."""
        proof = proof_of(laid.manifest, copy, verdict, laid.manifest.taken_at + timedelta(minutes=minute))
        for store in into:
            name = archive_name(laid.manifest).with_part(ProofPart(proof.finished_at, verdict))
            self.fleet.store(store).put(key(name), [self.fleet.signer.sign(proof)])

    def pin(self, laid: Archive, into: Sequence[str], why: str = "a test") -> None:
        """A pin, into some stores."""
        manifest = laid.manifest
        document = Pin(plan=PLAN, backup=manifest.id, kind=manifest.kind, why=why, pinned_at=FIRST)
        for store in into:
            self.fleet.store(store).put(path_of(laid, PIN), [self.fleet.signer.sign(document)])

    def survey(self) -> Outlook:
        return survey(self.fleet, PLAN)

    def replicate(self) -> list[Brought]:
        """All that is to be done, done."""
        return [self.bring(step) for step in self.survey().steps]

    def bring(self, step: Step, progress: Any = lambda _: None) -> Brought:
        return bring(self.fleet, PLAN, step, progress)

    def held(self, store: str) -> dict[str, bytes]:
        """All that lies in a store, by key."""
        place = self.fleet.store(store)
        return {each.key: b"".join(place.read(each.key)) for each in place.list()}

    def expect_equal(self) -> None:
        """Every store holds the same, to the byte, and nothing is left to be done."""
        one, *others = (self.held(store) for store in self.stores)
        assert all(other == one for other in others)
        found = self.survey()
        assert (found.steps, found.alarms, found.unreachable) == ((), (), {})


def path_of(laid: Archive, part: Any = None) -> str:
    """The key of an archive, or of another part of the backup."""
    name: Name = archive_name(laid.manifest)
    return key(name if part is None else name.with_part(part))


def proof_of(manifest: Manifest, store: str, verdict: Verdict, finished_at: datetime) -> Proof:
    return Proof(
        plan=manifest.plan,
        backup=manifest.id,
        store=store,
        verdict=verdict,
        reason="as the test says",
        started_at=finished_at,
        finished_at=finished_at,
        stored_sha256=manifest.stored_sha256,
        backproof_version="0",
        proven_on="scratch",
        server_version="16.14",
    )
