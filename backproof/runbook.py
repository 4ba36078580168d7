"""The runbook of a plan: one page with its own commands, figures, people and keys; and whether it still holds.

The page holds no secret, and nothing of the moment at which it was made: the same facts give the same page, so that a
difference is one in the facts.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.measures import Expected, Forecast
from backproof.records import Manifest
from backproof.recovery_test.record import CHECKLIST, Status, TestPoint

_DOCUMENTATION = CHECKLIST[-1]
_AT_ONCE = 2
_LONGEST = 200


@dataclass(frozen=True)
class Line:
    """One command of a runbook."""

    command: str
    """As a person types it."""
    why: str
    tried_as: tuple[str, ...] = ()
    """Its harmless form: what a recovery test runs, after ``backproof``. Empty: there is none."""
    answers: tuple[int, ...] = (0, 3)
    """The exit statuses with which it does what the page says."""


@dataclass(frozen=True)
class Answer:
    """How a command ended that was tried."""

    status: int
    said: str
    """What it printed of an error, without a secret."""


Run = Callable[[Sequence[str]], Answer]
"""Runs ``backproof`` with some arguments; ``runbook_trial.program`` is one."""


@dataclass(frozen=True)
class Facts:
    """What a page stands on beside the fleet."""

    manifest: Manifest | None
    """Of the newest proven backup; None: there is none."""
    expected: Expected | None
    forecast: Forecast
    objective: timedelta | None


def facts(fleet: Fleet, plan: str, now: datetime) -> Facts:
    """What the stores tell of a plan; where none answers, nothing.

    Args:
        fleet: where the plan is found.
        plan: its name.
        now: aware UTC.
    """
    from backproof import catalog
    from backproof.forecast import expected, forecast
    from backproof.recovery.measured import measures
    from backproof.recovery.report import objective

    try:
        manifest, _ = catalog.manifest(fleet, plan, "latest-proven")
        history = measures(fleet, plan, now)
    except BackproofError:
        return Facts(None, None, Forecast(known=False, why_not="there is no proven backup that can be read"), None)
    size = manifest.database.live_bytes
    limit = objective(size, fleet.plan(plan).objectives.rto)
    return Facts(manifest, expected(history, size), forecast(history, limit, size, now), limit)


def lines(fleet: Fleet, plan: str, now: datetime | None = None) -> dict[str, list[Line]]:
    """The commands of a plan's runbook, by the heading they stand under.

    Args:
        fleet: where the plan is found.
        plan: its name.
        now: the moment that is tried where the page says MOMENT.
    """
    moment = f"{now:%Y-%m-%d %H:%M:%S}" if now else "MOMENT"
    looks = [
        Line(f"backproof ready {plan}", "Could I recover now? What stands in the way?", ("ready", plan), (0, 1, 3)),
        Line(f"backproof estimate {plan}", "How long would it take?", ("estimate", plan)),
        Line(f"backproof status {plan}", "How old are the newest and the newest proven backup?", ("status", plan)),
        Line(f"backproof list {plan}", "Which backups are there, and where?", ("list", plan)),
        Line(f"backproof show {plan} latest", "What is in the newest one?", ("show", plan, "latest")),
        Line(f"backproof recovery list {plan}", "Was there a recovery, is one under way?", ("recovery", "list", plan)),
    ]
    recover = ("recover", plan, "--reason", "a trial of the runbook", "--show")
    does = [
        Line(
            f"backproof recover {plan} --show",
            "Say what a recovery would do, and do nothing.",
            ("recover", plan, "--show"),
        ),
        Line(f'backproof recover {plan} --reason "WHY"', "Put the newest proven backup in its place.", recover),
        Line(
            f'backproof recover {plan} --before "MOMENT" --reason "WHY"',
            "The newest proven one taken before something went wrong.",
            (*recover, "--before", moment),
        ),
        *(
            Line(
                f'backproof recover {plan} --from {store} --reason "WHY"',
                f"From the copy in {store} alone.",
            )
            for store in fleet.plan(plan).stores
        ),
    ]
    back = [
        Line('backproof rollback RECOVERY --reason "WHY"', "Take it back: what was live before is live again."),
        Line("backproof recover --resume RECOVERY", "Go on with one that was interrupted, also from another machine."),
        Line("backproof recovery discard RECOVERY", "Remove what was set aside, once nobody needs it."),
    ]
    aside = [
        Line(
            f"backproof restore {plan} --backup latest-proven --into {_new_name(fleet, plan)}",
            "Restore into a new database; nothing live is touched.",
        )
    ]
    return {"Look first": looks, "Recover": does, "Take it back, go on, clean up": back, "Only look inside": aside}


def documentation(fleet: Fleet, plan: str, now: datetime, run: Run) -> TestPoint:
    """Whether the runbook is accurate: its commands, tried in their harmless forms, work, and its review still counts.

    Args:
        fleet: where the plan is found.
        plan: its name.
        now: aware UTC.
        run: runs ``backproof``; nothing that it is given changes anything.
    """
    tried = [line for each in lines(fleet, plan, now).values() for line in each if line.tried_as]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="runbook") as pool:
        answers = list(pool.map(lambda line: run(line.tried_as), tried))
    broken = [
        f"`backproof {' '.join(line.tried_as)}` ended with status {answer.status}: {answer.said[:_LONGEST]}".rstrip(
            ": "
        )
        for line, answer in zip(tried, answers, strict=True)
        if answer.status not in line.answers or (answer.status and answer.said)
    ]
    if broken:
        more = f" And {len(broken) - 1} more." if len(broken) > 1 else ""
        return _point("fail", f"{len(broken)} of {len(tried)} commands of the runbook do not work. {broken[0]}.{more}")
    works = f"{len(tried)} commands of the runbook were executed, and work"
    status, said = reviewed(fleet, plan, now)
    return _point(status, f"{works}; {said}.")


def reviewed(fleet: Fleet, plan: str, now: datetime) -> tuple[Status, str]:
    """Whether a person has read the runbook, and when the next review is due."""
    test = fleet.plan(plan).recovery_test
    if test.runbook_reviewed is None:
        return "not run", (
            f"no person has reviewed it: read what `backproof runbook {plan}` prints, and write the day into "
            "recovery_test.runbook_reviewed"
        )
    due = test.runbook_reviewed + test.runbook_review_every
    if test.runbook_reviewed > now.date():
        return "fail", f"recovery_test.runbook_reviewed is {test.runbook_reviewed}, which is still to come"
    if due < now.date():
        return "fail", f"it was last reviewed {test.runbook_reviewed}, and the next review was due {due}"
    return "pass", f"it was reviewed {test.runbook_reviewed}, and the next review is due {due}"


def _new_name(fleet: Fleet, plan: str) -> str:
    return f"{fleet.spec.databases[fleet.plan(plan).database].name}_rescued"


def _point(status: Status, evidence: str) -> TestPoint:
    return TestPoint(name=_DOCUMENTATION, status=status, evidence=evidence)
