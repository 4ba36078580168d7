"""A run of ``replication`` in markdown, for its artifacts. Pure."""

from collections.abc import Sequence

from backproof.replication import Row
from flows.replication_record import PlanReplication, ReplicationRun, StoreStanding, after
from flows.summary import document, listed, table
from tasks import words
from tasks.replicate import said

_SHOWN_AT_MOST = 200
_TITLES = {
    "complete": "every store holds what is kept",
    "degraded": "degraded: something is missing, damaged or differs",
    "failed": "no store could be asked",
}
_CELLS = {"whole": "✓", "missing": "missing", "incomplete": "incomplete", "damaged": "**damaged**", "unknown": "?"}


def plan_summary(done: PlanReplication, rows: Sequence[Row]) -> str:
    """Backup by store, and how far each store is behind.

    Args:
        done: what was done.
        rows: as they were before.
    """
    now = after(rows, done.brought)
    stores = [standing.store for standing in done.stores]
    left = len(now) - _SHOWN_AT_MOST
    return document(
        f"## {done.plan}: {_TITLES[done.outcome]}",
        listed([f"**{alarm.fact}.** {alarm.remedy}" for alarm in done.alarms]),
        listed(done.problems),
        table(("store", "whole", "lacking", "behind"), [_standing(standing) for standing in done.stores]),
        listed([said(brought) for brought in done.brought[:_SHOWN_AT_MOST]]),
        f"Documents of recovery tests brought where they were missing: {done.reports}." if done.reports else "",
        table(
            ("backup", "kind", "size", *stores),
            [
                (
                    f"`{row.backup}`",
                    row.kind,
                    "" if row.stored_bytes is None else words.size(row.stored_bytes),
                    *(_CELLS[row.cells[store]] for store in stores),
                )
                for row in now[:_SHOWN_AT_MOST]
            ],
        ),
        f"{left} older backups are not shown." if left > 0 else "",
        f"Left to retention, which deletes them next: {', '.join(done.left_to_retention)}."
        if done.left_to_retention
        else "",
    )


def fleet_summary(run: ReplicationRun) -> str:
    """Plan by store."""
    return document(
        f"## {run.fleet}: {_TITLES[run.outcome]}",
        listed([f"**{plan.plan}**: {alarm.fact}. {alarm.remedy}" for plan in run.plans for alarm in plan.alarms]),
        listed([f"**{plan.plan}**: {problem}" for plan in run.plans for problem in plan.problems]),
        table(
            ("plan", "store", "whole", "lacking", "behind"),
            [(plan.plan, *_standing(standing)) for plan in run.plans for standing in plan.stores],
        ),
    )


def _standing(standing: StoreStanding) -> tuple[str, ...]:
    if standing.reason:
        return standing.store, "?", "?", "could not be asked"
    return standing.store, str(standing.whole), str(standing.lacking), _behind(standing)


def _behind(standing: StoreStanding) -> str:
    if standing.behind_seconds is None:
        return "holds none" if standing.lacking else "–"
    return words.duration(standing.behind_seconds) if standing.behind_seconds else "not at all"
