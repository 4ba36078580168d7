"""Backups put into stores by hand, with their proofs: histories that nobody has to wait for."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backproof.archive.manifest import archive_name
from backproof.fleet import Fleet
from backproof.naming import MANIFEST, PIN, Name, ProofPart, key, parse
from backproof.records import Kind, Proof, Target, Verdict
from backproof.recovery_test.naming import parse as parse_test
from tests.support import archives
from tests.support.fleets import PLAN

NOWHERE = Target(host="127.0.0.1", port=1, database="shop", user="nobody")
"""Where no server is: for what needs none."""


def days_ago(days: float) -> datetime:
    """By the real clock, since stores tell the time; to the second."""
    return (datetime.now(UTC) - timedelta(days=days)).replace(microsecond=0)


def put(
    fleet: Fleet,
    taken_at: datetime,
    kind: Kind = "daily",
    proven: bool = True,
    stores: Sequence[str] | None = None,
    signer: Fleet | None = None,
) -> Name:
    """A whole backup in stores of the plan, in all of them unless said; gives the name of its manifest."""
    archive = archives.make(ring=fleet.ring(PLAN), plan=PLAN, kind=kind, taken_at=taken_at)
    name = archive_name(archive.manifest)
    for store in fleet.plan(PLAN).stores if stores is None else stores:
        fleet.store(store).put(key(name), [archive.stored])
        fleet.store(store).put(key(name.with_part(MANIFEST)), [(signer or fleet).signer.sign(archive.manifest)])
    name = name.with_part(MANIFEST)
    if proven:
        prove(fleet, name, "passed", stores=stores, signer=signer)
    return name


def prove(
    fleet: Fleet,
    name: Name,
    verdict: Verdict,
    hours: float = 1,
    stores: Sequence[str] | None = None,
    signer: Fleet | None = None,
) -> Name:
    """A proof of the copy in the last store, so many hours after the backup; gives its name."""
    places = fleet.plan(PLAN).stores if stores is None else stores
    at = name.taken_at + timedelta(hours=hours)
    proof = Proof(
        plan=PLAN,
        backup=name.id,
        store=places[-1],
        verdict=verdict,
        reason="a test",
        started_at=at,
        finished_at=at,
        stored_sha256="0" * 64,
        backproof_version="0",
        proven_on="scratch",
        server_version="16.14",
    )
    place = name.with_part(ProofPart(at, verdict))
    for store in places:
        fleet.store(store).put(key(place), [(signer or fleet).signer.sign(proof)])
    return place


def held(fleet: Fleet, store: str) -> dict[str, list[str]]:
    """What lies in a store: a backup's id to the last parts of its keys."""
    found: dict[str, list[str]] = {}
    for each in fleet.store(store).list(f"{PLAN}/"):
        if parse_test(each.key) is not None:
            continue
        name = parse(each.key)
        assert name is not None
        found.setdefault(name.id, []).append(each.key.partition(".")[2].partition("_")[0])
    return found


def ids(fleet: Fleet, store: str) -> list[str]:
    """The backups of a store, oldest first."""
    return sorted(held(fleet, store))


def pinned(name: Name) -> str:
    """Where its pin lies."""
    return key(name.with_part(PIN))


def age(fleet: Fleet, store: str, days: float) -> None:
    """Let every file of a folder store look as old as that."""
    then = days_ago(days).timestamp()
    for path in Path(fleet.store(store).location()).rglob("*"):
        os.utime(path, (then, then))
