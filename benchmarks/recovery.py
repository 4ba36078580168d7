"""How long a recovery takes, and an application is stopped: ``python -m benchmarks --recovery 1000 [--size-mb 200]``.

The generated database gets so many further tables of one row; it is sealed, and recovered in swap mode. Measured are
the phases, and the time from ``maintenance-on`` to ``maintenance-off``; there is no application, whose own commands
and tests would come on top. Then, without the safety backup that runs beside a restore, what a recovery from a folder
and one from S3 take until the database is live: seconds, and processor seconds of our own.
"""

import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.table import Table
from sqlalchemy import create_engine, text

from backproof import catalog
from backproof.fleet import Fleet, load
from backproof.operations.copy import copy
from backproof.operations.seal import seal
from backproof.recovery.context import Recovery, surroundings
from backproof.recovery.opening import begin, propose
from backproof.recovery.report import RecoveryReport, report
from backproof.recovery.run import carry_out, perform
from backproof.recovery.steps import Step
from benchmarks.bench import Bench

PLAN = "bench"


@dataclass
class Spent:
    """Of one recovery, by step: seconds of the clock, and of this process and its children."""

    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    def step(self, recovery: Recovery, step: Step) -> None:
        """Carry one out; what was set aside is not sealed and proven here."""
        if step.name == "keep":
            return
        begun, before = time.monotonic(), _cpu_seconds()
        perform(recovery, step)
        self.seconds[step.name] = time.monotonic() - begun
        self.cpu_seconds[step.name] = _cpu_seconds() - before


def measured(bench: Bench, tables: int, runs: int, say: Callable[[str], None]) -> Table:
    """Medians, as a table."""
    fleet = Fleet(load(bench.fleet_file, os.environ))
    further = create_engine(fleet.engine(PLAN).sqlalchemy_url(fleet.restorer(PLAN)))
    with further.begin() as connection:
        for number in range(tables):
            connection.execute(text(f"CREATE TABLE further_{number} (id int PRIMARY KEY, note varchar(20))"))
            connection.execute(text(f"INSERT INTO further_{number} VALUES (1, 'one')"))
    further.dispose()
    backup = seal(fleet, PLAN, "manual").manifest.id
    reports = [_recovered(bench, fleet, backup, say) for _ in range(runs)]
    table = Table(title=f"{bench.name}: {tables:,} further tables; load {os.getloadavg()[0]:.1f}")
    for column in ("", "seconds"):
        table.add_column(column, justify="right" if column else "left")
    for phase in reports[0].phases:
        seconds = [each.elapsed_seconds for made in reports for each in made.phases if each.phase == phase.phase]
        table.add_row(phase.phase, f"{statistics.median(seconds):.2f}")
    table.add_row("under maintenance", f"{statistics.median(each.maintenance_seconds or 0.0 for each in reports):.2f}")
    _by_store(bench, fleet, backup, runs, table)
    return table


def _by_store(bench: Bench, fleet: Fleet, backup: str, runs: int, table: Table) -> None:
    """Interleaved; the first round only warms up."""
    copy(fleet, PLAN, backup, "local", "region")
    spent: dict[str, list[Spent]] = {"local": [], "region": []}
    for number in range(runs + 1):
        for store, kept in spent.items():
            made = Spent()
            _carried_out(bench, fleet, backup, store, made)
            if number:
                kept.append(made)
    plain = _plain_bytes(fleet, backup) / 1e8
    totals = {store: statistics.median(sum(each.seconds.values()) for each in kept) for store, kept in spent.items()}
    for store, kept in spent.items():
        cpu = statistics.median(each.cpu_seconds["restore"] for each in kept)
        every = statistics.median(sum(each.cpu_seconds.values()) for each in kept)
        table.add_section()
        table.add_row(f"until live, from {store}", f"{totals[store]:.2f}")
        for step in ("check", "restore", "inspect"):
            table.add_row(f"  {step}", f"{statistics.median(each.seconds[step] for each in kept):.2f}")
        table.add_row("  CPU s of a restore for each 100 MB of SQL", f"{cpu / plain:.2f}")
        table.add_row("  CPU s of all steps for each 100 MB of SQL", f"{every / plain:.2f}")
    table.add_row("from S3 against local", f"{totals['region'] / totals['local']:.2f}")


def _carried_out(bench: Bench, fleet: Fleet, backup: str, store: str, spent: Spent) -> None:
    around = surroundings(bench.folder / "state", jobs=os.cpu_count() or 1)
    proposal = propose(fleet, PLAN, around.now(), backup, store=store)
    asked = {"reason": "a benchmark", "by": "benchmarks", "no_safety_backup": "it would run beside the restore"}
    recovery = begin(fleet, proposal, around, **asked)
    outcome = carry_out(recovery, spent.step)
    assert outcome.result == "recovered", outcome
    fleet.engine(PLAN).drop(recovery.live.to(recovery.request.aside))


def _plain_bytes(fleet: Fleet, backup: str) -> int:
    """Plain SQL of a backup."""
    return catalog.manifest(fleet, PLAN, backup)[0].plain_bytes


def _cpu_seconds() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


def _recovered(bench: Bench, fleet: Fleet, backup: str, say: Callable[[str], None]) -> RecoveryReport:
    around = surroundings(bench.folder / "state", jobs=os.cpu_count() or 1)
    recovery = begin(fleet, propose(fleet, PLAN, around.now(), backup), around, reason="a benchmark", by="benchmarks")
    outcome = carry_out(recovery)
    assert outcome.result == "recovered", outcome
    made = report(recovery.journal, recovery.manifest(), fleet.plan(PLAN).objectives.rto)
    say(f"{made.recovery}: {made.maintenance_seconds:.2f} s under maintenance, {outcome.problems or 'no problems'}")
    fleet.engine(PLAN).drop(recovery.live.to(recovery.request.aside))
    return made
