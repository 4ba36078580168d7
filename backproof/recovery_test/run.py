"""Carrying a recovery test out: one step after the other, each timed; whatever happens, all of it is removed again."""

import traceback
from collections.abc import Callable
from pathlib import Path

from backproof.errors import BackproofError, Transient
from backproof.recovery_test.assembling import assembled
from backproof.recovery_test.context import Rehearsal
from backproof.recovery_test.evidence import rollback_evidence
from backproof.recovery_test.record import RecoveryTest, Status
from backproof.recovery_test.steps import STEPS, Step

RunStep = Callable[[Rehearsal, Step], None]
"""Carries one step out: ``perform``, or what wraps it."""


def carry_out(rehearsal: Rehearsal, run_step: RunStep | None = None) -> RecoveryTest:
    """Rehearse a recovery, and say what that showed. No failing step is raised: the record tells of it.

    Args:
        rehearsal: what is to be rehearsed.
        run_step: what carries one step out.

    Raises:
        BackproofError: the stores, which a record is made from, could not be asked.
    """
    try:
        for step in STEPS:
            _attempt(rehearsal, step, run_step or perform)
    finally:
        _tear_down(rehearsal)
    rollback_evidence(rehearsal)
    return assembled(rehearsal)


def perform(rehearsal: Rehearsal, step: Step) -> None:
    """Carry one step out, by the stopwatch; again where what stands in the way may pass."""
    rehearsal.around.say(f"{step.name} …")
    if not step.timed:
        step.work(rehearsal)
        return
    rehearsal.moved = None
    with rehearsal.watch.phase(step.name, lambda: rehearsal.moved):
        for attempt in range(1, step.tries + 1):
            try:
                step.work(rehearsal)
                break
            except Transient as error:
                if attempt == step.tries:
                    raise
                rehearsal.around.say(f"{error.fact}; trying again")
                rehearsal.around.sleep(2.0**attempt)
    if step.counted:
        rehearsal.counted.append(step.name)


def _attempt(rehearsal: Rehearsal, step: Step, run_step: RunStep) -> None:
    lacking = next((name for name in step.needs if name not in rehearsal.done), None)
    if lacking is not None:
        why = rehearsal.failed.get(lacking, "")
        rehearsal.failed[step.name] = why
        for point in step.judges:
            if point not in rehearsal.points:
                rehearsal.judge(point, "not run", f"not reached: {why}")
        return
    try:
        run_step(rehearsal, step)
    except Exception as error:
        told = _told(rehearsal, step, error)
        rehearsal.failed[step.name] = f"{step.name} failed"
        status: Status = "not run" if isinstance(error, step.blameless) else "fail"
        remedy = error.remedy if isinstance(error, BackproofError) else ""
        for point in step.judges:
            rehearsal.judge(point, status, told, remedy)
        if not step.judges and step.matters:
            rehearsal.left.append(f"{step.name} failed: {told}")
        rehearsal.around.say(f"{step.name} failed: {told}")
    else:
        rehearsal.done.add(step.name)


def _told(rehearsal: Rehearsal, step: Step, error: Exception) -> str:
    """What ours say; of a mistake of ours only its kind, since its text may be anything."""
    if isinstance(error, BackproofError):
        return error.fact
    folder = rehearsal.around.outputs
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file: Path = folder / f"{rehearsal.test}-{step.name.replace(' ', '-')}.txt"
    file.touch(0o600)
    file.write_text(traceback.format_exc())
    rehearsal.around.say(f"A mistake of Backproof: {file} has where it was made. Please report it.")
    return f"a mistake of Backproof: {type(error).__name__}"


def _tear_down(rehearsal: Rehearsal) -> None:
    """The application first, then the copy it ran on, then the folder; what can't be removed is told."""
    with rehearsal.watch.phase("tear down"):
        for part in (rehearsal.running, rehearsal.open):
            try:
                part.close()
            except Exception as error:
                rehearsal.left.append(error.fact if isinstance(error, BackproofError) else type(error).__name__)
