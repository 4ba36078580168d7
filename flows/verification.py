"""The flow ``verification``: prove one copy of one backup."""

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from backproof import catalog
from backproof.errors import BackproofError
from backproof.records import Proof
from blocks import load_fleet
from flows.fields import BackupId, PlanName, StoreName
from flows.naming import run_name, tag
from flows.record import VerificationRun
from flows.summary import verification_summary
from tasks.deadlines import renew
from tasks.prove import prove
from tasks.publish import PROVEN, publish
from tasks.stopping import stopping_cleanly
from tasks.sweep import sweep


@flow(name="verification", flow_run_name=run_name, persist_result=False)
def verification(plan: PlanName, backup: BackupId = "latest", store: StoreName = None) -> State:
    """Prove that one copy of a backup comes back: restore it, dump it again, compare.

    Args:
        plan: Whose backup to prove.
        backup: `latest`, `latest-proven`, or an id such as `backup_2025-11-07_020000`; `backproof list` shows all.
        store: Which copy to restore. Left empty: that of the plan's last store which has one.

    Returns:
        ``Completed``, ``Completed`` named ``Degraded`` (it could not run) or ``Failed`` (the proof failed). The data is
        a ``VerificationRun`` as plain JSON.

    Raises:
        NotFound: there is no such backup.
    """
    with stopping_cleanly():
        tag(plan)
        sweep.submit(plan).wait()
        chosen, place = _choose(plan, backup, store)
        found = prove.submit(plan, chosen, place).result(raise_on_failure=False)
        run = _run(plan, chosen, place, found)
        facts = run.model_dump(mode="json", include={"plan", "backup", "store"})
        event = PROVEN if run.outcome == "proven" else None
        publish.submit(f"{plan}-verification", verification_summary(run), run.outcome, event, plan, facts).wait()
        renew.submit(plan).wait()
        return _state(run)


def _choose(plan: str, backup: str, store: str | None) -> tuple[str, str]:
    fleet = load_fleet(plan)
    chosen, doubts = catalog.find(fleet, plan, backup, store)
    for doubt in doubts:
        get_run_logger().warning(doubt)
    holding = [copy.store for each in chosen for copy in each.copies if copy.manifest]
    return chosen[0].id, store or max(holding, key=fleet.plan(plan).stores.index)


def _run(plan: str, backup: str, store: str, found: Proof | BaseException) -> VerificationRun:
    if isinstance(found, Proof):
        outcome = "proven" if found.verdict == "passed" else found.verdict
        reason, proof, timings = found.reason, found, found.timings
    elif isinstance(found, BackproofError):  # it went away midway, again and again: no verdict
        outcome, reason, proof, timings = "could-not-run", str(found), None, ()
    else:
        raise found
    return VerificationRun(
        plan=plan, backup=backup, store=store, outcome=outcome, reason=reason, proof=proof, timings=timings
    )


def _state(run: VerificationRun) -> State:
    data = run.model_dump(mode="json")
    if run.outcome == "failed":
        return Failed(message=f"The proof of {run.backup} failed. {run.reason}", data=data)
    if run.outcome == "could-not-run":
        return Completed(name="Degraded", message=f"{run.backup} could not be proven. {run.reason}", data=data)
    return Completed(message=f"{run.backup} is proven. {run.reason}", data=data)
