"""The record of a recovery test: what its steps found, put together with what the stores tell of earlier ones."""

from datetime import datetime

from backproof import __version__
from backproof.fleet import Fleet
from backproof.forecast import forecast
from backproof.recovery.measured import past_tests
from backproof.recovery_test import judging
from backproof.recovery_test.context import Rehearsal
from backproof.recovery_test.downloading import where
from backproof.recovery_test.evidence import quarter_begins
from backproof.recovery_test.history import data_loss, measures
from backproof.recovery_test.judging import in_words
from backproof.recovery_test.record import (
    CHECKLIST,
    ROLLBACK_CHECKLIST,
    DataLoss,
    Issue,
    Measure,
    RecoveryTest,
    TestPoint,
    TestVerdict,
)
from backproof.recovery_test.staging import CONNECTS, FUNCTIONS, RESTORE
from backproof.reports.issues import open_issues

_TIME = "Recovery time within RTO"
_FIRST_CALLED = 5


def assembled(rehearsal: Rehearsal) -> RecoveryTest:
    """All that a report shows."""
    fleet, plan, manifest = rehearsal.fleet, rehearsal.plan, rehearsal.manifest
    its, ended_at = fleet.plan(plan), rehearsal.around.now()
    live_bytes = manifest.database.live_bytes if manifest else 0
    seconds, why_not = _recovery_seconds(rehearsal)
    time_point, objective = judging.recovery_time(seconds, live_bytes, its.objectives.rto, why_not)
    rehearsal.judge(_TIME, time_point.status, time_point.evidence)
    checklist, rollback = _points(rehearsal, CHECKLIST), _points(rehearsal, ROLLBACK_CHECKLIST)
    verdict = judging.verdict([*checklist, *rollback])
    if rehearsal.left and verdict == "passed":
        verdict = "incomplete"
    still_open = open_issues(fleet, plan)
    lost = data_loss(fleet, plan, quarter_begins(rehearsal.started_at), rehearsal.started_at)
    who = judging.responsible(its.recovery_test, its.escalation)
    found = judging.issues(
        [*checklist, *rollback, *_left(rehearsal), *_missed(lost)],
        rehearsal.remedies,
        who,
        rehearsal.started_at,
        its.recovery_test.due,
        _numbers(fleet, plan, rehearsal.started_at),
    )
    history = (
        *measures(fleet, plan, rehearsal.started_at),
        *_own_measure(rehearsal, live_bytes, seconds, rehearsal.started_at),
    )
    return RecoveryTest(
        plan=plan,
        test=rehearsal.test,
        verdict=verdict,
        summary=_summary(verdict, seconds, objective.total_seconds(), found, live_bytes),
        started_at=rehearsal.started_at,
        ended_at=ended_at,
        by=rehearsal.by,
        responsible=who,
        engine=rehearsal.engine.name,
        database=fleet.target(plan).database,
        backup=manifest.id if manifest else None,
        backup_kind=manifest.kind if manifest else None,
        taken_at=manifest.taken_at if manifest else None,
        store=rehearsal.copy_in,
        location=where(fleet, rehearsal.copy_in) if rehearsal.copy_in else "",
        staging=rehearsal.staging,
        live_bytes=live_bytes,
        stored_bytes=manifest.stored_bytes if manifest else 0,
        size_class=judging.size_class(live_bytes),
        phases=rehearsal.watch.timings,
        counted=tuple(each.phase for each in rehearsal.watch.timings if each.phase in rehearsal.counted),
        recovery_seconds=seconds,
        objective_seconds=objective.total_seconds(),
        checklist=checklist,
        rollback_checklist=rollback,
        critical_data=rehearsal.compared,
        production_at=rehearsal.production.recorded_at if rehearsal.production else None,
        data_loss=lost,
        forecast=forecast(history, objective, live_bytes, ended_at),
        history=history,
        issues=found,
        still_open=still_open,
        contacts=tuple(f"{level.name}: {', '.join(level.notify)}" for level in its.escalation),
        versions=_versions(rehearsal),
        identities=_identities(rehearsal),
        cites=tuple(rehearsal.cites),
        measured=_measured(rehearsal),
    )


def _points(rehearsal: Rehearsal, names: tuple[str, ...]) -> tuple[TestPoint, ...]:
    return tuple(
        rehearsal.points.get(name) or TestPoint(name=name, status="not run", evidence="not reached") for name in names
    )


def _left(rehearsal: Rehearsal) -> list[TestPoint]:
    told = "; ".join(rehearsal.left)
    return [TestPoint(name="Other steps", status="fail", evidence=told)] if told else []


def _missed(lost: DataLoss) -> list[TestPoint]:
    """A disaster in the quarter would have lost more than is promised: no point of the test, and to be seen to."""
    if lost.maximum_seconds is None or lost.maximum_seconds <= lost.objective_seconds:
        return []  # without any proven backup there is a point that fails
    at_worst, promised = in_words(lost.maximum_seconds), in_words(lost.objective_seconds)
    told = f"at worst {at_worst} would have been lost; {promised} are promised"
    return [TestPoint(name="Recovery point objective", status="fail", evidence=told)]


def _recovery_seconds(rehearsal: Rehearsal) -> tuple[float | None, str]:
    """Of all that a recovery has too; None, and why, where it did not come to its end."""
    for point in (RESTORE, CONNECTS, FUNCTIONS):
        judged = rehearsal.points.get(point)
        if judged is None or judged.status != "pass":
            return None, f"the recovery did not come to its end: {point.lower()}"
    phases = [each for each in rehearsal.watch.timings if each.phase in rehearsal.counted]
    return round(sum(each.elapsed_seconds for each in phases), 3), ""


def _own_measure(rehearsal: Rehearsal, live_bytes: int, seconds: float | None, at: datetime) -> tuple[Measure, ...]:
    if seconds is None:
        return ()
    return (Measure(at=at, kind="recovery test", live_bytes=live_bytes, seconds=seconds),)


def _numbers(fleet: Fleet, plan: str, at: datetime) -> list[int]:
    """Of the issues that earlier tests of the same month have found, closed or not."""
    month = f"{at:%Y-%m}-"
    earlier = past_tests(fleet, plan, fleet.plan(plan).stores)
    ids = [issue.id for test in earlier for issue in test.issues]
    return [int(each.removeprefix(month)) for each in ids if each.startswith(month)]


def _summary(
    verdict: TestVerdict, seconds: float | None, objective: float, issues: tuple[Issue, ...], live_bytes: int
) -> str:
    said = {
        "passed": "The recovery test passed: the backup comes back, and the application works on it.",
        "failed": "The recovery test failed.",
        "incomplete": "Nothing failed in the recovery test, but not all of it was run, which is no pass.",
    }[verdict]
    took = (
        "How long a recovery takes could not be measured."
        if seconds is None
        else f"A recovery takes {in_words(seconds)}, of the {in_words(objective)} that are promised."
    )
    do = {0: "Nothing is to be done.", 1: f"To do: {issues[0].remedy}" if issues else ""}.get(
        len(issues), f"{len(issues)} issues were found; the first to do: {issues[0].remedy}" if issues else ""
    )
    return f"{said} {took} {do}"


def _versions(rehearsal: Rehearsal) -> dict[str, str]:
    versions = {"backproof": __version__}
    if rehearsal.manifest:
        database = rehearsal.manifest.database
        versions |= {"production server": database.server_version, "dump tool": database.tool_version}
        versions["sealed with backproof"] = rehearsal.manifest.backproof_version
    if rehearsal.found.server_version:
        versions["staging server"] = rehearsal.found.server_version
    return versions


def _identities(rehearsal: Rehearsal) -> dict[str, str]:
    identities = {"signing key": rehearsal.fleet.signer.fingerprint}
    manifest = rehearsal.manifest
    if manifest is None:
        return identities
    if manifest.encryption:
        identities["key"] = manifest.encryption.key_fingerprint
        identities["escrow key"] = manifest.encryption.escrow_fingerprint or "none"
    for name in ("system_identifier", "server_uuid", "server_id"):
        if manifest.database.server.get(name) is not None:
            identities[name.replace("_", " ")] = str(manifest.database.server[name])
    if rehearsal.production is not None:
        identities["schema fingerprint"] = rehearsal.production.fingerprint
    return identities


def _measured(rehearsal: Rehearsal) -> tuple[str, ...]:
    counted = [each.phase for each in rehearsal.watch.timings if each.phase in rehearsal.counted]
    others = [each.phase for each in rehearsal.watch.timings if each.phase not in rehearsal.counted]
    return (
        "Every phase was timed by the monotonic clock of the machine that ran the test; when it began, by its wall "
        "clock, in UTC.",
        f"The recovery time is the sum of: {', '.join(counted) or 'nothing'}.",
        f"Not part of it, since a recovery has no such phase: {', '.join(others) or 'nothing'}.",
        "Each table was restored over one connection, so that its rows could be compared with the backup's; a "
        "recovery uses several, and is no slower.",
        f"The backup was restored to {rehearsal.staging or 'no server'}. Production was read, and not changed.",
    )
