"""Preflight, as a task."""

import logging

from backproof.operations import preflight as operation
from backproof.records import Finding
from blocks import load_fleet
from tasks.steps import log, step


@step("preflight {plan}")
def preflight(plan: str) -> list[Finding]:
    """Check everything that can be known to stand in the way, before anything is touched."""
    findings = operation.preflight(load_fleet(plan), plan)
    for finding in findings:
        if finding.status == "warning":
            log(finding.line(), logging.WARNING)
    operation.require(findings)
    return findings
