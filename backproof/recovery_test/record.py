"""What a recovery test leaves: one signed document. All that a report shows is in it, charts and trends included.

Times are aware UTC ``datetime``, sizes are bytes, durations are seconds.
"""

from datetime import datetime
from typing import Literal

from pydantic import Field

from backproof.measures import Forecast as Forecast
from backproof.measures import Measure as Measure
from backproof.records import Record, Timing

Status = Literal["pass", "fail", "not run"]
TestVerdict = Literal["passed", "failed", "incomplete"]
"""``incomplete``: nothing failed, and not all of it was run; that is no pass."""

SizeClass = Literal["small", "medium", "large"]


class TestPoint(Record):
    """One point of a checklist."""

    __test__ = False  # pytest collects what is called Test…

    name: str
    status: Status
    evidence: str
    """What shows it: one or two sentences, with values, without a row of data."""


class TableCompared(Record):
    """One table held against what production had, a week before."""

    table: str
    production_rows: int
    """As the state of production that was recorded before says."""
    restored_rows: int | None
    """None: it is not there."""
    tolerance: float
    """A share: 0.02 bears two per cent more or fewer."""
    status: Status


class Issue(Record):
    """Something that a test found, which somebody has to see to."""

    id: str
    """``2026-01-1``: the month of the test, and a number; unique in a plan."""
    what: str
    remedy: str
    owner: str
    found_at: datetime
    due_at: datetime


class DataLoss(Record):
    """How much a disaster would have lost at worst, over the quarter: ages of the newest proven backup."""

    since: datetime
    until: datetime
    maximum_seconds: float | None
    """None: for some of that time there was no proven backup at all."""
    typical_seconds: float | None
    """The age that half of the time was not exceeded."""
    objective_seconds: float


class Cited(Record):
    """A document or file the report stands on."""

    what: str
    """``archive``, ``manifest``, ``proof``, ``state of production``, ``recovery`` …"""
    name: str
    """Its key in the stores."""
    sha256: str


class RecoveryTest(Record):
    """One recovery test. Signed."""

    __test__ = False

    format: Literal[1] = 1
    plan: str
    test: str
    """Its id: ``recovery-test_2026-01-06_090000``."""
    verdict: TestVerdict
    summary: str
    """Two or three sentences that a manager understands: verdict, time against the objective, what to do."""
    started_at: datetime
    ended_at: datetime
    by: str
    """Who started it, or ``schedule``."""
    responsible: str
    engine: str
    database: str
    """Its name on the production server."""
    backup: str | None
    """The backup that was brought back; None: there was none to bring."""
    backup_kind: str | None
    taken_at: datetime | None
    store: str | None
    """Which copy."""
    location: str
    """Where that copy is: the store's own words, such as ``s3://shop-backups-dr (us-east-1)``."""
    staging: str
    """Where it was brought back to."""
    live_bytes: int
    """Of the database when it was backed up."""
    stored_bytes: int
    size_class: SizeClass
    phases: tuple[Timing, ...]
    """In their order, by wall clock."""
    counted: tuple[str, ...] = ()
    """Names of the phases that a recovery has as well."""
    recovery_seconds: float | None
    """Of the phases that a recovery has as well; None: it did not come to its end."""
    objective_seconds: float
    checklist: tuple[TestPoint, ...]
    """Eight points, always the same, in their order."""
    rollback_checklist: tuple[TestPoint, ...]
    critical_data: tuple[TableCompared, ...]
    production_at: datetime | None
    """When the state of production was recorded that this was held against."""
    data_loss: DataLoss
    forecast: Forecast
    history: tuple[Measure, ...]
    """Oldest first, this test's own measure last."""
    issues: tuple[Issue, ...]
    """Found by this test."""
    still_open: tuple[Issue, ...]
    """Found by earlier ones, and not closed."""
    contacts: tuple[str, ...]
    """Who is called, in order."""
    versions: dict[str, str]
    """``backproof``, the dump tool, the servers …"""
    identities: dict[str, str]
    """Fingerprints of keys, the identity of the production server …"""
    cites: tuple[Cited, ...]
    measured: tuple[str, ...]
    """How it was measured, a sentence each."""
    controls: tuple[str, ...] = Field(
        default=(
            "SOC 2 A1.3: recovery plan procedures are tested",
            "ISO/IEC 27001:2022 A.8.13: backup copies are maintained and regularly tested",
        )
    )
    """Which controls it supports."""


CHECKLIST = (
    "File downloads",
    "Decompression",
    "Restore",
    "Application connects",
    "Critical data present and accurate",
    "Application functions",
    "Recovery time within RTO",
    "Documentation accurate",
)
"""Source: "Recovery test checklist"."""

ROLLBACK_CHECKLIST = (
    "Safety backup exists",
    "Rollback rehearsed",
    "Team notified",
    "Root cause and alternative plan recorded",
)
"""Source: "Rollback checklist". The last: for every recovery of the quarter."""
