"""``backproof replicate``: the scheduler's own flow, run from a terminal."""

from typing import TYPE_CHECKING

import click

from deployments.cli import exits, runs, speaking
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import several, size, span

if TYPE_CHECKING:
    from flows.replication_record import PlanReplication, ReplicationRun, StoreStanding


@click.command("replicate", short_help="Bring to every store what it lacks.")
@click.argument("plan", required=False)
@pass_session
def replicate_command(session: Session, plan: str | None) -> int:
    """Bring to every store what it lacks of PLAN's backups, or of every plan's, from whichever store has a good copy.

    Nothing is overwritten: what differs or is damaged is named and stays. Exit status 3: a store lacks something still,
    or a person must look at a copy. Exit status 1: no store could be asked.
    """
    fleet = runs.prepare(session, plan)
    from flows.replication import replication
    from flows.replication_record import ReplicationRun

    plans = [plan] if plan else []
    run = ReplicationRun.model_validate(runs.result(replication, fleet.spec.fleet, plans))
    for each in run.plans:
        for alarm in each.alarms:
            speaking.warn(f"plan {each.plan}: {alarm.fact}. {alarm.remedy}")
        for problem in each.problems:
            speaking.warn(f"plan {each.plan}: {problem}")
    session.answer({"run": run.model_dump(mode="json")}, lambda: _say(run))
    return {"complete": exits.DONE, "degraded": exits.DEGRADED, "failed": exits.FAILED}[run.outcome]


def _say(run: "ReplicationRun") -> None:
    rows = [_row(plan, standing) for plan in run.plans for standing in plan.stores]
    if rows:
        speaking.print_table(["Plan", "Store", "Whole", "Lacking", "Behind"], rows, right=["Whole", "Lacking"])
        speaking.say("")
    brought = [each for plan in run.plans for each in plan.brought]
    copied = [each for each in brought if each.source is not None]
    said = {
        "complete": "Every store holds what is kept.",
        "degraded": "Something is missing, damaged or differs.",
        "failed": "No store could be asked.",
    }[run.outcome]
    reports = sum(plan.reports for plan in run.plans)
    if brought or reports:
        proofs, manifests = sum(each.proofs for each in brought), sum(each.manifest for each in brought)
        pins = sum(each.pin for each in brought)
        said += (
            f" Brought: {several(len(copied), 'archive')}, {size(sum(each.copied_bytes for each in copied))}; "
            f"{several(manifests, 'manifest')}; {several(proofs, 'proof')}; {several(pins, 'pin')}"
            + (f"; {several(reports, 'document')} of recovery tests." if reports else ".")
        )
    speaking.say(said)


def _row(plan: "PlanReplication", standing: "StoreStanding") -> list[str]:
    if standing.reason:
        return [plan.plan, standing.store, "?", "?", "could not be asked"]
    behind = standing.behind_seconds
    word = "holds none" if behind is None and standing.lacking else "–" if not behind else span(behind)
    return [plan.plan, standing.store, str(standing.whole), str(standing.lacking), word]
