"""Placeholders, until the modules of these names have landed."""

from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.recovery_test.naming import REPORT_JSON, TestName, key
from backproof.recovery_test.record import Issue, RecoveryTest, TestPoint


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


def documentation(fleet: Fleet, plan: str) -> TestPoint:
    return TestPoint(name="Documentation accurate", status="not run", evidence="nothing checks it yet")
