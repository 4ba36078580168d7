"""Carrying a recovery out: one step after the other, each written down before and after; taken back when one fails.

Killed anywhere, the same call goes on: what is done is not done again, what was begun is finished, and a recovery that
was being taken back is taken back.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Literal

from backproof import subprocesses
from backproof.alarms import Message, moment
from backproof.errors import BackproofError, Obstructed, Transient
from backproof.recovery.context import Recovery
from backproof.recovery.entries import Facts
from backproof.recovery.giving_up import left as databases_left
from backproof.recovery.interrupted import left
from backproof.recovery.journal import ROLLBACK, WHOLE
from backproof.recovery.rollback import is_live_changed, rollback_steps
from backproof.recovery.steps import Group, Step
from backproof.recovery.tables import no_way_back
from backproof.recovery.way_back import require_way_back
from backproof.recovery.ways import way

Result = Literal["recovered", "rolled back", "nothing changed", "rollback failed", "not ended"]
"""The last: it can't be taken back, and waits to be gone on with."""

RunStep = Callable[[Recovery, Step], None]
"""Carries one step out: ``perform``, or what wraps it."""


@dataclass(frozen=True)
class Outcome:
    """How a recovery ended."""

    result: Result
    why: str = ""
    """The error that stopped it."""
    also: str = ""
    """The error that stopped its being taken back."""
    problems: tuple[str, ...] = ()
    """What is not as it should be, though the recovery succeeded."""


def carry_out(recovery: Recovery, run_step: RunStep | None = None) -> Outcome:
    """Bring a recovery, new or interrupted, to its end.

    Args:
        recovery: with its journal.
        run_step: what carries one step out.

    Raises:
        Busy: another process is at a recovery of this plan.
        Obstructed: the fleet names another server than the one it began on.
        BackproofError: a journal entry could not be written: nothing was done since the last one.
    """
    if recovery.journal.closed is None:
        recovery.require_its_server()
    with recovery.alone():
        perform_step = run_step or perform
        recovery.journal.spread()
        if (closed := recovery.journal.closed) is not None:
            return _ended(recovery, _outcome(closed.facts), perform_step)
        if recovery.journal.rolling_back:
            return _taken_back(recovery, perform_step)
        try:
            problems = _all(recovery, way(recovery), perform_step)
        except Exception as error:
            return _failed(recovery, error, perform_step)
        return _close(recovery, Outcome("recovered", problems=(*_not_applied(recovery), *problems)))


def _not_applied(recovery: Recovery) -> list[str]:
    """Rights and settings that a lost database comes back without. In a live one's place, they are those of that."""
    said, beside = recovery.journal.facts("restore").get("not applied"), recovery.request.beside
    if not recovery.request.lost or not isinstance(said, list):
        return []
    return [str(each).replace(beside, recovery.request.live) for each in said]


def _ended(recovery: Recovery, outcome: Outcome, run_step: RunStep) -> Outcome:
    """Of a recovery that succeeded, what failed afterwards is tried again."""
    after = [group for group in way(recovery) if group[0].settled]
    if outcome.result != "recovered" or all(recovery.journal.last(group[0].name, "done") for group in after):
        return outcome
    recovery.require_its_server()
    return _close(recovery, Outcome("recovered", problems=tuple(_all(recovery, after, run_step))))


def take_back(recovery: Recovery, why: str, by: str, run_step: RunStep | None = None) -> Outcome:
    """Take a recovery back that has ended, or that was interrupted. One that was taken back is left as it is.

    Raises:
        Busy: another process is at a recovery of this plan.
        Obstructed: there is no way back; nothing was changed, and what there is instead is told.
    """
    if recovery.request.mode == "salvage":
        raise Obstructed(
            "rows that were put back are not taken away again",
            f"The journal of {recovery.journal.recovery} says how many came into which table; delete them by hand.",
        )
    recovery.require_its_server()
    with recovery.alone():
        closed = recovery.journal.closed
        if closed is None and not recovery.journal.rolling_back and (no_way := no_way_back(recovery)):
            name = recovery.journal.recovery
            raise Obstructed(
                f"{name} can't be taken back: {no_way}",
                f"`backproof recover --resume {name}` goes on with it; `backproof recovery give-up {name} --reason '…'`"
                " leaves it at that.",
            )
        if closed is not None and closed.facts.get("result") != "recovered":
            return _outcome(closed.facts)
        if later := closed is not None:
            require_way_back(recovery)
        if not recovery.journal.rolling_back:
            recovery.journal.write(ROLLBACK, "begun", {"why": why, "by": by, "later": later})
        return _taken_back(recovery, run_step or perform)


def perform(recovery: Recovery, step: Step) -> None:
    """Carry one step out and write it down; again and again where what stands in the way may pass."""
    journal = recovery.journal
    if (begun := journal.last(step.name, "begun")) is None:
        journal.write(step.name, "begun", step.plan(recovery) if step.plan else {})
    recovery.say(step.shown(recovery) if step.idle(recovery) else f"{step.title}{' (again)' if begun else ''} …")
    for attempt in range(1, step.tries + 1):
        try:
            facts = step.work(recovery)
            break
        except Transient as error:
            if attempt == step.tries or recovery.around.ending.is_set():
                raise
            recovery.say(f"{error.fact}; trying again")
            recovery.around.sleep(2.0**attempt)
    journal.write(step.name, "done", facts)


def _all(recovery: Recovery, groups: Sequence[Group], run_step: RunStep) -> list[str]:
    problems = []
    for group in groups:
        left = [step for step in group if recovery.journal.last(step.name, "done") is None]
        try:
            _side_by_side(recovery, left, run_step)
        except Exception as error:
            if not group[0].settled:
                raise
            problems.append(f"{group[0].title}: {error}")
    return problems


def _side_by_side(recovery: Recovery, group: Group, run_step: RunStep) -> None:
    """The first in this thread, which alone hears that it is to stop; what the others have started then ends."""
    if not group:
        return
    ending = recovery.around.ending
    with _over(ending), ThreadPoolExecutor(len(group), "step") as pool, _ending_children(ending):
        # Whoever carries a step out may have told the thread something about itself.
        others = [pool.submit(copy_context().run, _noted, recovery, step, run_step) for step in group[1:]]
        _noted(recovery, group[0], run_step)
        for other in others:
            other.result()


def _noted(recovery: Recovery, step: Step, run_step: RunStep) -> None:
    try:
        run_step(recovery, step)
    except Exception as error:
        if not isinstance(error, BackproofError):
            recovery.say(f"A mistake of Backproof: {_kept(recovery, step)} has where it was made. Please report it.")
        recovery.journal.write(step.name, "failed", {"why": _told(error)})
        raise


def _kept(recovery: Recovery, step: Step) -> Path:
    """Where the error at hand is written down, on this machine alone: its text may be anything."""
    folder = recovery.around.outputs
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / f"{recovery.journal.recovery}-{step.name}.txt"
    file.touch(0o600)
    file.write_text(traceback.format_exc())
    return file


@contextmanager
def _over(ending: Event) -> Iterator[None]:
    try:
        yield
    finally:
        ending.clear()


@contextmanager
def _ending_children(ending: Event) -> Iterator[None]:
    others = subprocesses.live()
    try:
        yield
    except BaseException:
        ending.set()
        subprocesses.kill_all(spare=others)
        raise


def _failed(recovery: Recovery, error: Exception, run_step: RunStep) -> Outcome:
    if no_way_back(recovery):
        return _waiting(recovery, _told(error))
    if is_live_changed(recovery):
        recovery.journal.write(ROLLBACK, "begun", {"why": _told(error), "by": "the recovery itself", "later": False})
        return _taken_back(recovery, run_step)
    problems = []
    if recovery.request.mode == "swap":
        try:
            recovery.engine.drop(recovery.beside)
        except BackproofError as left:
            problems.append(f"{recovery.request.beside} could not be removed: {left}")
    if recovery.journal.last("notify", "done"):
        _call_off(recovery, _told(error))
    return _close(recovery, Outcome("nothing changed", _told(error), problems=tuple(problems)))


def _taken_back(recovery: Recovery, run_step: RunStep) -> Outcome:
    why = str(recovery.journal.facts(ROLLBACK, "begun").get("why"))
    recovery.say(f"Taking it back: {why}")
    try:
        problems = _all(recovery, rollback_steps(recovery), run_step)
    except Exception as error:
        _page(recovery, why, _told(error))
        return Outcome("rollback failed", why, _told(error))
    return _close(recovery, Outcome("rolled back", why, problems=tuple(problems)))


def _waiting(recovery: Recovery, why: str) -> Outcome:
    """Nothing can be taken back, and nothing is given up: whoever has mended what failed goes on."""
    request, name = recovery.request, recovery.journal.recovery
    recovery.around.tell(
        Message(
            f"{request.plan}: a recovery has stopped halfway",
            f"Plan: {request.plan}\nWhat: {left(recovery)}\nSince: {moment(recovery.around.now())}\nWhy: {why}\n"
            f"What to do: Mend what failed, then backproof recover --resume {name}",
        )
    )
    kept = [f"{each} holds what was live before" for each in databases_left(recovery)]
    return Outcome("not ended", why, problems=(left(recovery), *kept))


def _call_off(recovery: Recovery, why: str) -> None:
    """Who was told that it has begun is told that nothing came of it."""
    request = recovery.request
    recovery.around.tell(
        Message(
            f"{request.plan}: the recovery has failed, nothing has changed",
            f"Plan: {request.plan}\nWhat: {request.live} was not touched; {recovery.journal.recovery} is over\n"
            f"Since: {moment(recovery.around.now())}\nWhy: {why}\n"
            f"What to do: Mend what failed, then begin another: backproof recover {request.plan}",
        )
    )


def _page(recovery: Recovery, why: str, also: str) -> None:
    request = recovery.request
    recovery.around.tell(
        Message(
            f"{request.plan}: a recovery failed, and so did taking it back",
            f"Plan: {request.plan}\nWhat: {request.live} may be unusable; maintenance stays on. Recovery: {why}. "
            f"Rollback: {also}\nSince: {moment(recovery.around.now())}\n"
            "What to do: Mend what the second error names, then"
            f" backproof rollback {recovery.journal.recovery} --reason '…'",
        )
    )


def _close(recovery: Recovery, outcome: Outcome) -> Outcome:
    recovery.journal.write(
        WHOLE, "closed", {"result": outcome.result, "why": outcome.why, "problems": list(outcome.problems)}
    )
    return outcome


def _outcome(facts: Facts) -> Outcome:
    problems = facts.get("problems")
    listed = tuple(map(str, problems)) if isinstance(problems, list) else ()
    return Outcome(str(facts["result"]), str(facts.get("why", "")), problems=listed)  # type: ignore[arg-type]


def _told(error: BaseException) -> str:
    """What ours say; of a mistake of ours only its kind, since its text may be anything."""
    return str(error) if isinstance(error, BackproofError) else f"a mistake of Backproof: {type(error).__name__}"
