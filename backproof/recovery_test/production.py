"""The state of production: what a recovery test's critical data is held against, recorded a week before.

Recorded are sizes, versions, the number of rows of every table and the digest of every definition; no row of data.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Literal

from pydantic import Field, JsonValue

from backproof import __version__, catalog
from backproof.archive.reader import ArchiveReader
from backproof.comparison import EntryTexts
from backproof.engines import Engine
from backproof.errors import AlreadyExists, BackproofError
from backproof.fleet import Fleet
from backproof.operations.clock import Now, utc_now
from backproof.records import Finding, Record
from backproof.recovery_test.naming import PRODUCTION, TestName, key, parse, prefix, started_at, test_id

RECENT = timedelta(days=45)
"""A state that is older says nothing of today's backup."""


class ProductionState(Record):
    """A plan's live database as it was at one moment, and what its next recovery test was told beforehand. Signed."""

    format: Literal[1] = 1
    plan: str
    test: str
    """The id it lies under: its own moment's, not that of the test to come."""
    recorded_at: datetime
    engine: str
    database: str
    live_bytes: int
    rows: dict[str, int]
    """Per table, as the backup names it."""
    definitions: dict[str, str]
    """SHA-256 of every definition, by its key."""
    fingerprint: str
    """SHA-256 of all definitions: the schema's."""
    versions: dict[str, str]
    identity: dict[str, JsonValue]
    """Of the server."""
    due_at: datetime | None = None
    """When the recovery test is to be; None: it has no schedule, or this was recorded without one in sight."""
    told: tuple[str, ...] = ()
    """Who was told of the recovery test."""
    environment: tuple[Finding, ...] = Field(default=())
    """What was found of the test environment."""


@dataclass(frozen=True)
class Recorded:
    """One that lies in the stores."""

    state: ProductionState
    key: str
    sha256: str


def read(fleet: Fleet, plan: str, now: Now = utc_now) -> ProductionState:
    """Read the live database, at one consistent point, as its reader. Nothing is written anywhere.

    Raises:
        BackproofError: it can't be reached or dumped.
    """
    engine, target = fleet.engine(plan), fleet.target(plan)
    recorded_at, definitions = now(), EntryTexts()
    with engine.dump(target, 1, fleet.tool_folders) as dump:
        for piece in chain(dump.schema(), dump.finish()):
            add_shapes(engine, definitions, piece.head + piece.body + piece.tail)
        rows, database = dump.inventory().rows, dump.database
    digests = definitions.digests()
    return ProductionState(
        plan=plan,
        test=test_id(recorded_at),
        recorded_at=recorded_at,
        engine=database.engine,
        database=target.database,
        live_bytes=database.live_bytes,
        rows=dict(sorted(rows.items())),
        definitions=digests,
        fingerprint=fingerprint(digests),
        versions={"backproof": __version__, "server": database.server_version, "dump tool": database.tool_version},
        identity=database.server,
    )


def definitions_of(engine: Engine, archive: ArchiveReader) -> dict[str, str]:
    """The same digests of what an archive holds."""
    texts = EntryTexts()
    for member in archive.manifest.members:
        if member.table is None and member.section != "data":
            add_shapes(engine, texts, archive.read(member))
    return texts.digests()


def add_shapes(engine: Engine, texts: EntryTexts, text: bytes) -> None:
    """Take the definitions of a piece of SQL, without what moves with the rows, and without session settings."""
    for entry in engine.entries(text):
        if entry.kind != "PREAMBLE":
            texts.add(entry.key, engine.shape(entry))


def fingerprint(definitions: Mapping[str, str]) -> str:
    """One digest for a whole schema."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(definitions.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def write(fleet: Fleet, state: ProductionState) -> list[str]:
    """Put it into every store of the plan that takes it.

    Returns:
        A sentence for each store that has none.

    Raises:
        BackproofError: no store took it.
    """
    document = fleet.signer.sign(state)
    refused: list[tuple[str, BackproofError]] = []
    stores = fleet.stores(state.plan)
    for store in stores:
        try:
            store.put(key(TestName(state.plan, state.test, PRODUCTION)), [document])
        except AlreadyExists:
            continue  # of another run within the same second
        except BackproofError as error:
            refused.append((store.name, error))
    if len(refused) == len(stores):
        raise refused[0][1]
    return [f"store {name} has no state of production: {error.fact}" for name, error in refused]


def latest(fleet: Fleet, plan: str, before: datetime) -> Recorded | None:
    """The newest recent one in the stores that can be asked, from before a moment; None: there is none."""
    names: dict[str, list[str]] = {}
    for store in fleet.stores(plan):
        try:
            listed = [parse(stored.key) for stored in store.list(prefix(plan))]
        except BackproofError:
            continue
        for name in listed:
            if name is not None and name.part == PRODUCTION and before - RECENT <= started_at(name.test) <= before:
                names.setdefault(name.test, []).append(store.name)
    for test in sorted(names, reverse=True):
        for place in names[test]:
            if (found := _read(fleet, plan, test, place)) is not None:
                return found
    return None


def _read(fleet: Fleet, plan: str, test: str, place: str) -> Recorded | None:
    """None where nobody we trust has written it, or it lies in a place that is not its own."""
    where = key(TestName(plan, test, PRODUCTION))
    try:
        document = catalog.document(fleet.store(place), where)
        state = fleet.signer.verify(document, ProductionState)
    except BackproofError:
        return None
    if (state.plan, state.test) != (plan, test):
        return None
    return Recorded(state, where, hashlib.sha256(document).hexdigest())


def differing(recorded: Mapping[str, str], restored: Mapping[str, str]) -> Iterator[str]:
    """The definitions that are not the same, a clause each."""
    for name in sorted(recorded.keys() | restored.keys()):
        if name not in restored:
            yield f"{name} is missing"
        elif name not in recorded:
            yield f"{name} is there and production has none"
        elif recorded[name] != restored[name]:
            yield f"{name} is another one"
