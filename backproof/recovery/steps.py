"""What a recovery does, step by step. Each is safe to begin again: it looks at what is there, not at what should be.

A step gives the facts that its ``done`` entry holds. What it must know to be taken up again it writes into its
``begun`` entry, before it changes anything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from backproof.alarms import Message, moment
from backproof.archive.reader import ArchiveReader
from backproof.errors import BackproofError, NotFound, Obstructed, Permanent, RestoreFailed, StoreUnavailable
from backproof.operations import checks
from backproof.operations.good_copy import from_a_good_copy
from backproof.operations.restore import filled, require
from backproof.records import Exchange, Obstacle
from backproof.recovery.context import Recovery
from backproof.recovery.entries import Facts
from backproof.recovery.inspecting import inspect
from backproof.recovery.sealing import wait_for_backups
from backproof.words import size

Work = Callable[[Recovery], Facts]
Idle = Callable[[Recovery], str]


@dataclass(frozen=True)
class Step:
    """One step."""

    name: str
    title: str
    work: Work
    plan: Work | None = None
    """What its ``begun`` entry holds."""
    live: bool = False
    """From here on the live database, or what lives on it, is changed: a failure takes all of it back."""
    settled: bool = False
    """The recovery has succeeded by then: a failure is told, and takes nothing back."""
    tries: int = 1
    """How often it is begun when what stands in the way may pass."""
    idle: Idle = lambda _: ""
    """Why it has nothing to do; empty: it has."""

    def shown(self, recovery: Recovery) -> str:
        """What it will do, for whoever watches."""
        why = self.idle(recovery)
        return f"{self.title}: nothing to do, since {why}" if why else self.title


def check(recovery: Recovery) -> Facts:
    """Find a copy that is whole: digest, signature, key, every member."""

    def verified(archive: ArchiveReader, place: str) -> str:
        archive.verify_members()
        return place

    request = recovery.request
    refused: list[str] = []
    for store in request.stores:
        try:
            place, passed_over = from_a_good_copy(recovery.fleet, request.plan, request.backup, store, verified)
        except (Permanent, StoreUnavailable) as error:
            refused.append(f"{store}: {error.fact}")
            last: BackproofError = error
        else:
            manifest = recovery.manifest()
            return {
                "store": place,
                "stored sha256": manifest.stored_sha256,
                "members": len(manifest.members),
                "stored bytes": manifest.stored_bytes,
                "passed over": [*refused, *passed_over],
            }
    raise type(last)(f"no copy of {request.backup} is good: {'; '.join(refused)}", last.remedy)


def prepare(recovery: Recovery) -> Facts:
    """What the server lacks, and what of the live database stands in the way: refused before anything is changed."""
    request, engine, manifest = recovery.request, recovery.engine, recovery.manifest()
    if request.mode != "swap":
        wait_for_backups(recovery)  # here, since the application stands still by the time of the safety backup
    lacking = engine.lacks(recovery.beside, manifest)
    require(lacking, request.create_missing_roles)
    if request.create_missing_roles:
        engine.provide(recovery.beside, manifest, lacking)
    accepted = unobstructed(recovery, _too_little_room(recovery))
    return {"accepted": accepted, "created": [each.name for each in lacking if each.kind == "role"]}


def _too_little_room(recovery: Recovery) -> Sequence[Obstacle]:
    """What is restored beside would fill the disk that the live database writes to."""
    if recovery.request.mode != "swap":
        return ()
    manifest = recovery.manifest()
    host = recovery.engine.host(recovery.live, manifest)
    needed = manifest.database.live_bytes + host.log_bytes
    if host.free_bytes is None or host.free_bytes >= needed:
        return ()
    what = f"{size(host.free_bytes)} are free on the server's disk, and {size(needed)} are needed beside the live one"
    return (Obstacle(kind="lack of", name="space", what=what, remedy="Make room there.", acceptable=True),)


def unobstructed(recovery: Recovery, also: Sequence[Obstacle] = ()) -> list[JsonValue]:
    """What was accepted of what stands in the way; ``also``, of what is no engine's to know.

    Raises:
        Obstructed: something else does; each is named, with what to do.
    """
    found = [*recovery.engine.obstacles(recovery.live), *also]
    accepted = [each for each in found if each.acceptable and each.name in recovery.request.accepted]
    if left := [each for each in found if each not in accepted]:
        acceptable = " ".join(f"--accept {each.name!r}" for each in left if each.acceptable)
        raise Obstructed(
            "; ".join(f"{each.kind} {each.name}: {each.what.rstrip('.')}" for each in left),
            " ".join(dict.fromkeys(each.remedy for each in left)) + (f" ({acceptable})" if acceptable else ""),
        )
    return [f"{each.kind} {each.name}: {each.what}" for each in accepted]


def told_nobody(recovery: Recovery) -> str:
    """That a plan names nobody to be told; empty where it does."""
    fleet = recovery.fleet
    named = fleet.plan(recovery.plan).notify.failure or fleet.spec.notify.failure
    return "" if named else "the plan names no one in notify.failure"


def lacking(*settings: str) -> Idle:
    """That a plan's application has none of these settings; empty where it has one."""
    return lambda recovery: recovery.application.lacks(*settings)


def notify(recovery: Recovery) -> Facts:
    """Tell the people of the plan that its database is about to be replaced."""
    request = recovery.request
    told = recovery.around.tell(
        Message(
            f"{request.plan}: a recovery has begun",
            f"Plan: {request.plan}\nWhat: {request.live} is being replaced by {request.backup}\n"
            f"Since: {moment(recovery.stamp())}\nWhy: {request.reason}\nBy: {request.by}\n"
            f"What to do: Tell users that what is written from now on may be lost. Id: {recovery.journal.recovery}",
        )
    )
    return {"told": list(told) or "nobody: the plan names no one in notify.failure"}


def restore(recovery: Recovery) -> Facts:
    """Into a new database; one that an earlier attempt has left goes first. It is ours: its name tells."""
    engine, archive, target = recovery.engine, recovery.archive(), recovery.beside
    engine.drop(target)
    with filled(engine, target, archive.manifest):
        left_out = engine.restore(
            archive,
            target,
            recovery.around.jobs or 1,
            progress=recovery.around.progress,
            accept_mentions=recovery.request.accept_mentions,
        )
        not_applied = engine.apply_globals(target, archive.manifest)
    return {
        "database": target.database,
        "left out": [*left_out, *not_applied],
        "not applied": list(not_applied),
        "plain bytes": archive.manifest.plain_bytes,
    }


def nobody_there(recovery: Recovery) -> Facts:
    """Where there was no live database, one that somebody has made since is theirs.

    Raises:
        Obstructed: there is one.
    """
    request = recovery.request
    if request.lost and recovery.engine.exists(recovery.live):
        raise Obstructed(
            f"there was no database {request.live} when {recovery.journal.recovery} began, and there is one now",
            "Find out whose it is. To set it aside, begin another recovery.",
        )
    return {}


def inspection(recovery: Recovery) -> Facts:
    """The inventory, the rows, the plan's checks, the application's commands; on the restored database."""
    engine, archive, target = recovery.engine, recovery.archive(), recovery.beside
    found = inspect(recovery.fleet, engine, target, archive)
    asked = recovery.fleet.plan(recovery.plan).checks
    results = checks.run(engine.sqlalchemy_url(target), asked, archive.manifest.taken_at)
    if broken := [f"{each.name}: found {each.found}, expected {each.expect}" for each in results if not each.passed]:
        raise RestoreFailed(f"checks of the plan fail: {'; '.join(broken)}", "Recover another backup.")
    return {
        **found,
        "checks": [f"{each.name}: {each.found}" for each in results] or "not run: the plan has none",
        **recovery.application.commands(target),
    }


def maintenance_on(recovery: Recovery) -> Facts:
    """From here on nobody writes."""
    return recovery.application.maintenance_on()


def maintenance_off(recovery: Recovery) -> Facts:
    """The application is the users' again."""
    return recovery.application.maintenance_off()


def plan_exchange(recovery: Recovery) -> Facts:
    """What the exchange has to know, also after a crash."""
    nobody_there(recovery)
    unobstructed(recovery)
    request = recovery.request
    planned = recovery.engine.plan_exchange(recovery.live, request.beside, request.aside, recovery.archive())
    return planned.model_dump(mode="json")


def exchange(recovery: Recovery) -> Facts:
    """The restored database takes the live one's place, or an earlier attempt is finished."""
    planned = planned_exchange(recovery)
    recovery.engine.exchange(recovery.live, planned)
    return {"set aside": planned.outgoing if planned.had_live else None}


def planned_exchange(recovery: Recovery) -> Exchange:
    """As the journal has it.

    Raises:
        NotFound: no exchange was begun.
    """
    facts = recovery.journal.facts("exchange", "begun")
    if not facts:
        raise NotFound(f"{recovery.journal.recovery} has exchanged nothing", "There is nothing to bring back.")
    return Exchange.model_validate(facts)


def drop(recovery: Recovery) -> Facts:
    """In place, the live database goes before the backup comes."""
    recovery.engine.drop(recovery.live)
    return {"dropped": recovery.live.database}


def trial(recovery: Recovery) -> Facts:
    """The application's own tests, and its health."""
    return {**recovery.application.tests(), **recovery.application.healthy()}


def watch(recovery: Recovery) -> Facts:
    """For as long as the plan says."""
    return recovery.application.watch()


Group = Sequence[Step]
"""Steps that go side by side."""

CHECK = Step("check", "check the copy", check, tries=3)
PREPARE = Step("prepare", "look what stands in the way", prepare, tries=3)
NOTIFY = Step("notify", "tell the team", notify, idle=told_nobody)
ON = Step("maintenance-on", "maintenance on", maintenance_on, live=True, idle=lacking("maintenance_on"))
TRIAL = Step("trial", "try the application", trial, live=True, idle=lacking("tests", "health_url"))
OFF = Step("maintenance-off", "maintenance off", maintenance_off, live=True, idle=lacking("maintenance_off"))
WATCH = Step("watch", "watch the application", watch, live=True, idle=lacking("watch"))
