"""What a recovery would do, shown before anything is decided; and its beginning."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from backproof import catalog
from backproof.engines import Engine
from backproof.errors import BackproofError, Busy, ConfigurationError, Hidden, Obstructed
from backproof.fleet import Fleet
from backproof.records import Backup, Lack, Manifest, Obstacle, Target
from backproof.recovery.choosing import Wish, choose
from backproof.recovery.context import Mode, Recovery, Request, Surroundings, places, server_of, sharing
from backproof.recovery.entries import JournalEntry
from backproof.recovery.journal import WHOLE, journals, opened
from backproof.recovery.measured import expected
from backproof.recovery.naming import recovery_id
from backproof.selection import LATEST, moment_ahead, yet_to_come


@dataclass(frozen=True)
class Proposal:
    """What would be recovered, and what that means."""

    plan: str
    backup: Backup
    manifest: Manifest
    stores: tuple[str, ...]
    """Copies to read, the nearest first."""
    mode: Mode
    live: Target
    lost: bool
    """There is no such database on the server."""
    unseen: bool
    """Whether there is one, its account may not see: then it is not taken for lost."""
    loses: timedelta
    """What was written in the time since the backup would not be there; none: by this clock it is yet to be taken."""
    expected: timedelta | None
    """How long the recovery takes, by what was measured; None: nothing was."""
    lacking: tuple[Lack, ...]
    """What the server lacks, and the restore is refused for; roles can be made."""
    obstacles: tuple[Obstacle, ...]
    passed_over: tuple[str, ...]
    warnings: tuple[str, ...]


def propose(
    fleet: Fleet,
    plan: str,
    now: datetime,
    wanted: str = LATEST,
    before: datetime | None = None,
    store: str | None = None,
    mode: Mode = "swap",
) -> Proposal:
    """Choose a backup, and say what recovering it would mean. Changes nothing.

    Args:
        fleet: where the plan is found.
        plan: its name.
        now: aware UTC.
        wanted: ``latest``, which is proven here and may be called ``latest-proven`` too; or an id.
        before: the newest proven one taken before that moment, aware UTC.
        store: read this store's copy and no other's.
        mode: ``swap`` or ``in-place``.

    Raises:
        NotFound: no backup fits; says why.
        ConfigurationError: an id and a moment were both given.
        BackproofError: neither the server nor, for a backup, any store answered.
    """
    wish = Wish(wanted, before, store)
    listing = catalog.listing(fleet, plan)
    chosen = choose(fleet, plan, listing, wish)
    manifest, selected = chosen.manifest, chosen.selection
    engine, live = fleet.engine(plan), fleet.restorer(plan)
    there = is_there(engine, live)
    takes = expected(fleet, plan, manifest, now)
    doubts = [f"store {name} could not be asked: {error.fact}" for name, error in listing.unreachable]
    return Proposal(
        plan=plan,
        backup=selected.backup,
        manifest=manifest,
        stores=chosen.stores,
        mode=mode,
        live=live,
        lost=there is False,
        unseen=there is None,
        loses=max(timedelta(), now - selected.backup.taken_at),
        expected=None if takes is None else timedelta(seconds=takes.seconds),
        lacking=tuple(each for each in engine.lacks(live.to(f"{live.database}_recovered"), manifest) if each.refuses),
        obstacles=tuple(engine.obstacles(live)),
        passed_over=selected.passed_over,
        warnings=(
            *selected.warnings,
            *yet_to_come(selected.backup, now),
            *moment_ahead(before, now),
            *doubts,
            *_warnings(fleet, plan, mode),
        ),
    )


def is_there(engine: Engine, target: Target) -> bool | None:
    """Whether there is such a database; None: the account may not see that."""
    try:
        return engine.exists(target)
    except Hidden:
        return None


def begin(
    fleet: Fleet,
    proposal: Proposal,
    around: Surroundings,
    *,
    reason: str,
    by: str,
    accepted: Sequence[str] = (),
    no_safety_backup: str = "",
    create_missing_roles: bool = False,
    accept_mentions: bool = False,
    **more: Any,
) -> Recovery:
    """Write down that a recovery begins.

    Args:
        fleet: where the plan is found.
        proposal: what is recovered.
        around: what else it needs.
        reason: why, in a person's words.
        by: who asked for it.
        accepted: names of obstacles that may be.
        no_safety_backup: why none is taken of the live database; empty: one is.
        create_missing_roles: make the roles the backup needs, without login.
        accept_mentions: restore also what names the live database in SQL that it puts together when it runs.
        more: what else ``Request`` knows: tables, and how to go about them.

    Raises:
        Obstructed: another recovery of the plan, or of its database, has not ended.
        Busy: another process is at one.
        ConfigurationError: no reason is given.
    """
    if not reason.strip():
        raise ConfigurationError("no reason is given", "Say why: --reason '…'. It stands in the report.")
    if no_safety_backup and not proposal.lost and proposal.mode == "in-place":
        raise ConfigurationError(
            "in place, the live database is dropped, and without a safety backup it is gone",
            "Leave --no-safety-backup out, or swap.",
        )
    asked = Request(
        plan=proposal.plan,
        backup=proposal.backup.id,
        stores=proposal.stores,
        mode=proposal.mode,
        reason=" ".join(reason.split()),
        by=" ".join(by.split()),
        live=proposal.live.database,
        lost=proposal.lost,
        beside="",
        aside="",
        server=server_of(proposal.live),
        accepted=tuple(accepted),
        no_safety_backup=no_safety_backup,
        create_missing_roles=create_missing_roles,
        accept_mentions=accept_mentions,
        expected_seconds=None if proposal.expected is None else round(proposal.expected.total_seconds(), 3),
        **more,
    )
    try:
        with fleet.engine(proposal.plan).recovery_lock(proposal.live, sharing(fleet, proposal.plan)[0]):
            return _begun(fleet, asked, proposal.live, around)
    except Busy:
        _require_alone(fleet, proposal.plan, around)  # where it is known by its name, that is told
        raise


def require_unreadable(fleet: Fleet, proposal: Proposal) -> None:
    """Nothing but a live database that can't be read is a reason to do without a backup of it.

    Raises:
        ConfigurationError: it can be read.
    """
    if proposal.lost:
        return
    engine, live = fleet.engine(proposal.plan), fleet.target(proposal.plan)
    try:
        findings = engine.findings(live, fleet.tool_folders)
    except BackproofError:
        return
    if all(each.status != "failed" for each in findings):
        raise ConfigurationError(
            f"{live.database} can be read, and so be backed up before it is replaced", "Leave --no-safety-backup out."
        )


def _begun(fleet: Fleet, asked: Request, live: Target, around: Surroundings) -> Recovery:
    taken, engine = _require_alone(fleet, asked.plan, around), fleet.engine(asked.plan)
    at = named = around.now()
    while True:  # ids have the grain of a second, and what is there is never taken for what a recovery has made
        stamp = f"{named:%Y%m%d_%H%M%S}"
        request = asked.model_copy(
            update={"beside": _named(asked.live, "recovered", stamp), "aside": _named(asked.live, "before", stamp)}
        )
        if recovery_id(named) not in taken and not any(
            is_there(engine, live.to(name)) for name in (request.beside, request.aside)
        ):
            break
        named += timedelta(seconds=1)
    first = JournalEntry(
        plan=asked.plan,
        recovery=recovery_id(named),
        number=0,
        step=WHOLE,
        what="opened",
        at=at,
        facts=request.model_dump(mode="json"),
    )
    where = places(fleet, asked.plan, around.local)
    return Recovery(fleet, opened(where, fleet.signer, first, around.now), around)


def _require_alone(fleet: Fleet, plan: str, around: Surroundings) -> set[str]:
    """The ids of recoveries of the plan's database, all of which have ended."""
    ids: set[str] = set()
    for each in sharing(fleet, plan):
        known, doubts = journals(places(fleet, each, around.local), fleet.signer, each, around.now)
        for doubt in doubts:
            around.say(f"{doubt}; a recovery that has not ended may not be known here")
        if under_way := [journal for journal in known if journal.closed is None]:
            name = under_way[0].recovery
            raise Obstructed(
                f"{name} of plan {each} has not ended",
                f"Go on with it: backproof recover --resume {name}; or take it back:"
                f" backproof rollback {name} --reason '…'.",
            )
        ids |= {journal.recovery for journal in known}
    return ids


def _warnings(fleet: Fleet, plan: str, mode: Mode) -> list[str]:
    application = fleet.plan(plan).application
    told = []
    if application is None or application.maintenance_on is None:
        told.append("the plan names no application.maintenance_on: the application may write while it is replaced")
    if mode == "in-place":
        told.append("in place, the application has no database while the backup is restored")
    return told


_NAME_BYTES = 63


def _named(live: str, what: str, stamp: str) -> str:
    ending = f"_{what}_{stamp}"
    if len(live.encode()) + len(ending) <= _NAME_BYTES:
        return f"{live}{ending}"
    # Of two long names that begin alike each has its own.
    mark = hashlib.sha256(live.encode()).hexdigest()[:6]
    kept = live.encode()[: _NAME_BYTES - len(ending) - len(mark) - 1].decode(errors="ignore")
    return f"{kept}_{mark}{ending}"
