"""Where recovery tests lie in a store: key <-> (plan, test, part), a bijection.

::

    shop/recovery-test/recovery-test_2026-01-06_090000.report.json      signed
    shop/recovery-test/recovery-test_2026-01-06_090000.report.html
    shop/recovery-test/recovery-test_2026-01-06_090000.report.pdf
    shop/recovery-test/recovery-test_2025-12-30_090000.production.json  signed: the state of production, a week before
    shop/recovery-test/recovery-test_2026-01-06_090000.closed-2026-01-1.json   signed: an issue, closed
    shop/recovery-test/recovery-test_2025-10-01_043000.watched.json     signed: from then on a test is waited for
    shop/recovery-test/recovery-test_2026-04-16_090000.overdue.json     signed: it was told that none was by then
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

_ID = re.compile(r"recovery-test_(\d{4}-\d{2}-\d{2}_\d{6})", re.ASCII)
_PART = re.compile(
    r"report\.(?:json|html|pdf)|(?:production|watched|overdue)\.json|closed-\d{4}-\d{2}-\d{1,3}\.json", re.ASCII
)
_KEY = re.compile(
    rf"([a-z0-9][a-z0-9-]{{0,62}})/recovery-test/(recovery-test_\d{{4}}-\d{{2}}-\d{{2}}_\d{{6}})\.({_PART.pattern})",
    re.ASCII,
)

REPORT_JSON, REPORT_HTML, REPORT_PDF = "report.json", "report.html", "report.pdf"
PRODUCTION = "production.json"
WATCHED, OVERDUE = "watched.json", "overdue.json"


@dataclass(frozen=True, slots=True, order=True)
class TestName:
    """What one document of a recovery test is."""

    __test__ = False  # pytest collects what is called Test…

    plan: str
    test: str
    part: str


def test_id(started_at: datetime) -> str:
    """``recovery-test_2026-01-06_090000``: UTC, cut to the second."""
    return f"recovery-test_{started_at.astimezone(UTC):%Y-%m-%d_%H%M%S}"


test_id.__test__ = False  # type: ignore[attr-defined]


def started_at(test: str) -> datetime:
    """The moment in a test's id.

    Raises:
        ValueError: it is no test's id.
    """
    match = _ID.fullmatch(test)
    if match is None:
        raise ValueError(f"{test!r} is no recovery test's id: they read like recovery-test_2026-01-06_090000")
    return datetime.strptime(f"{match[1]}+0000", "%Y-%m-%d_%H%M%S%z")


def prefix(plan: str) -> str:
    """What the keys of a plan's recovery tests begin with."""
    return f"{plan}/recovery-test/"


def closed(issue: str) -> str:
    """The part that says that an issue is closed."""
    return f"closed-{issue}.json"


def key(name: TestName) -> str:
    """The key under which a store holds it."""
    return f"{prefix(name.plan)}{name.test}.{name.part}"


def parse(key: str) -> TestName | None:
    """What a key names, or None where it is none of a recovery test's; the inverse of ``key``."""
    match = _KEY.fullmatch(key)
    return TestName(*match.groups()) if match else None


def is_report(key: str) -> bool:
    """Whether a key is that of a test's signed report."""
    name = parse(key)
    return name is not None and name.part == REPORT_JSON
