"""The flows ``recovery-test`` and ``recovery-test-notice``: a recovery rehearsed, and announced a week before."""

from collections.abc import Sequence

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from backproof.recovery_test.record import RecoveryTest
from backproof.recovery_test.run import carry_out
from flows.fields import BackupId, PlanName, StartedBy, StoreName
from flows.naming import run_name, tag
from flows.notice_summary import notice_summary
from flows.record import RecoveryTestRun
from flows.recovery_test_summary import measures_table, recovery_test_summary
from tasks import stopping
from tasks.publish import publish, show_table
from tasks.rehearse import as_task, notice, rehearsal, report, runbook
from tasks.stopping import stopping_cleanly
from tasks.sweep import sweep
from tasks.tests_due import warn_of_outlook

TESTED = "backproof.recovery-test.ended"
_MOST_NAMED = 3


@flow(name="recovery-test", flow_run_name=run_name, persist_result=False, retries=0)
def recovery_test(
    plan: PlanName, backup: BackupId = "latest", store: StoreName = None, by: StartedBy = "schedule"
) -> State:
    """Rehearse a recovery, by the stopwatch: bring a backup back from a cloud copy, and let the application use it.

    Args:
        plan: Whose recovery to rehearse. Nothing live is touched.
        backup: `latest`, or an id such as `backup_2025-11-07_020000`; `backproof list` shows all.
        store: Which copy to bring back. Left empty: that of the region whose turn it is this quarter.
        by: Who you are. It stands in the report.

    Returns:
        ``Completed`` (passed), ``Completed`` named ``Degraded`` (incomplete: not all of it was run; or it passed, and a
        store lacks the report) or ``Failed``. The data is a ``RecoveryTestRun`` as plain JSON.

    Raises:
        BackproofError: the stores could not be asked at all.
    """
    with stopping_cleanly():
        tag(plan)
        sweep.submit(plan).wait()
        record = carry_out(rehearsal(plan, backup, store, by), as_task)
        places, problems = report.submit(record).result()
        facts = {
            "plan": plan,
            "test": record.test,
            "verdict": record.verdict,
            "recovery_seconds": record.recovery_seconds,
            "objective_seconds": record.objective_seconds,
        }
        summary = recovery_test_summary(record, places, problems)
        publish.submit(f"{plan}-recovery-test", summary, record.verdict, TESTED, plan, facts).wait()
        show_table.submit(f"{plan}-recovery-time", measures_table(record.history, record.objective_seconds)).wait()
        publish.submit(f"{plan}-runbook", runbook.submit(plan).result(), "as it reads now", None, plan, {}).wait()
        warn_of_outlook.submit(record, stopping.now()).wait()
        return _state(record, problems)


@flow(name="recovery-test-notice", flow_run_name=run_name, persist_result=False, retries=0)
def recovery_test_notice(plan: PlanName) -> State:
    """Announce a recovery test: tell the team, look at the test environment, record the state of production.

    Args:
        plan: Whose recovery is to be rehearsed.

    Returns:
        ``Completed``, or ``Completed`` named ``Degraded`` where something has to be mended before the test. The data is
        a ``Notice`` as plain JSON.

    Raises:
        BackproofError: no store took the state of production.
    """
    with stopping_cleanly():
        tag(plan)
        given = notice.submit(plan).result()
        publish.submit(f"{plan}-recovery-test-notice", notice_summary(given), "told", None, plan, {}).wait()
        lacking, data = [each.line() for each in given.lacking], given.model_dump(mode="json")
        if lacking or given.problems:
            told = " ".join([*given.problems, *lacking[:_MOST_NAMED]])
            return Completed(name="Degraded", message=f"To mend before the recovery test of {plan}: {told}", data=data)
        return Completed(message=f"The recovery test of {plan} is announced.", data=data)


def _state(record: RecoveryTest, problems: Sequence[str]) -> State:
    message = f"{record.test}: {record.summary} {' '.join(problems)}".strip()
    data = RecoveryTestRun(recovery_test=record, problems=tuple(problems)).model_dump(mode="json")
    if record.verdict == "failed":
        return Failed(message=message, data=data)
    name = None if record.verdict == "passed" and not problems else "Degraded"
    return Completed(name=name, message=message, data=data)
