"""What stakeholders are told of a recovery test: its verdict, what to do, and where its report is. Pure."""

from collections.abc import Sequence
from datetime import datetime

from backproof.alarms import Message
from backproof.fleet import Fleet
from backproof.recovery_test.naming import REPORT_PDF, TestName, key
from backproof.recovery_test.record import Issue, RecoveryTest
from backproof.reports import words


def report_message(record: RecoveryTest, places: Sequence[str], problems: Sequence[str] = ()) -> Message:
    """The message to a plan's ``notify.report`` targets.

    Args:
        record: the test.
        places: where its report lies, as a person would write it (``report_places``).
        problems: what is missing of it, as ``publish`` says.
    """
    limit = words.span(record.objective_seconds)
    took = "it did not come to its end" if record.recovery_seconds is None else words.span(record.recovery_seconds)
    passed = sum(point.status == "pass" for point in record.checklist)
    lines = [
        f"Plan: {record.plan}",
        f"What: {words.readable(record.summary)}",
        f"Verdict: {record.verdict}; {passed} of {len(record.checklist)} points of the checklist passed",
        f"Recovery time: {took}; promised: {limit}",
        f"When: {words.moment(record.started_at)}",
        *_part("Found by this test:", issue_lines(record.issues, record.ended_at)),
        *_part("Still open from before:", issue_lines(record.still_open, record.ended_at)),
        *_part("The report:", [*places, _pull(record)]),
        *_part("Missing:", problems),
        f"What to do: {_to_do(record)}",
    ]
    said = took if record.recovery_seconds is not None else "not to its end"
    return Message(f"{record.plan}: recovery test {record.verdict}, {said} of {limit}", "\n".join(lines))


def issue_lines(issues: Sequence[Issue], now: datetime) -> list[str]:
    """A line an issue: what, what mends it, who, until when; for a notice as well."""
    return [
        f"{issue.id}: {words.readable(issue.what)} {words.readable(issue.remedy)} "
        f"({words.readable(issue.owner)}, by {words.day(issue.due_at)}{', overdue' if issue.due_at < now else ''})"
        for issue in issues
    ]


def report_places(fleet: Fleet, plan: str, test: str) -> tuple[str, ...]:
    """Where the PDF of a report lies, store by store."""
    place = key(TestName(plan, test, REPORT_PDF))
    return tuple(store.location(place) for store in fleet.stores(plan))


def _pull(record: RecoveryTest) -> str:
    return f"backproof reports pull --plan {record.plan} --since {record.started_at:%Y-%m-%d} --format pdf --to ."


def _to_do(record: RecoveryTest) -> str:
    if record.issues or record.still_open:
        return f'mend what is listed, then `backproof reports close {record.plan} ISSUE --how "…"`.'
    return "nothing." if record.verdict == "passed" else "see the report."


def _part(title: str, lines: Sequence[str]) -> list[str]:
    return [title, *(f"  {line}" for line in lines)] if lines else []
