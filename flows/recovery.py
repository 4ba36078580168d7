"""The flow ``recovery``: put a backup in the place of a plan's live database, once somebody has approved it."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from backproof.errors import ConfigurationError
from backproof.recovery.context import Mode
from backproof.recovery.report import RecoveryReport
from backproof.recovery.report import publish as published
from backproof.recovery.run import carry_out
from flows.approval import approval
from flows.fields import Accepted, AcceptOrphans, BackupId, Before, HowTo, OnlyTables, PlanName, Reason
from flows.naming import run_name, tag
from flows.recovery_summary import proposal_summary, recovery_summary
from tasks import words
from tasks.publish import publish
from tasks.recover import as_task, opened, proposed
from tasks.stopping import stopping_cleanly

RECOVERED = "backproof.recovery.ended"
MISSED = "ObjectiveMissed"
"""The name of the state in which a recovery ends that succeeded, later than promised."""


@flow(name="recovery", flow_run_name=run_name, persist_result=False, retries=0)
def recovery(
    plan: PlanName,
    reason: Reason,
    backup: BackupId = "latest",
    before: Before = None,
    mode: HowTo = "swap",
    accept: Accepted = [],  # noqa: B006 — shown in a form
    tables: OnlyTables = [],  # noqa: B006
    accept_orphans: AcceptOrphans = False,
) -> State:
    """Put a backup in the place of a plan's live database. Asks for approval first; what was live is set aside.

    Args:
        plan: Whose database to replace.
        reason: Why. It stands in the report.
        backup: `latest` is the newest that is proven; or an id. Newer ones that are passed over are shown with why.
        before: The newest proven backup from before that moment: of a corruption, a deletion, a breach. UTC.
        mode: `swap` restores beside the live database and changes their places. `in-place` drops the live one first.
        accept: Names of obstacles to go on in spite of, as a refused run has named them.
        tables: Replace just these, while the application is stopped; all others stay. Left empty, all are replaced.
        accept_orphans: With tables: also where rows of others point at nothing then.

    Returns:
        ``Completed`` (recovered; named ``ObjectiveMissed`` where it took longer than promised), ``Cancelled`` (refused,
        or nobody approved: nothing was touched) or ``Failed`` (taken back, or nothing was changed; or taking it back
        failed). The data is a ``RecoveryReport`` as plain JSON.

    Raises:
        ConfigurationError: some of it is about the whole database, and some about tables.
        BackproofError: no backup fits, or the server can't be reached.
    """
    with stopping_cleanly():
        tag(plan)
        how = _way(mode, accept, tables, accept_orphans)
        found = proposed.submit(plan, backup, before, how, tuple(tables)).result()
        publish.submit(f"{plan}-recovery", proposal_summary(found), "waits for approval", None, plan, {}).wait()
        approved = approval(found)
        if isinstance(approved, str):
            return Cancelled(message=f"{approved} Nothing was touched.")
        under_way = opened(found, reason, approved.approved_by, tuple(accept), accept_orphans)
        outcome = carry_out(under_way, as_task)
        made, problems = published(under_way)
        facts = {"plan": plan, "recovery": made.recovery, "result": outcome.result}
        summary = recovery_summary(made, outcome, problems)
        publish.submit(f"{plan}-recovery", summary, outcome.result, RECOVERED, plan, facts).wait()
        data = made.model_dump(mode="json")
        if outcome.result == "recovered":
            left = [*outcome.problems, *problems]
            if missed := _missed(made):
                left.insert(0, missed)
            name = MISSED if missed else "Degraded" if left else None
            return Completed(name=name, message=f"{made.recovery} is done. {' '.join(left)}".strip(), data=data)
        also = f" Taking it back failed: {outcome.also}" if outcome.also else ""
        return Failed(message=f"{made.recovery}: {outcome.result}. {outcome.why}{also}", data=data)


def _missed(made: RecoveryReport) -> str:
    """What to say of a recovery that took longer than promised; empty where it did not."""
    took = made.elapsed_seconds
    if took is None or took <= made.objective_seconds:
        return ""
    return f"It took {words.duration(took)}, and the objective is {words.duration(made.objective_seconds)}."


def _way(mode: Mode, accept: list[str], tables: list[str], accept_orphans: bool) -> Mode:
    if not tables and accept_orphans:
        raise ConfigurationError("rows that point at nothing are accepted of no table", "Name the tables, or do not.")
    if tables and (accept or mode != "swap"):
        raise ConfigurationError(
            "some tables are replaced in a way of their own", "Leave How and Accept as they are, or name no tables."
        )
    return "tables" if tables else mode
