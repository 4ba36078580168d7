"""Recovery tests as they come: records of realistic ones, for whoever draws, publishes or reads reports."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from backproof.fleet import Fleet
from backproof.records import Timing
from backproof.recovery_test.naming import REPORT_HTML, REPORT_JSON, REPORT_PDF, TestName, key
from backproof.recovery_test.naming import test_id as id_of
from backproof.recovery_test.record import (
    CHECKLIST,
    ROLLBACK_CHECKLIST,
    Cited,
    DataLoss,
    Forecast,
    Issue,
    Measure,
    RecoveryTest,
    Status,
    TableCompared,
    TestPoint,
)
from backproof.reports.stamp import stamped

WHEN = datetime(2026, 1, 6, 9, 0, tzinfo=UTC)
GIGABYTE = 10**9
PHASES: tuple[tuple[str, float, int | None], ...] = (
    ("download", 74.2, 1_284_000_000),
    ("check digest and signature", 6.1, 1_284_000_000),
    ("decrypt and decompress", 31.7, 4_610_000_000),
    ("restore", 912.4, 4_610_000_000),
    ("verify integrity", 143.0, 4_610_000_000),
    ("critical data", 22.9, None),
    ("start the application", 18.3, None),
    ("application's tests", 164.5, None),
    ("rehearse a rollback", 71.2, None),
    ("tear down", 9.4, None),
)
EVIDENCE = (
    "backup_2026-01-06_020000.sql.gz.enc, 1.3 GB from s3://shop-backups-dr (us-east-1) in 1 min 14 s; SHA-256 and the "
    "signature of its manifest hold.",
    "1.3 GB of archive became 4.6 GB of SQL in 231 members; each has the digest that its manifest says.",
    "38 tables with 12,408,113 rows are in PostgreSQL 16.14 on a private server; 412 definitions came back equal.",
    "The application answered 200 at http://127.0.0.1:18042/up 6 s after its start, on the restored database alone.",
    "5 of 5 critical tables are there, each within its tolerance of what production had on 30 December 2025.",
    "php artisan test --filter=CriticalTest: 42 tests passed in 2 min 44 s.",
    "21 min 39 s of 60 min.",
    "14 commands of the runbook were executed and did what it says; a person reviewed it on 3 November 2025.",
)
ROLLBACK_EVIDENCE = (
    "backup_2026-01-06_090512, safety, sealed and proven.",
    "Swapped there and back on the staging server in 71 s; the row counts before and after are equal.",
    "stakeholders-email, ops-webhook",
    "No recovery was needed between 1 October and 31 December 2025.",
)
TABLES: tuple[tuple[str, int, int | None, float], ...] = (
    ("public.orders", 2_410_882, 2_421_007, 0.02),
    ("public.order_items", 7_288_140, 7_319_455, 0.02),
    ("public.payments", 2_398_004, 2_408_100, 0.01),
    ("public.users", 268_310, 268_944, 0.05),
    ("public.products", 18_231, 18_231, 0.1),
)
LONG_NAME = "analytics_warehouse_staging.customer_lifetime_value_predictions_partition_2025_q4_recalculated"


def sha(text: str) -> str:
    """A digest that looks like one."""
    return hashlib.sha256(text.encode()).hexdigest()


def points(names: Sequence[str], evidence: Sequence[str], statuses: dict[str, Status]) -> tuple[TestPoint, ...]:
    """A checklist; what is not said passes."""
    return tuple(
        TestPoint(name=name, status=statuses.get(name, "pass"), evidence=said)
        for name, said in zip(names, evidence, strict=True)
    )


def issue(number: int, what: str, remedy: str, at: datetime = WHEN, owner: str = "Ada Park") -> Issue:
    """One, due two weeks after it was found."""
    return Issue(
        id=f"{at:%Y-%m}-{number}", what=what, remedy=remedy, owner=owner, found_at=at, due_at=at + timedelta(days=14)
    )


def phases(at: datetime = WHEN, until: int = len(PHASES), restore: float = 1.0) -> tuple[Timing, ...]:
    """One after the other, the restore so many times slower."""
    made, begins = [], at
    for phase, usual, moved in PHASES[:until]:
        seconds = usual * restore if phase == "restore" else usual
        made.append(Timing(phase=phase, started_at=begins, elapsed_seconds=seconds, bytes=moved))
        begins += timedelta(seconds=seconds + 0.8)
    return tuple(made)


def history(count: int, at: datetime = WHEN, last_seconds: float = 1299.0) -> tuple[Measure, ...]:
    """Measures of a database that grows: weekly verifications, a recovery test each quarter, one recovery."""
    made = []
    for back in range(count - 1, -1, -1):
        test = back % 13 == 0
        wobble = 1 + 0.06 * ((back * 7919) % 11 - 5) / 5
        made.append(
            Measure(
                at=at - timedelta(days=7 * back),
                kind="recovery test" if test else "recovery" if back == 20 else "verification",
                live_bytes=round(5.2 * GIGABYTE - back * 0.05 * GIGABYTE),
                seconds=last_seconds if back == 0 else round((last_seconds - back * 9) * wobble, 1),
            )
        )
    return tuple(made)


FORECAST = Forecast(
    known=True,
    seconds_now=1310.0,
    seconds_low=1190.0,
    seconds_high=1436.0,
    fixed_seconds=370.0,
    seconds_per_gigabyte=180.0,
    growth_bytes_per_day=0.05 * GIGABYTE / 7,
    outgrown_at=WHEN + timedelta(days=1780),
    outgrown_earliest=WHEN + timedelta(days=1390),
    outgrown_latest=WHEN + timedelta(days=2300),
    points=40,
)
UNKNOWN = Forecast(
    known=False,
    why_not="Two measures or fewer tell nothing of how recovery time grows with size: there is one.",
    points=1,
)


def recovery_test(**changes: Any) -> RecoveryTest:
    """One that passed, but for what is said otherwise."""
    at = changes.get("started_at", WHEN)
    plan = changes.get("plan", "shop")
    said: dict[str, Any] = {
        "plan": plan,
        "test": id_of(at),
        "verdict": "passed",
        "summary": (
            "The shop's database came back from us-east-1 in 21 min 39 s, well within the hour that is promised, and "
            "the application's critical tests passed on it. Nothing has to be done."
        ),
        "started_at": at,
        "ended_at": at + timedelta(seconds=1462),
        "by": "schedule",
        "responsible": "Ada Park",
        "engine": "postgresql",
        "database": "shop",
        "backup": "backup_2026-01-06_020000",
        "backup_kind": "daily",
        "taken_at": at - timedelta(hours=7),
        "store": "secondary",
        "location": "s3://shop-backups-dr (us-east-1)",
        "staging": "a private PostgreSQL 16.14 on this machine",
        "live_bytes": 5_200_000_000,
        "stored_bytes": 1_284_000_000,
        "size_class": "medium",
        "phases": phases(at),
        "recovery_seconds": 1299.0,
        "objective_seconds": 3600.0,
        "checklist": points(CHECKLIST, EVIDENCE, {}),
        "rollback_checklist": points(ROLLBACK_CHECKLIST, ROLLBACK_EVIDENCE, {}),
        "critical_data": tuple(
            TableCompared(table=name, production_rows=was, restored_rows=now, tolerance=share, status="pass")
            for name, was, now, share in TABLES
        ),
        "production_at": at - timedelta(days=7),
        "data_loss": DataLoss(
            since=datetime(2025, 10, 1, tzinfo=UTC),
            until=at,
            maximum_seconds=88_500.0,
            typical_seconds=43_900.0,
            objective_seconds=93_600.0,
        ),
        "forecast": FORECAST,
        "history": history(40, at),
        "issues": (),
        "still_open": (),
        "contacts": ("Ada Park, +44 20 7946 0018", "Operations on call, ops@shop.example"),
        "versions": {
            "backproof": "0.1.0",
            "PostgreSQL, production": "16.14",
            "PostgreSQL, staging": "16.14",
            "pg_dump": "16.14",
            "Python": "3.11.2",
        },
        "identities": {
            "signing key": "ed25519:673e29b0fb6fa3e1e0c5",
            "encryption key": "aes256:240dc03ecbeabe637cd4",
            "escrow key": "rsa4096:80a327e6e3f9cc3ec08c",
            "production server": "system identifier 7567041291863112711",
        },
        "cites": (
            Cited(
                what="archive",
                name=f"{plan}/daily/backup_2026-01-06_020000.sql.gz.enc",
                sha256=sha("archive"),
            ),
            Cited(
                what="manifest",
                name=f"{plan}/daily/backup_2026-01-06_020000.manifest.json",
                sha256=sha("manifest"),
            ),
            Cited(
                what="proof",
                name=f"{plan}/daily/backup_2026-01-06_020000.proof_2026-01-06_024131_passed.json",
                sha256=sha("proof"),
            ),
            Cited(
                what="state of production",
                name=f"{plan}/recovery-test/recovery-test_2025-12-30_090000.production.json",
                sha256=sha("production"),
            ),
        ),
        "measured": (
            "Each phase by wall clock on the machine that ran the test, from its first step to its last.",
            "Recovery time is the sum of the phases that a recovery has as well: download to critical data, and the "
            "application's start and critical tests.",
            "Data loss is the age of the newest proven backup, at every moment of the quarter.",
        ),
    }
    return RecoveryTest.model_validate({**said, **changes})


def failed() -> RecoveryTest:
    """Too slow, lacking rows, an application that does not work; with issues old and new, and long sentences."""
    before = datetime(2025, 10, 7, 9, 0, tzinfo=UTC)
    evidence = list(EVIDENCE)
    evidence[4] = (
        f"4 of 6 critical tables are within their tolerance. {LONG_NAME} is not there; public.payments has 1,204,311 "
        "rows of 2,398,004, 49.8 % fewer, where 1 % is tolerated. Production was recorded on 30 December 2025 at 09:00 "
        "UTC by the notice of a week before, and the backup was taken seven days later, so that more rows would be "
        "expected and not fewer; the missing ones are of one month."
    )
    evidence[5] = (
        "php artisan test --filter=CriticalTest: 3 of 42 tests failed: Tests\\Feature\\Checkout\\CriticalTest::"
        "test_a_payment_is_captured_once, …test_a_refund_reaches_the_provider, …test_an_invoice_has_its_payments. "
        "Exit status 1 after 2 min 1 s; the last lines of its output are in the log of the run."
    )
    evidence[6] = "1 h 34 min of 60 min: 34 min too slow. The restore alone took 1 h 12 min."
    rows = (*TABLES[:2], ("public.payments", 2_398_004, 1_204_311, 0.01), *TABLES[3:], (LONG_NAME, 904_311, None, 0.0))
    return recovery_test(
        verdict="failed",
        summary=(
            "The test failed: the database came back in 1 h 34 min, and 60 minutes are promised; half of the payments "
            "and one table were missing, and the shop could not take payments. Until both are mended, count on losing "
            "payments in a disaster. Ada Park has to see to three issues by 20 January 2026."
        ),
        phases=phases(restore=4.6),
        recovery_seconds=5640.0,
        checklist=points(
            CHECKLIST,
            evidence,
            {
                "Critical data present and accurate": "fail",
                "Application functions": "fail",
                "Recovery time within RTO": "fail",
            },
        ),
        rollback_checklist=points(ROLLBACK_CHECKLIST, ROLLBACK_EVIDENCE, {"Team notified": "fail"}),
        critical_data=tuple(
            TableCompared(
                table=name,
                production_rows=was,
                restored_rows=now,
                tolerance=share,
                status="pass" if now and abs(now - was) <= share * was else "fail",
            )
            for name, was, now, share in rows
        ),
        data_loss=DataLoss(
            since=datetime(2025, 10, 1, tzinfo=UTC),
            until=WHEN,
            maximum_seconds=None,
            typical_seconds=51_000.0,
            objective_seconds=93_600.0,
        ),
        history=(*history(40)[:-1], history(1, last_seconds=5640.0)[0]),
        forecast=FORECAST.model_copy(
            update={
                "seconds_now": 3310.0,
                "seconds_low": 2700.0,
                "seconds_high": 4120.0,
                "seconds_per_gigabyte": 560.0,
                "outgrown_at": WHEN + timedelta(days=110),
                "outgrown_earliest": WHEN,
                "outgrown_latest": WHEN + timedelta(days=290),
            }
        ),
        issues=(
            issue(
                1,
                f"{LONG_NAME} is not in the backup.",
                "Find out who dropped it, and put it back by `backproof salvage`.",
            ),
            issue(2, "public.payments has half of its rows.", "Compare it by `backproof diff shop --tables payments`."),
            issue(
                3,
                "A recovery takes 34 minutes longer than is promised.",
                "Restore with more connections, or promise 2 h.",
            ),
        ),
        still_open=(
            issue(1, "The runbook names a server that is gone.", "Correct the section on DNS.", before, "Grace Olsen"),
        ),
    )


def incomplete() -> RecoveryTest:
    """Its store went away: nothing failed, and not much was run; the plan's first test."""
    statuses: dict[str, Status] = dict.fromkeys(CHECKLIST, "not run")
    evidence = ["Not reached: the download did not end."] * len(CHECKLIST)
    evidence[0] = "s3://shop-backups-dr answered 503 for ten minutes. No other region has a copy of the newest backup."
    return recovery_test(
        verdict="incomplete",
        summary=(
            "The test could not be carried out: the region us-east-1 did not answer. That says nothing of the backups. "
            "Run it again this week."
        ),
        ended_at=WHEN + timedelta(minutes=11),
        phases=phases(until=1),
        recovery_seconds=None,
        checklist=points(CHECKLIST, evidence, statuses),
        rollback_checklist=points(
            ROLLBACK_CHECKLIST, ["Not reached."] * 4, dict.fromkeys(ROLLBACK_CHECKLIST, "not run")
        ),
        critical_data=(),
        production_at=None,
        history=(),
        forecast=Forecast(known=False, why_not="Nothing was measured yet."),
        cites=(),
        contacts=(),
        issues=(issue(1, "The test could not be carried out.", "Run `backproof recovery-test shop` again."),),
    )


def first() -> RecoveryTest:
    """The only measure there is."""
    return recovery_test(history=history(1), forecast=UNKNOWN)


def wide() -> RecoveryTest:
    """Sixty tables, some of long names."""
    tables = tuple(
        TableCompared(
            table=f"{LONG_NAME}_{number:02}" if number % 9 == 0 else f"public.table_{number:02}",
            production_rows=number * 104_729,
            restored_rows=number * 104_729 + number,
            tolerance=0.02,
            status="pass",
        )
        for number in range(60)
    )
    return recovery_test(critical_data=tables, started_at=WHEN, history=history(3))


KINDS = {"passed": recovery_test, "failed": failed, "incomplete": incomplete, "first": first, "wide": wide}


def shelved(fleet: Fleet, record: RecoveryTest, length: int = 2000) -> dict[str, bytes]:
    """Key to content of a report that was not drawn: genuine and signed, and nothing to look at."""
    document = fleet.signer.sign(record)
    of = (record.plan, record.test, hashlib.sha256(document).hexdigest())
    padding = b"." * length
    parts = {
        REPORT_HTML: stamped(b"<!doctype html>\n" + padding, "html", fleet.signer, *of),
        REPORT_PDF: stamped(b"%PDF-1.7\n" + padding + b"\n%%EOF", "pdf", fleet.signer, *of),
        REPORT_JSON: document,
    }
    return {key(TestName(record.plan, record.test, part)): content for part, content in parts.items()}


def shelve(fleet: Fleet, record: RecoveryTest) -> None:
    """Put it into every store of its plan."""
    for store in fleet.stores(record.plan):
        for place, content in shelved(fleet, record).items():
            store.put(place, [content])
