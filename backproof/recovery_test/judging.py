"""How a recovery test is judged. Pure: reads no store, no server and no clock."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from backproof.fleet.recovery_test_specs import RecoveryTestSpec
from backproof.fleet.specs import LevelSpec, RecoveryTimesSpec
from backproof.recovery.report import objective
from backproof.recovery_test.record import Issue, SizeClass, Status, TableCompared, TestPoint, TestVerdict

_SMALL, _MEDIUM = 10**9, 10**10
_FEW_ROWS = 10
"""A table that nobody calls critical may gain or lose so many: a share of next to nothing is nothing."""
_NAMED_AT_MOST = 5


def verdict(points: Iterable[TestPoint]) -> TestVerdict:
    """Failed where a point failed; passed where all of them did pass; what was not run is no pass."""
    statuses = {point.status for point in points}
    if "fail" in statuses:
        return "failed"
    return "passed" if statuses == {"pass"} else "incomplete"


def size_class(live_bytes: int) -> SizeClass:
    """Small below 1 GB, medium to 10 GB, large above."""
    if live_bytes < _SMALL:
        return "small"
    return "medium" if live_bytes <= _MEDIUM else "large"


def compare(production: Mapping[str, int], restored: Mapping[str, int], spec: RecoveryTestSpec) -> list[TableCompared]:
    """Hold the rows of restored tables against what production had.

    Args:
        production: rows by table, as backups name tables.
        restored: the same of the staging database.
        spec: which tables are critical, and how far each may be off. People name a table without its schema as well.
    """
    if spec.critical:
        chosen = {_meant(name, production): share for name, share in spec.critical.items()}
        return [_compared(table, production.get(table), restored, share, 0) for table, share in chosen.items()]
    return [_compared(table, rows, restored, spec.tolerance, _FEW_ROWS) for table, rows in production.items()]


def _meant(name: str, tables: Iterable[str]) -> str:
    plain = name.replace('"', "").replace("`", "")
    known = list(tables)
    for table in known:
        if table == name:
            return table
    alike = [table for table in known if table.replace('"', "").rpartition(".")[2] == plain or _plain(table) == plain]
    return alike[0] if len(alike) == 1 else name


def _plain(table: str) -> str:
    return table.replace('"', "").replace("`", "")


def _compared(table: str, production: int | None, restored: Mapping[str, int], share: float, few: int) -> TableCompared:
    found = restored.get(table)
    status: Status = "fail"
    if production is not None and found is not None:
        status = _status(production, found, share, few)
    return TableCompared(
        table=table, production_rows=production or 0, restored_rows=found, tolerance=share, status=status
    )


def _status(production: int, found: int, share: float, few: int) -> Status:
    """Where neither has a row, one that a plan calls critical shows nothing: that has to be borne by name."""
    if production > 0 and found == 0:
        return "fail"
    if production == 0 and share == 1:
        return "pass"
    if abs(found - production) > max(share * production, float(few)):
        return "fail"
    return "not run" if production == found == few == 0 else "pass"


def off(compared: Sequence[TableCompared]) -> str:
    """The tables that are not as they should be, in words; empty: there are none."""
    return _listed([_worded(each) for each in compared if each.status == "fail"])


def shows_nothing(compared: Sequence[TableCompared]) -> str:
    """Why nothing can be told of some tables, or of all, in words; empty: it can."""
    bare = [each for each in compared if each.status == "not run"]
    if bare:
        named = _listed([f"{each.table} is empty, here and in production" for each in bare])
        return f"{named}: there was nothing to compare"
    if any(each.production_rows or each.restored_rows or each.tolerance == 1 for each in compared):
        return ""
    return "no table has a row, here or in production: there was nothing to compare"


MAY_BE_EMPTY = "Name tables that have rows in recovery_test.critical; `100%` there says that one may be empty."


def _worded(each: TableCompared) -> str:
    if each.restored_rows is None:
        return f"{each.table} is missing ({each.production_rows:,} rows in production)"
    return (
        f"{each.table} has {each.restored_rows:,} rows, production had {each.production_rows:,} "
        f"({each.tolerance:.0%} are borne)"
    )


def listed_differences(differences: Iterable[str]) -> str:
    """A few of them, and how many more there are."""
    return _listed(list(differences))


def _listed(sentences: Sequence[str]) -> str:
    left = len(sentences) - _NAMED_AT_MOST
    return "; ".join(sentences[:_NAMED_AT_MOST]) + (f"; and {left} more" if left > 0 else "")


def recovery_time(
    seconds: float | None, live_bytes: int, times: RecoveryTimesSpec, why_not: str
) -> tuple[TestPoint, timedelta]:
    """Whether a recovery took no longer than promised for a database of that size."""
    limit = objective(live_bytes, times)
    name = "Recovery time within RTO"
    promised = f"{in_words(limit.total_seconds())} are promised for a {size_class(live_bytes)} database"
    if seconds is None:
        return TestPoint(name=name, status="not run", evidence=f"{why_not}; {promised}"), limit
    met = seconds <= limit.total_seconds()
    evidence = f"{in_words(seconds)} from the download to the last critical test; {promised}"
    return TestPoint(name=name, status="pass" if met else "fail", evidence=evidence), limit


def issues(
    points: Sequence[TestPoint],
    remedies: Mapping[str, str],
    owner: str,
    at: datetime,
    due: timedelta,
    taken: Iterable[int] = (),
) -> tuple[Issue, ...]:
    """One for each point that did not pass.

    Args:
        points: of both checklists.
        remedies: what to do, by point.
        owner: who sees to it.
        at: when the test was.
        due: how long they have.
        taken: numbers of issues of the same month.
    """
    number = max(taken, default=0)
    found = []
    for point in points:
        if point.status == "pass":
            continue
        number += 1
        found.append(
            Issue(
                id=f"{at:%Y-%m}-{number}",
                what=f"{point.name}: {'failed' if point.status == 'fail' else 'not run'}. {point.evidence}",
                remedy=remedies.get(point.name) or _REMEDIES.get(point.name, _AGAIN),
                owner=owner,
                found_at=at,
                due_at=at + due,
            )
        )
    return tuple(found)


_AGAIN = "Mend it, then run `backproof recovery-test` again."
_REMEDIES = {
    "File downloads": "See that the store can be read and holds a whole copy: `backproof list`, `backproof replicate`.",
    "Decompression": "See that the plan's key ring holds the key this backup was sealed with.",
    "Restore": "Find out why it does not come back: `backproof verify` says more.",
    "Application connects": "Name in recovery_test.staging how the application is started and where it answers.",
    "Critical data present and accurate": "Find out what is missing, and whether later backups have it.",
    "Application functions": "Name the application's critical tests in recovery_test.staging.tests.",
    "Recovery time within RTO": "Restore on a faster machine, keep less in the database, or promise less.",
    "Documentation accurate": "Mend the runbook, read it, and write the day into recovery_test.runbook_reviewed.",
    "Safety backup exists": "Take a backup and prove it: `backproof backup`.",
    "Rollback rehearsed": _AGAIN,
    "Team notified": "Name who hears of recovery tests: notify.report or notify.failure.",
    "Recovery point objective": "`backproof status` says how the plan stands: back up more often, and prove it.",
    "Root cause and alternative plan recorded": "Write them down: `backproof recovery note ID 'root cause: …'`.",
}


def responsible(spec: RecoveryTestSpec, escalation: Sequence[LevelSpec]) -> str:
    """Who sees to the test and owns what it finds."""
    return spec.responsible or (escalation[0].name if escalation else "nobody is named")


def in_words(seconds: float) -> str:
    """``3.8 s``, ``2 min 5 s``, ``1 h 12 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
