"""Placeholders, until the modules of these names have landed."""

from datetime import datetime

from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.recovery_test.naming import REPORT_JSON, TestName, key
from backproof.recovery_test.record import DataLoss, Issue, Measure, RecoveryTest, TestPoint


def publish(fleet: Fleet, record: RecoveryTest) -> list[str]:
    problems = []
    for store in fleet.stores(record.plan):
        try:
            store.put(key(TestName(record.plan, record.test, REPORT_JSON)), [fleet.signer.sign(record)])
        except BackproofError as error:
            problems.append(f"store {store.name} has no report: {error.fact}")
    return problems


def open_issues(fleet: Fleet, plan: str) -> tuple[Issue, ...]:
    return ()


def measures(fleet: Fleet, plan: str, until: datetime) -> tuple[Measure, ...]:
    return ()


def data_loss(fleet: Fleet, plan: str, since: datetime, until: datetime) -> DataLoss:
    rpo = fleet.plan(plan).objectives.rpo.total_seconds()
    return DataLoss(since=since, until=until, maximum_seconds=None, typical_seconds=None, objective_seconds=rpo)


def documentation(fleet: Fleet, plan: str) -> TestPoint:
    return TestPoint(name="Documentation accurate", status="not run", evidence="nothing checks it yet")
