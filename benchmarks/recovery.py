"""How long an application is stopped by a recovery: ``python -m benchmarks --recovery 1000 [--size-mb 200]``.

The generated database gets so many further tables of one row; it is sealed, and recovered in swap mode. Measured are
the phases, and the time from ``maintenance-on`` to ``maintenance-off``; there is no application, whose own commands
and tests would come on top.
"""

import os
import statistics
from collections.abc import Callable

from rich.table import Table
from sqlalchemy import create_engine, text

from backproof.fleet import Fleet, load
from backproof.operations.seal import seal
from backproof.recovery.context import surroundings
from backproof.recovery.opening import begin, propose
from backproof.recovery.report import RecoveryReport, report
from backproof.recovery.run import carry_out
from benchmarks.bench import Bench

PLAN = "bench"


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
    return table


def _recovered(bench: Bench, fleet: Fleet, backup: str, say: Callable[[str], None]) -> RecoveryReport:
    around = surroundings(bench.folder / "state", jobs=os.cpu_count() or 1)
    recovery = begin(fleet, propose(fleet, PLAN, around.now(), backup), around, reason="a benchmark", by="benchmarks")
    outcome = carry_out(recovery)
    assert outcome.result == "recovered", outcome
    made = report(recovery.journal, recovery.manifest(), fleet.plan(PLAN).objectives.rto)
    say(f"{made.recovery}: {made.maintenance_seconds:.2f} s under maintenance, {outcome.problems or 'no problems'}")
    fleet.engine(PLAN).drop(recovery.live.to(recovery.request.aside))
    return made
