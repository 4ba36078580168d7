"""``python -m benchmarks [--engines postgresql,mariadb] [--size-mb 800] [--runs 3] [--cases seal,restore,…]``.

Prints a table and writes latest.json; ``--add`` keeps the rows of other engines and cases that are there already.
``--stages`` prints instead where the processor time of a seal goes; ``--apply 100,1000`` measures instead how long
``backproof apply`` takes for so many plans, ``--retention 100000`` how long it takes to plan retention for so many
backups, and ``--recovery 1000`` how long a recovery stops an application, with so many further tables.
"""

import argparse
import json
import os
import statistics
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from backproof.scratch import workspace
from benchmarks import applying, mariadb, postgresql, recovery, retention
from benchmarks.bench import Bench, Case
from benchmarks.measure import Run

LATEST = Path(__file__).with_name("latest.json")

Started = Callable[[Path, int, Callable[[str], None]], AbstractContextManager[Bench]]
ENGINES: Mapping[str, Started] = {"postgresql": postgresql.started, "mariadb": mariadb.started}
CASES = ("seal", "restore", "restore-s3", "verify", "restore-table")

Row = dict[str, object]


def main() -> None:
    """Measure every case, ours and the peers in turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--engines", default=",".join(ENGINES), help=f"of: {', '.join(ENGINES)}")
    parser.add_argument("--size-mb", type=int, default=800, help="size of each generated database (default: 800)")
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each command (default: 3)")
    parser.add_argument("--cases", default=",".join(CASES), help=f"of: {', '.join(CASES)}")
    parser.add_argument("--add", action="store_true", help="to the rows that are there")
    parser.add_argument("--stages", action="store_true", help="where the processor time of a seal goes, instead")
    parser.add_argument("--apply", metavar="PLANS", help="how long `backproof apply` takes, such as 100,1000, instead")
    parser.add_argument("--retention", metavar="BACKUPS", type=int, help="how long retention takes to plan, instead")
    parser.add_argument(
        "--recovery", metavar="TABLES", type=int, help="how long a recovery takes, phase by phase, instead"
    )
    options = parser.parse_args()
    console = Console(stderr=True)
    if options.apply:
        with workspace("bench") as folder:
            for plans in map(int, options.apply.split(",")):
                for row in applying.measured(folder, plans, console.print):
                    Console().print_json(data=row)
        return
    if options.retention:
        with workspace("bench") as folder:
            Console().print(retention.measured(folder, options.retention, options.runs, console.print))
        return
    rows: list[Row] = []
    for engine in options.engines.split(","):
        with workspace("bench") as folder, ENGINES[engine](folder, options.size_mb, console.print) as bench:
            if options.stages:
                Console().print(_stages(bench, options.runs))
                continue
            if options.recovery is not None:
                Console().print(recovery.measured(bench, options.recovery, options.runs, console.print))
                continue
            for name in options.cases.split(","):
                rows += _measured(bench, name, bench.cases[name], options.runs, console)
    if rows:
        _write(rows, options.add)
        Console().print(_table(rows, options.runs))


def _measured(bench: Bench, name: str, case: Case, runs: int, console: Console) -> list[Row]:
    """Interleaved, since the machine's speed drifts; the first round warms up and shows the peak."""
    timed: dict[str, list[Run]] = {"ours": [], **{peer: [] for peer in case.peers}}
    peak_mb = 0.0
    for number in range(runs + 1):
        bench.watched = number == 0
        for who in timed:
            result = case.run(bench, who)
            peak_mb = max(peak_mb, result.peak_mb if who == "ours" else 0.0)
            console.print(
                f"{name:14} {who:18} {result.seconds:7.2f} s  {result.cpu_seconds:6.2f} CPU s", highlight=False
            )
            if number:
                timed[who].append(result)
    ours = _medians(timed.pop("ours"))
    return [
        {
            "engine": bench.name,
            "case": name,
            "peer": peer,
            "ours_seconds": ours[0],
            "peer_seconds": (theirs := _medians(results))[0],
            "ratio": round(theirs[0] / ours[0], 2),
            "ours_cpu_seconds": ours[1],
            "peer_cpu_seconds": theirs[1],
            "ours_peak_mb": round(peak_mb, 1),
            "database_bytes": bench.database_bytes,
            "load": round(os.getloadavg()[0], 2),
            "versions": dict(bench.versions),
        }
        for peer, results in timed.items()
    ]


def _stages(bench: Bench, runs: int) -> Table:
    """CPU seconds of a seal by stage, medians; and per GB of dump text and of database."""
    measured = [json.loads(bench.stages().output) for _ in range(runs)]
    seconds = {stage: statistics.median(each[stage] for each in measured) for stage in measured[0]}
    plain_bytes = seconds.pop("plain_bytes")
    seconds["ours beyond compression"] = seconds["total"] - seconds["compress"]
    table = Table(
        title=f"{bench.name}: {plain_bytes / 1e6:.0f} MB of SQL of a {bench.database_bytes / 1e6:.0f} MB database"
    )
    for column in ("stage", "CPU s", "per GB of SQL", "per GB of database"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage, each in seconds.items():
        table.add_row(stage, *(f"{each / size:.2f}" for size in (1, plain_bytes / 1e9, bench.database_bytes / 1e9)))
    return table


def _medians(runs: list[Run]) -> tuple[float, float]:
    """Seconds of the clock, and of the processors."""
    return (
        round(statistics.median(run.seconds for run in runs), 2),
        round(statistics.median(run.cpu_seconds for run in runs), 2),
    )


def _write(rows: list[Row], add: bool) -> None:
    measured = {(row["engine"], row["case"]) for row in rows}
    there = json.loads(LATEST.read_text()) if add and LATEST.exists() else []
    kept = [row for row in there if (row["engine"], row["case"]) not in measured]
    LATEST.write_text(json.dumps([*kept, *rows], indent=2) + "\n")


def _table(rows: list[Row], runs: int) -> Table:
    table = Table(
        title=f"Backproof beside the stock tools: medians of {runs} interleaved runs, ratio > 1: we are faster"
    )
    left = ("engine", "case", "peer")
    for column in (*left, "ours s", "peer s", "ratio", "ours CPU s", "peer CPU s", "ours peak MB"):
        table.add_column(column, justify="left" if column in left else "right")
    keys = (*left, "ours_seconds", "peer_seconds", "ratio", "ours_cpu_seconds", "peer_cpu_seconds", "ours_peak_mb")
    for row in rows:
        table.add_row(*(str(row[key]) for key in keys))
    return table


if __name__ == "__main__":
    main()
