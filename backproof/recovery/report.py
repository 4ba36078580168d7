"""What a recovery was: read from its journal alone, signed, and kept in the stores. Pure but for ``publish``."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal

from backproof.errors import AlreadyExists, BackproofError
from backproof.fleet.specs import RecoveryTimesSpec
from backproof.records import Manifest, Record, Timing
from backproof.recovery.context import Mode, Recovery, Request
from backproof.recovery.entries import Facts, JournalEntry
from backproof.recovery.human_steps import HumanSteps, read
from backproof.recovery.journal import WHOLE, Journal
from backproof.recovery.naming import report_key

_SMALL, _MEDIUM = 10**9, 10**10
"""Bytes of the live database: below, between, above."""

Evidence = Callable[[Facts], str]


class Point(Record):
    """One point of a checklist."""

    point: str
    status: Literal["pass", "fail", "not run"]
    evidence: str


class Note(Record):
    """What somebody wrote down afterwards."""

    at: datetime
    by: str
    text: str


class RecoveryReport(Record):
    """One recovery. Signed."""

    format: Literal[1] = 1
    plan: str
    recovery: str
    backup: str
    mode: Mode
    reason: str
    by: str
    result: str
    """``recovered``, ``rolled back``, ``nothing changed``, ``under way`` or ``rollback failed``."""
    why: str
    """What stopped it, where it did not succeed."""
    problems: tuple[str, ...]
    opened_at: datetime
    ended_at: datetime | None
    """When the application was the users' again or, without that, when the recovery ended."""
    elapsed_seconds: float | None
    objective_seconds: float
    """The recovery time objective, by the size of the database that was backed up."""
    maintenance_seconds: float | None
    """How long the application was stopped, a rollback's own time added; None: it was not."""
    phases: tuple[Timing, ...]
    checklist: tuple[Point, ...]
    loses_seconds: float
    """From the backup's snapshot to the recovery's beginning."""
    rows_written: dict[str, int]
    """Per table, rows more (or fewer) in what was set aside than in the backup, where that is known."""
    safety_backups: tuple[str, ...]
    set_aside: str | None
    roles_made: tuple[str, ...] = ()
    """By ``--create-missing-roles``: nobody can log in as them."""
    notes: tuple[Note, ...]
    human_steps: HumanSteps
    """What only people can do, as far as it was ticked."""


def objective(live_bytes: int, times: RecoveryTimesSpec) -> timedelta:
    """How long a recovery may take, by size class.

    Source: "RTO targets": small below 1 GB, medium from 1 to 10 GB, large above.
    """
    if live_bytes < _SMALL:
        return times.small
    return times.medium if live_bytes <= _MEDIUM else times.large


def report(journal: Journal, manifest: Manifest, times: RecoveryTimesSpec) -> RecoveryReport:
    """Read a recovery's journal."""
    request = Request.model_validate(_lists_as_tuples(journal.facts(WHOLE, "opened")))
    opened_at = journal.entries[0].at
    ended = journal.last("maintenance-off", "done") if _recovered(journal) else journal.closed
    ended_at = ended.at if ended else None
    closed = journal.closed.facts if journal.closed else {}
    keep = journal.facts("keep")
    written = keep.get("rows written since the backup")
    return RecoveryReport(
        plan=request.plan,
        recovery=journal.recovery,
        backup=request.backup,
        mode=request.mode,
        reason=request.reason,
        by=request.by,
        result=str(closed.get("result", "under way")),
        why=str(closed.get("why", "")),
        problems=tuple(_texts(closed.get("problems"))),
        opened_at=opened_at,
        ended_at=ended_at,
        elapsed_seconds=(ended_at - opened_at).total_seconds() if ended_at else None,
        objective_seconds=objective(manifest.database.live_bytes, times).total_seconds(),
        maintenance_seconds=_maintenance(journal),
        phases=tuple(_phases(journal)),
        checklist=tuple(_checklist(journal, request, manifest)),
        loses_seconds=(opened_at - manifest.taken_at).total_seconds(),
        rows_written={table: int(str(count)) for table, count in written.items()} if isinstance(written, dict) else {},
        safety_backups=tuple(
            dict.fromkeys(
                str(facts["backup"])
                for facts in (journal.facts("safety"), keep, journal.facts("back-safety"))
                if facts.get("backup")
            )
        ),
        set_aside=_set_aside(journal, request),
        roles_made=tuple(_texts(journal.facts("prepare").get("created"))),
        notes=tuple(
            Note(at=each.at, by=str(each.facts.get("by", "")), text=str(each.facts.get("text", "")))
            for each in journal.entries
            if (each.step, each.what) == (WHOLE, "noted")
        ),
        human_steps=read(journal.entries),
    )


def publish(recovery: Recovery) -> tuple[RecoveryReport, list[str]]:
    """The report, written into every store of the plan that takes it; one more where something came to the journal.

    Returns:
        It, and a sentence for each store that has none.
    """
    fleet, plan = recovery.fleet, recovery.plan
    made = report(recovery.journal, recovery.manifest(), fleet.plan(plan).objectives.rto)
    document, problems = fleet.signer.sign(made), []
    for store in fleet.stores(plan):
        try:
            store.put(report_key(plan, made.recovery, len(recovery.journal.entries)), [document])
        except AlreadyExists:
            continue  # nothing has happened since
        except BackproofError as error:
            problems.append(f"store {store.name} has no report: {error.fact}")
    return made, problems


def renew(recovery: Recovery) -> list[str]:
    """The report of a recovery that has ended, with what people have added since.

    Returns:
        A sentence for each store that has none. The journal has it all the same.
    """
    if recovery.journal.closed is None:
        return []
    try:
        return publish(recovery)[1]
    except BackproofError as error:
        return [f"no report was written: {error.fact}"]


def _recovered(journal: Journal) -> bool:
    return journal.closed is not None and journal.closed.facts.get("result") == "recovered"


def _phases(journal: Journal) -> Iterator[Timing]:
    begun: dict[str, JournalEntry] = {}
    for entry in journal.entries:
        if entry.what == "begun":
            begun.setdefault(entry.step, entry)
        elif entry.what == "done" and entry.step in begun:
            first = begun[entry.step]
            moved = entry.facts.get("plain bytes", entry.facts.get("stored bytes"))
            yield Timing(
                phase=entry.step,
                started_at=first.at,
                elapsed_seconds=round((entry.at - first.at).total_seconds(), 3),
                bytes=moved if isinstance(moved, int) else None,
            )


def _maintenance(journal: Journal) -> float | None:
    on, off = journal.last("maintenance-on", "begun"), journal.last("maintenance-off", "done")
    again, ended = journal.last("back-maintenance-on", "begun"), journal.last("back-maintenance-off", "done")
    stops = [(on, off), (again, ended)] if off else [(on, ended)]
    spans = [(end.at - begin.at).total_seconds() for begin, end in stops if begin and end]
    return sum(spans) if spans else None


def _set_aside(journal: Journal, request: Request) -> str | None:
    closed = journal.closed
    if closed is None or request.mode != "swap" or journal.last("discard", "done"):
        return None
    if closed.facts.get("result") == "recovered":
        return None if request.lost else request.aside
    return request.beside if journal.facts("back-clean").get("kept") else None


def _checklist(journal: Journal, request: Request, manifest: Manifest) -> Iterator[Point]:
    check, notify = journal.last("check", "done"), journal.last("notify", "done")
    safety, on = journal.last("safety", "done"), journal.last("maintenance-on", "done")
    yield Point(
        point="backup identified",
        status="pass",
        evidence=f"{request.backup}, taken {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC",
    )
    yield _point(
        "integrity verified",
        check,
        lambda facts: (
            f"copy in {facts['store']}: signature, SHA-256 {facts['stored sha256']}, {facts['members']} members"
        ),
    )
    told = notify.facts.get("told") if notify else None
    yield Point(
        point="users notified",
        status="pass" if isinstance(told, list) and told else "not run",
        evidence=", ".join(_texts(told)) if isinstance(told, list) else str(told or "not reached"),
    )
    taken = safety is not None and safety.facts.get("backup") is not None
    failed = safety is not None and not taken and not (request.no_safety_backup or request.lost)
    yield Point(
        point="safety backup",
        status="pass" if taken else "fail" if failed else "not run",
        evidence=str(safety.facts.get("backup") or safety.facts.get("why not")) if safety else "not reached",
    )
    said = str(on.facts.get("maintenance_on", "")) if on else "not reached"
    yield Point(
        point="maintenance mode",
        status="not run" if on is None or said.startswith("not run") else "pass",
        evidence=said,
    )
    yield Point(point="reason recorded", status="pass", evidence=request.reason)


def _point(point: str, entry: JournalEntry | None, evidence: Evidence) -> Point:
    if entry is None:
        return Point(point=point, status="not run", evidence="not reached")
    return Point(point=point, status="pass", evidence=evidence(entry.facts))


def _texts(value: object) -> Sequence[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _lists_as_tuples(facts: Facts) -> dict[str, object]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
