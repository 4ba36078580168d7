"""A placeholder, until the module that executes the runbook's commands has landed."""

from backproof.fleet import Fleet
from backproof.recovery_test.record import TestPoint


def documentation(fleet: Fleet, plan: str) -> TestPoint:
    return TestPoint(name="Documentation accurate", status="not run", evidence="nothing checks it yet")
