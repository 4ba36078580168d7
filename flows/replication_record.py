"""What a run of ``replication`` returns: plain and JSON-able, for whoever started it."""

from collections.abc import Sequence
from typing import Literal

from backproof.errors import BackproofError, Busy, Damaged, NotFound
from backproof.operations.replicate import Brought
from backproof.records import Record
from backproof.replication import Alarm, Outlook, Row, Step, mended
from backproof.reports.carrying import Carried

Outcome = Literal["complete", "degraded", "failed"]


class StoreStanding(Record):
    """One store of a plan after a run."""

    store: str
    reason: str
    """Why it could not be asked; empty where it could."""
    whole: int
    """Backups that it holds whole."""
    lacking: int
    """Kept ones that it does not."""
    behind_seconds: float | None
    """How much older its newest whole backup is than the plan's newest. None: it holds none, or could not be asked."""


class PlanReplication(Record):
    """One plan after a run."""

    plan: str
    outcome: Outcome
    """``failed``: no store of it could be asked."""
    backups: int
    """Kept ones."""
    brought: tuple[Brought, ...]
    reports: int
    """Documents of recovery tests that were brought where they were missing."""
    stores: tuple[StoreStanding, ...]
    """In the plan's order."""
    alarms: tuple[Alarm, ...]
    problems: tuple[str, ...]
    """What is still lacking and why, a sentence each."""
    left_to_retention: tuple[str, ...]
    """Backups about to be deleted, which are copied nowhere."""


class ReplicationRun(Record):
    """What a run of ``replication`` did."""

    fleet: str
    outcome: Outcome
    """``failed``: of no plan could any store be asked."""
    plans: tuple[PlanReplication, ...]


def alarm_of(plan: str, step: Step, error: BackproofError) -> Alarm | None:
    """What was found damaged while a step was carried out; None: it only could not be carried out."""
    if not isinstance(error, Damaged):
        return None
    return Alarm(
        what="damaged",
        backup=step.backup,
        stores=(step.target,),
        fact=error.fact,
        remedy=error.remedy or mended(plan, step.backup, step.target),
    )


def is_about_the_store(error: BackproofError) -> bool:
    """Whether the next step to the same store would end in the same way."""
    return not isinstance(error, Damaged | NotFound | Busy)


def unseen(plan: str, error: BackproofError) -> PlanReplication:
    """A plan of which nothing could be seen."""
    return PlanReplication(
        plan=plan,
        outcome="failed",
        backups=0,
        brought=(),
        reports=0,
        stores=(),
        alarms=(),
        problems=(str(error),),
        left_to_retention=(),
    )


def replicated(
    outlook: Outlook, results: Sequence[tuple[Step, Brought | BackproofError]], carried: Carried | BackproofError
) -> PlanReplication:
    """Sum up one plan. Pure.

    Args:
        outlook: what was lacking.
        results: by step, what was done, or why not.
        carried: what was done for the reports of recovery tests, or why not.
    """
    brought = tuple(given for _, given in results if isinstance(given, Brought))
    found = [alarm_of(outlook.plan, step, given) for step, given in results if isinstance(given, BackproofError)]
    alarms = (*outlook.alarms, *(alarm for alarm in found if alarm), *(each for b in brought for each in b.alarms))
    problems = (
        *(f"store {store} could not be asked: {reason}" for store, reason in outlook.unreachable.items()),
        *_undone(results),
        *(sentence for each in brought for sentence in each.passed_over),
        *_uncarried(carried, outlook),
    )
    rows = after(outlook.rows, brought)
    standings = tuple(_standing(store, rows, outlook.unreachable.get(store, "")) for store in outlook.stores)
    return PlanReplication(
        plan=outlook.plan,
        outcome="degraded" if problems or alarms else "complete",
        backups=len(rows),
        brought=brought,
        reports=carried.documents if isinstance(carried, Carried) else 0,
        stores=standings,
        alarms=alarms,
        problems=problems,
        left_to_retention=outlook.left_to_retention,
    )


def after(rows: Sequence[Row], brought: Sequence[Brought]) -> tuple[Row, ...]:
    """The same rows, with what has been brought."""
    done = {(each.backup, each.target) for each in brought if each.manifest or each.source}
    return tuple(
        row.model_copy(
            update={
                "cells": {store: "whole" if (row.backup, store) in done else cell for store, cell in row.cells.items()}
            }
        )
        for row in rows
    )


def replication_run(fleet: str, plans: Sequence[PlanReplication]) -> ReplicationRun:
    """Sum up. Pure. One failing plan degrades the run, and stops no other."""
    outcomes = {plan.outcome for plan in plans}
    outcome: Outcome = "complete" if outcomes <= {"complete"} else "failed" if outcomes == {"failed"} else "degraded"
    return ReplicationRun(fleet=fleet, outcome=outcome, plans=tuple(plans))


def _uncarried(carried: Carried | BackproofError, outlook: Outlook) -> Sequence[str]:
    if isinstance(carried, BackproofError):
        return (f"reports of recovery tests could not be looked at: {carried.fact}",)
    named = tuple(f"store {store} could not be asked" for store in outlook.unreachable)
    return [each for each in carried.problems if not each.startswith(named)]


def _undone(results: Sequence[tuple[Step, Brought | BackproofError]]) -> list[str]:
    """A sentence for each reason, however many backups wait for it."""
    waiting: dict[tuple[str, str], list[str]] = {}
    for step, given in results:
        if isinstance(given, BackproofError) and not isinstance(given, Damaged):
            waiting.setdefault((step.target, str(given)), []).append(step.backup)
    return [
        f"{store} still lacks {backups[0]}{f' and {len(backups) - 1} more' if len(backups) > 1 else ''}: {reason}"
        for (store, reason), backups in waiting.items()
    ]


def _standing(store: str, rows: Sequence[Row], reason: str) -> StoreStanding:
    whole = [row for row in rows if row.cells[store] == "whole"]
    newest = max((row.taken_at for row in rows), default=None)
    held = max((row.taken_at for row in whole), default=None)
    return StoreStanding(
        store=store,
        reason=reason,
        whole=len(whole),
        lacking=len(rows) - len(whole),
        behind_seconds=(newest - held).total_seconds() if newest and held else None,
    )
