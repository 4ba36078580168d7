"""How proofs, findings and measured phases read to a person."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deployments.cli import speaking
from deployments.cli.wording import moment, rate, size, span

if TYPE_CHECKING:
    from backproof.records import Finding, Proof, Timing


def print_proof(proof: "Proof") -> None:
    """The verdict and why; then every difference, check and gap."""
    speaking.say(f"{moment(proof.finished_at)}  {proof.verdict}, from {proof.store}: {proof.reason}")
    for difference in proof.differences:
        accepted = f" (accepted: {difference.accepted})" if difference.accepted else ""
        speaking.say(f"  differs: {difference.object}: {difference.what}{accepted}")
    for check in proof.checks:
        verdict = "ok" if check.passed else "FAILED"
        speaking.say(f"  check {check.name}: {verdict}, {check.found} where {check.expect} is expected")
    for sentence in proof.not_covered:
        speaking.say(f"  not covered: {sentence}")
    for name in proof.unused_accepts:
        speaking.say(f"  accepted, but no longer different: {name}; remove it from the plan")


def print_timings(timings: "Sequence[Timing]") -> None:
    """Seconds, bytes and rate of each phase."""
    rows = [
        [timing.phase, span(timing.elapsed_seconds), size(timing.bytes), rate(timing.bytes, timing.elapsed_seconds)]
        for timing in timings
    ]
    speaking.print_table(["Phase", "Time", "Bytes", "Rate"], rows, right=["Time", "Bytes", "Rate"])


def say_findings(findings: "Sequence[Finding]") -> None:
    """A line for each check, then what to do about those that are not well."""
    shown = {"ok": "ok", "warning": "warning", "failed": "FAILED"}
    rows = [[shown[finding.status], finding.check, finding.found] for finding in findings]
    speaking.print_table(["Result", "Check", "Found"], rows)
    for finding in findings:
        if finding.status != "ok" and finding.remedy:
            speaking.say("")
            speaking.say(f"{finding.check}: {finding.remedy}")
