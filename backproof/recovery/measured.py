"""How long restorations of a plan took, read from its stores alone: what a forecast stands on.

The report of a recovery test holds the measures that were known then, so that the newest tells of backups which are
gone. What no key of this fleet has signed, or can't be read, is left out: this is history and no verdict.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TypeVar

from backproof import catalog
from backproof.archive.signing import RecordType
from backproof.catalog import read_manifest, read_proof
from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.holdings import Held, listed_anywhere
from backproof.measures import Expected, Measure
from backproof.naming import MANIFEST, ProofPart
from backproof.records import Manifest, Proof
from backproof.recovery.naming import is_report, prefix
from backproof.recovery.report import RecoveryReport
from backproof.recovery_test import naming as tests
from backproof.recovery_test.record import RecoveryTest

VERIFICATIONS = 12
"""Backups that are looked at, spread over the time there are any; a manifest of a large database has megabytes."""
TESTS = 8
_RECOVERIES = 8
_REMEMBERED = 400
_AT_ONCE = 4

Place = TypeVar("Place")
Found = TypeVar("Found")

IN_A_RECOVERY = ("check the copy", "restore", "checks")
"""Phases of a proof that a recovery has as well."""


def measures(fleet: Fleet, plan: str, until: datetime) -> tuple[Measure, ...]:
    """Every measured restoration that is known, oldest first.

    Args:
        fleet: where the plan and its stores are found.
        plan: its name.
        until: aware UTC; what is later is left out.

    Raises:
        BackproofError: no store could be listed.
    """
    held = listed_anywhere(fleet, plan)
    answering = [store for store in fleet.plan(plan).stores if store not in held.unlisted]
    backups = {each.id: each for each in held.found if each.committed}
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="measures") as pool:
        proven = pool.map(lambda each: _verified(fleet, each), _spread([*backups.values()], until))
        recovered = pool.map(
            lambda key: _recovered(fleet, plan, backups, _read(fleet, answering, key, RecoveryReport)),
            _newest(fleet, answering, prefix(plan), is_report, _RECOVERIES),
        )
        reports = past_tests(fleet, plan, answering)
        found = [each for each in (*proven, *recovered, *map(measure_of, reports)) if each is not None]
    remembered = max(reports, key=lambda each: each.started_at).history if reports else ()
    known = {(each.at, each.kind): each for each in (*remembered, *found) if each.at <= until}
    return tuple(known[place] for place in sorted(known))[-_REMEMBERED:]


def past_tests(fleet: Fleet, plan: str, stores: Sequence[str], most: int = TESTS) -> list[RecoveryTest]:
    """The newest recovery tests of a plan of which a report is left that counts, oldest first.

    Args:
        fleet: where the plan and its stores are found.
        plan: its name.
        stores: those to read; one that does not answer is passed over.
        most: so many at most.
    """
    keys = _newest(fleet, stores, tests.prefix(plan), tests.is_report, most)
    read = [_read(fleet, stores, key, RecoveryTest) for key in keys]
    named = {tests.key(tests.TestName(each.plan, each.test, tests.REPORT_JSON)): each for each in read if each}
    return [named[key] for key in keys if key in named]  # one that lies under another's name is none


def measure_of(test: RecoveryTest) -> Measure | None:
    """What a recovery test measured; None: it did not come to its end."""
    if test.recovery_seconds is None or not test.live_bytes:
        return None
    return Measure(at=test.started_at, kind="recovery test", live_bytes=test.live_bytes, seconds=test.recovery_seconds)


def expected(fleet: Fleet, plan: str, manifest: Manifest, now: datetime) -> Expected | None:
    """How long a recovery of one backup takes; None: nobody has measured, or no store could be asked."""
    from backproof import forecast  # numpy takes a moment to load

    try:
        known = measures(fleet, plan, now)
    except BackproofError:
        return None
    return forecast.expected(known, manifest.database.live_bytes)


def _spread(backups: Sequence[Held], until: datetime) -> list[Held]:
    """Some of those that are said to be proven: the newest, the oldest, and between them evenly in time."""
    said = sorted((each for each in backups if each.said_to_pass and each.taken_at <= until), key=_taken)
    if len(said) <= VERIFICATIONS:
        return said
    first, last = said[0].taken_at, said[-1].taken_at
    moments = [first + (last - first) * number / (VERIFICATIONS - 1) for number in range(VERIFICATIONS)]
    nearest = {(near := min(said, key=lambda each: abs(each.taken_at - at))).id: near for at in moments}
    return sorted(nearest.values(), key=_taken)


def _taken(held: Held) -> datetime:
    return held.taken_at


def _verified(fleet: Fleet, held: Held) -> Measure | None:
    proof, manifest = newest_proof(fleet, held), _manifest(fleet, held)
    if proof is None or manifest is None:
        return None
    seconds = sum(each.elapsed_seconds for each in proof.timings if each.phase in IN_A_RECOVERY)
    if not any(each.phase == "restore" for each in proof.timings) or not seconds:
        return None
    return Measure(
        at=manifest.taken_at, kind="verification", live_bytes=manifest.database.live_bytes, seconds=round(seconds, 3)
    )


def _recovered(fleet: Fleet, plan: str, backups: dict[str, Held], made: RecoveryReport | None) -> Measure | None:
    """Of a whole database, by a backup that is still there to say how large it was."""
    if made is None or made.plan != plan or made.result != "recovered" or not made.elapsed_seconds:
        return None
    if made.mode not in ("swap", "in-place"):
        return None
    manifest = _manifest(fleet, backups[made.backup]) if made.backup in backups else None
    if manifest is None:
        return None
    return Measure(
        at=made.opened_at, kind="recovery", live_bytes=manifest.database.live_bytes, seconds=made.elapsed_seconds
    )


def _manifest(fleet: Fleet, held: Held) -> Manifest | None:
    return _first(held.having(MANIFEST), lambda store: read_manifest(fleet.store(store), held.name, fleet.signer))


def newest_proof(fleet: Fleet, held: Held) -> Proof | None:
    """The newest proof of a backup that passed, and that counts."""
    passed = [
        (name.part.finished_at, store, name)
        for store, parts in held.places().items()
        for name, _ in parts
        if isinstance(name.part, ProofPart) and name.part.verdict == "passed"
    ]
    newest_first = sorted(passed, key=lambda place: place[0], reverse=True)
    return _first(newest_first, lambda place: read_proof(fleet.store(place[1]), place[2], fleet.signer))


def _newest(fleet: Fleet, stores: Sequence[str], under: str, wanted: Callable[[str], bool], most: int) -> list[str]:
    """Keys, the newest last; their names sort by time. Of several reports of one thing the last."""
    found: set[str] = set()
    for store in stores:
        try:
            found.update(each.key for each in fleet.store(store).list(under) if wanted(each.key))
        except BackproofError:
            continue
    last = {key.partition(".report")[0]: key for key in sorted(found)}
    return [*last.values()][-most:]


def _read(fleet: Fleet, stores: Sequence[str], key: str, kind: type[RecordType]) -> RecordType | None:
    def read(store: str) -> RecordType:
        return fleet.signer.verify(catalog.document(fleet.store(store), key), kind)

    return _first(stores, read)


def _first(places: Sequence[Place], read: Callable[[Place], Found]) -> Found | None:
    for place in places:
        try:
            return read(place)
        except BackproofError:
            continue
    return None
