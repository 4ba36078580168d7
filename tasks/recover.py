"""Recover, as tasks: what would be done, the beginning of it, and a task for each of its steps."""

import logging
import os
from dataclasses import replace
from datetime import UTC, datetime

from backproof.alarms import Message
from backproof.fleet import Fleet
from backproof.records import Record
from backproof.recovery.context import Mode, Recovery, Surroundings, state_folder, surroundings
from backproof.recovery.opening import Proposal, begin, propose
from backproof.recovery.run import perform
from backproof.recovery.steps import Step
from blocks import load_fleet
from blocks.notifications import tell
from tasks import stopping
from tasks.progress import progress
from tasks.steps import carry_out, log, step


class Proposed(Record):
    """What a recovery would do."""

    plan: str
    backup: str
    taken_at: datetime
    proven: bool
    mode: Mode
    tables: tuple[str, ...]
    """Just these; empty: all of them."""
    database: str
    lost: bool
    unseen: bool
    """Whether it is there, the account may not see."""
    loses_seconds: float
    expected_seconds: float | None
    plain_bytes: int
    stores: tuple[str, ...]
    obstacles: tuple[str, ...]
    passed_over: tuple[str, ...]
    warnings: tuple[str, ...]


@step("propose a recovery of {plan}")
def proposed(plan: str, backup: str, before: datetime | None, mode: Mode, tables: tuple[str, ...] = ()) -> Proposed:
    """Choose a backup, and say what recovering it would mean. Changes nothing."""
    found = _propose(load_fleet(plan), plan, backup, before, mode)
    log(f"{found.backup.id} would replace {found.live.database}")
    return Proposed(
        plan=plan,
        backup=found.backup.id,
        taken_at=found.backup.taken_at,
        proven=found.backup.proven_at is not None,
        mode=mode,
        tables=tables,
        database=found.live.database,
        lost=found.lost,
        unseen=found.unseen,
        loses_seconds=found.loses.total_seconds(),
        expected_seconds=found.expected.total_seconds() if found.expected else None,
        plain_bytes=found.manifest.plain_bytes,
        stores=found.stores,
        # They stand in the way of a database that is replaced.
        obstacles=()
        if tables
        else (
            *(f"{each.kind} {each.name} is missing on the server. {each.remedy}" for each in found.lacking),
            *(f"{each.kind} {each.name}: {each.what} {each.remedy}" for each in found.obstacles),
        ),
        passed_over=found.passed_over,
        warnings=found.warnings,
    )


def opened(found: Proposed, reason: str, by: str, accepted: tuple[str, ...], accept_orphans: bool) -> Recovery:
    """A recovery whose beginning is written down, of what was proposed."""
    plan, fleet = found.plan, load_fleet(found.plan)
    return begin(
        fleet,
        _propose(fleet, plan, found.backup, None, found.mode),
        _around(fleet, plan),
        reason=reason,
        by=by,
        accepted=accepted,
        tables=found.tables,
        accept_orphans=accept_orphans,
    )


def as_task(recovery: Recovery, one: Step) -> None:
    """Carry out one step of a recovery, as a task of its own. It is tried again inside, by what its journal says."""

    def carried_out() -> None:
        if one.name != "restore":
            perform(recovery, one)
            return
        plan = recovery.plan
        ends = recovery.expected_end
        what = f"restoring {plan}" + (f" (all of it should end about {ends:%H:%M} UTC)" if ends else "")
        with progress(f"{plan}-recovery-restore", what, recovery.manifest().plain_bytes) as reported:
            perform(replace(recovery, around=replace(recovery.around, progress=reported)), one)

    carry_out(one.name, one.shown(recovery), carried_out)


def _propose(fleet: Fleet, plan: str, backup: str, before: datetime | None, mode: Mode) -> Proposal:
    return propose(fleet, plan, datetime.now(UTC), backup, before, mode=mode)


def _around(fleet: Fleet, plan: str) -> Surroundings:
    targets = fleet.plan(plan).notify.failure or fleet.spec.notify.failure

    def told(message: Message) -> tuple[str, ...]:
        refused = {target: tell(fleet.spec, target, message.subject, message.body) for target in targets}
        for target, why in refused.items():
            if why:
                log(f"{target} was not told: {why}", logging.WARNING)
        return tuple(target for target, why in refused.items() if why is None)

    return surroundings(state_folder(os.environ), tell=told, say=log, now=stopping.now, jobs=os.cpu_count() or 1)
