"""``backproof status``: how every plan stands, from the stores alone; for a person, a program, a monitor."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backproof.errors import Permanent
from deployments.cli import exits, speaking
from deployments.cli.session import Session, pass_session
from deployments.cli.wording import moment, several, size

if TYPE_CHECKING:
    from backproof.objectives import Level, Standing
    from backproof.operations.status import PlanStatus
    from backproof.records import Backup
    from backproof.recovery_test.standing import TestStanding

_COLOURS = {"ok": "green", "warning": "yellow", "WARNING": "yellow", "DEGRADED": "yellow", "FAILED": "red"}
_STDOUT = "-"


@click.command("status", short_help="Show how every plan stands: ages, proofs, copies, next runs.")
@click.argument("plan", required=False)
@click.option("--check", is_flag=True, help="Say only what is wrong, and exit with 1 (or 3) where something is.")
@click.option(
    "--prometheus",
    "metrics_to",
    metavar="[FILE]",
    is_flag=False,
    flag_value=_STDOUT,
    help="Write metrics instead: to FILE, in one step, or to stdout.",
)
@pass_session
def status_command(session: Session, plan: str | None, check: bool, metrics_to: str | None) -> int:
    """Show how PLAN stands, or every plan: the newest backup and the newest proven one, their age against what is
    promised, copies, size, next run. Read from the stores alone, so it works while Prefect is down.

    With --check the exit status is 1 where a plan has no proven backup within its recovery point objective and grace,
    or its newest backup failed its proof or waits for one longer than the grace; 3 where only a store could not be
    asked or lacks a copy; 0 else, with nothing to say. Without --check it is 3 where a store could not be asked.
    """
    from backproof.operations import clock
    from backproof.operations.status import status
    from backproof.recovery_test.standing import standings

    if metrics_to == _STDOUT and (session.json or check):
        raise click.UsageError("--prometheus has stdout for itself: name a FILE, or leave out --json and --check.")
    fleet = session.fleet(plan, warn=False)
    now = clock.utc_now()
    plans = status(fleet, [plan] if plan else list(fleet.spec.plans), now)
    tests = {} if check and not session.json else standings(fleet, _silent(plans), now)
    if metrics_to not in (None, _STDOUT):
        _write(Path(metrics_to), fleet.spec.fleet, plans, now)
    document = _document(plans, tests, now) if session.json else {}
    session.answer(document, lambda: _say(plans, tests, now, check, metrics_to, fleet.spec.fleet))
    return _exit_status(plans, check)


def _silent(plans: "Sequence[PlanStatus]") -> dict[str, list[str]]:
    """The stores of each plan that did not answer."""
    return {
        each.standing.plan: [copy.store for copy in each.standing.copies if copy.state == "unknown"] for each in plans
    }


def _exit_status(plans: "Sequence[PlanStatus]", check: bool) -> int:
    problems = [problem for plan in plans for problem in plan.standing.problems]
    if check and any(problem.level == "failed" for problem in problems):
        return exits.FAILED
    if any(problem.level == "degraded" and (check or problem.kind == "store") for problem in problems):
        return exits.DEGRADED
    return exits.DONE


def _write(path: Path, fleet: str, plans: "Sequence[PlanStatus]", now: datetime) -> None:
    from deployments.cli import metrics

    try:
        metrics.write(path, fleet, plans, now)
    except OSError as error:
        raise Permanent(f"cannot write {path}: {error.strerror}", "Name a file in a folder for it.") from None


def _say(
    plans: "Sequence[PlanStatus]",
    tests: "Mapping[str, TestStanding]",
    now: datetime,
    check: bool,
    metrics_to: str | None,
    fleet: str,
) -> None:
    if check:
        _say_problems(plans, above="warning")
    elif metrics_to == _STDOUT:
        from deployments.cli import metrics

        click.echo(metrics.text(fleet, plans, now), nl=False)
    elif metrics_to is None:
        say_screen(plans, tests, now)


def say_screen(plans: "Sequence[PlanStatus]", tests: "Mapping[str, TestStanding]", now: datetime) -> None:
    """One line a plan, then what is wrong and what to do about it."""
    columns = [
        "Plan",
        "Status",
        "Newest",
        "Proven",
        "Promised",
        "Copies",
        "Size",
        "Usual",
        "Next run (UTC)",
        "Recovery test",
    ]
    speaking.print_table(
        columns, [_row(plan, tests[plan.standing.plan]) for plan in plans], right=["Size", "Usual"], colours=_COLOURS
    )
    speaking.say("")
    if _say_problems(plans, above="ok"):
        speaking.say("")
    counts = [(word, sum(_word(plan.standing) == word for plan in plans)) for word in _COLOURS]
    said = ", ".join(f"{count:,} {word}" for word, count in counts if count)
    speaking.say(f"{several(len(plans), 'plan')}: {said or 'nothing to show'}. {moment(now)} UTC.")


def _row(plan: "PlanStatus", tests: "TestStanding") -> list[str]:
    from backproof.objectives import in_words

    standing, coming = plan.standing, plan.next_run
    good = sum(copy.state == "good" for copy in standing.copies)
    return [
        standing.plan,
        _word(standing),
        _ago(standing.newest_age),
        _ago(standing.proven_age),
        f"{in_words(standing.rpo)} + {in_words(standing.grace)}",
        f"{good} of {len(standing.copies)}",
        size(standing.stored_bytes),
        size(standing.usual_bytes),
        "–" if coming is None else f"{moment(coming.at)} {coming.kind}",
        _tested(tests),
    ]


def _tested(tests: "TestStanding") -> str:
    if tests.last is None:
        return "?" if tests.this_quarter is None else "never" if tests.scheduled else "–"
    said = f"{moment(tests.last.at)[:10]} {tests.last.verdict}"
    return f"{said}, none this quarter" if tests.this_quarter is False and tests.scheduled else said


def _word(standing: "Standing") -> str:
    return standing.level if standing.level in ("ok", "warning") else standing.level.upper()


def _ago(age: timedelta | None) -> str:
    from backproof.objectives import in_words

    return "never" if age is None else f"{in_words(age)} ago"


def _say_problems(plans: "Sequence[PlanStatus]", above: "Level") -> int:
    """Each once, the worst first; how many they are."""
    from backproof.objectives import LEVELS

    problems = [problem for plan in plans for problem in plan.standing.problems]
    shown = [problem for problem in problems if LEVELS.index(problem.level) > LEVELS.index(above)]
    shown.sort(key=lambda problem: -LEVELS.index(problem.level))
    for problem in dict.fromkeys(shown):  # a store that is down is said once, not for each plan
        speaking.say_marked(problem.level.upper(), f"{problem.found}. {problem.remedy}".strip(), _COLOURS)
    return len(shown)


def _document(plans: "Sequence[PlanStatus]", tests: "Mapping[str, TestStanding]", now: datetime) -> speaking.Document:
    from backproof.objectives import worst

    return {
        "at": _utc(now),
        "status": worst(plan.standing.level for plan in plans),
        "plans": [_plan(plan, tests[plan.standing.plan]) for plan in plans],
    }


def _plan(plan: "PlanStatus", tests: "TestStanding") -> dict[str, object]:
    standing, coming = plan.standing, plan.next_run
    return {
        "plan": standing.plan,
        "status": standing.level,
        "newest": _backup(standing.newest, standing.newest_age),
        "proven": _backup(standing.proven, standing.proven_age),
        "rpo_seconds": standing.rpo.total_seconds(),
        "grace_seconds": standing.grace.total_seconds(),
        "rpo_met": standing.kept,
        "stored_bytes": standing.stored_bytes,
        "usual_bytes": standing.usual_bytes,
        "copies": [copy.model_dump() for copy in standing.copies],
        "recovery_test": _recovery_test(tests),
        "next_run": None if coming is None else {"kind": coming.kind, "at": _utc(coming.at)},
        "problems": [problem.model_dump() for problem in standing.problems],
    }


def _recovery_test(tests: "TestStanding") -> dict[str, object]:
    last = tests.last
    return {
        "last": None if last is None else {"test": last.test, "at": _utc(last.at), "verdict": last.verdict},
        "this_quarter": tests.this_quarter,
        "scheduled": tests.scheduled,
    }


def _backup(backup: "Backup | None", age: timedelta | None) -> dict[str, object] | None:
    if backup is None or age is None:
        return None
    return {
        "id": backup.id,
        "kind": backup.kind,
        "taken_at": _utc(backup.taken_at),
        "age_seconds": age.total_seconds(),
        "proven_at": None if backup.proven_at is None else _utc(backup.proven_at),
        "failed_at": None if backup.failed_at is None else _utc(backup.failed_at),
    }


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
