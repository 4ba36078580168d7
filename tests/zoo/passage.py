"""What happened to one database on its way: sealed, proven, restored whole, and table by table."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table as Grid

from backproof import catalog
from backproof.engines import Engine
from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.operations.prove import prove
from backproof.operations.restore import restore
from backproof.operations.seal import seal
from backproof.records import Difference, Manifest, Target
from tests.support.fleets import PLAN, fleet_of

Dump = Callable[[Target], bytes]
"""A whole database as text, by the stock tool."""

Facts = Callable[[Target], Counter[str]]
"""What a server's own catalogues say of a database, a text a fact."""


@dataclass
class Passage:
    """One database's result."""

    name: str
    objects: int = 0
    tables: int = 0
    rows: int = 0
    plain_bytes: int = 0
    verdict: str = ""
    reason: str = ""
    differences: tuple[Difference, ...] = ()
    left_out: tuple[str, ...] = ()
    not_covered: tuple[str, ...] = ()
    stock: str = ""
    """What the stock dumps of the live and of the restored database say beside each other."""
    facts: list[str] = field(default_factory=list)
    """What only the catalogues of the live (-) or of the restored database (+) say."""
    alone: int = 0
    """How many tables were restored alone."""
    single: dict[str, str] = field(default_factory=dict)
    """Table to the error of restoring it alone."""
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Keep how long something took."""
        began = time.monotonic()
        yield
        self.seconds[phase] = time.monotonic() - began

    def trouble(self) -> Iterator[str]:
        """All that a person has to look at, a line each."""
        if self.verdict != "passed":
            yield f"{self.verdict}: {self.reason}"
        yield from (f"{each.object}: {each.what}" for each in self.differences if each.accepted is None)
        yield from (f"not covered: {sentence}" for sentence in self.not_covered)
        if self.stock not in ("equal", ""):
            yield f"stock dump: {self.stock}"
        yield from self.facts
        yield from (f"{table} alone: {error}" for table, error in self.single.items())


@dataclass(frozen=True)
class Journey:
    """How databases travel: with which engine, stock dump, catalogue, and how many tables are also restored alone."""

    engine: Engine
    dump: Dump
    facts: Facts
    folder: Path
    accepted: Mapping[str, str]
    """Objects that a proof finds to differ, with the reason why that is no bug of ours."""
    single_tables: int | None
    """Evenly spread over them; None: all."""

    def travel(self, live: Target) -> Passage:
        """Seal, prove, restore by two connections, compare, restore single tables. Errors are part of the result."""
        passage = Passage(live.database)
        try:
            self._travel(live, passage)
        except BackproofError as error:
            if passage.verdict == "passed":
                passage.stock = f"could not be restored: {error}"
            passage.verdict = passage.verdict or "refused"
            passage.reason = passage.reason or str(error)
        return passage

    def _travel(self, live: Target, passage: Passage) -> None:
        accept = [{"object": name, "reason": reason} for name, reason in self.accepted.items()]
        stores = {"near": {"type": "local", "path": str(self.folder / live.database)}}
        fleet = fleet_of(live, self.folder, stores, engine=self.engine.name, accept=accept)
        with passage.timed("seal"):
            manifest = seal(fleet, PLAN, "manual").manifest
        passage.objects, passage.tables = len(manifest.entries), len(manifest.tables)
        passage.rows, passage.plain_bytes = sum(table.rows for table in manifest.tables), manifest.plain_bytes
        with passage.timed("prove"):
            proof = prove(fleet, PLAN, manifest.id, "near")
        passage.verdict, passage.reason, passage.differences = proof.verdict, proof.reason, proof.differences
        passage.not_covered = proof.not_covered
        self._restore(fleet, live, manifest, passage)
        with passage.timed("single tables"):
            self._singly(fleet, manifest, passage)

    def _restore(self, fleet: Fleet, live: Target, manifest: Manifest, passage: Passage) -> None:
        beside = fleet.restorer(PLAN).to(f"{live.database} beside")
        with passage.timed("restore"):
            passage.left_out = restore(
                fleet, PLAN, manifest.id, beside.database, jobs=2, create_missing_roles=True, accept_mentions=True
            ).left_out
        try:
            passage.stock = compared(self.dump(live), self.dump(beside))
            before, after = self.facts(live), self.facts(beside)
            passage.facts = [f"- {fact}" for fact in sorted((before - after).elements())]
            passage.facts += [f"+ {fact}" for fact in sorted((after - before).elements())]
        finally:
            self.engine.drop(beside)

    def _singly(self, fleet: Fleet, manifest: Manifest, passage: Passage) -> None:
        archive = catalog.open_archive(fleet, manifest, "near")
        alone = fleet.restorer(PLAN).to(f"{fleet.target(PLAN).database} alone")
        tables = [table for table in manifest.tables if not table.name.startswith("BLOBS")]
        wanted = len(tables) if self.single_tables is None else self.single_tables
        for table in tables[:: max(1, len(tables) // wanted)] if wanted else []:
            passage.alone += 1
            try:
                self.engine.create(alone, manifest)
                self.engine.restore(archive, alone, 1, [table.name], keep_order=True)
                if self.engine.digest(alone, table).sha256 != table.sha256:
                    passage.single[table.name] = "its rows came back changed"
            except BackproofError as error:
                passage.single[table.name] = str(error)
            finally:
                self.engine.drop(alone)


def compared(live: bytes, restored: bytes) -> str:
    """``equal``, or how many lines only one of two stock dumps has, and some of them. Their order does not count."""
    gone = Counter(live.splitlines()) - Counter(restored.splitlines())
    come = Counter(restored.splitlines()) - Counter(live.splitlines())
    if not gone and not come:
        return "equal"
    shown = [f"- {line.decode(errors='replace')}" for line in list(gone)[:5]]
    shown += [f"+ {line.decode(errors='replace')}" for line in list(come)[:5]]
    return f"{gone.total()} lines are gone, {come.total()} have come: " + " | ".join(shown)


def table_of(title: str, passages: list[Passage]) -> Grid:
    """One line a database."""
    grid = Grid("database", title=title)
    for column in ("objects", "tables", "rows", "SQL"):
        grid.add_column(column, justify="right")
    for column in ("verdict", "differences", "stock dump", "catalogue"):
        grid.add_column(column)
    for column in ("tables alone", "seal", "prove", "restore"):
        grid.add_column(column, justify="right")
    for each in passages:
        grid.add_row(
            each.name,
            f"{each.objects:,}",
            f"{each.tables:,}",
            f"{each.rows:,}",
            f"{each.plain_bytes / 1e6:.1f} MB",
            each.verdict,
            str(len(each.differences)),
            "equal" if each.stock == "equal" else "differs",
            f"{len(each.facts)} facts differ" if each.facts else "equal",
            f"{each.alone - len(each.single)} of {each.alone}",
            *(f"{each.seconds.get(phase, 0):.1f} s" for phase in ("seal", "prove", "restore")),
        )
    return grid
