"""Could I recover now? Every part of a recovery looked at, and nothing changed."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from backproof import catalog
from backproof.errors import BackproofError
from backproof.findings import failed, missing, ok, warning
from backproof.fleet import Fleet
from backproof.measures import Expected
from backproof.operations import restore
from backproof.operations.preflight import STORE_SHARE, key_findings, scratch_room
from backproof.records import Backup, Finding, Manifest
from backproof.recovery.choosing import Choice, Wish, choose
from backproof.recovery.context import places
from backproof.recovery.journal import journals
from backproof.recovery.measured import expected
from backproof.recovery.opening import is_there
from backproof.recovery.report import objective
from backproof.selection import moment_ahead, yet_to_come
from backproof.stores import Store
from backproof.words import size

_MORE_ROOM = "Make room there, or use a larger disk."


@dataclass(frozen=True)
class Readiness:
    """What was found."""

    plan: str
    backup: Backup | None
    """What would be recovered; None: there is no proven backup."""
    expected: timedelta | None
    """How long a recovery would take, by what was measured; None: nothing was."""
    objective: timedelta | None
    """How long a recovery may take."""
    findings: tuple[Finding, ...]
    passed_over: tuple[str, ...] = ()
    """Newer backups that would not be taken, and why."""

    @property
    def ready(self) -> bool:
        """Nothing is in the way."""
        return all(finding.status != "failed" for finding in self.findings)


@dataclass(frozen=True)
class _Asked:
    fleet: Fleet
    plan: str
    local: Store
    now: datetime
    wish: Wish
    chosen: Choice
    there: bool | None

    @property
    def backup(self) -> Backup:
        return self.chosen.backup

    @property
    def manifest(self) -> Manifest:
        return self.chosen.manifest


_LATEST = Wish()


def look(fleet: Fleet, plan: str, local: Store, now: datetime, wish: Wish = _LATEST) -> Readiness:
    """Look at all that a recovery needs, of the backup that it would take.

    Reads of the archive no more than its first member, and writes nothing, anywhere.

    Args:
        fleet: where the plan is found.
        plan: its name.
        local: this machine's folder for journals.
        now: aware UTC.
        wish: which backup; the newest proven one unless said.
    """
    listing = catalog.listing(fleet, plan)
    found = [*key_findings(fleet, plan), *_unreachable(listing)]
    server = _server(fleet, plan)
    found += [server] if isinstance(server, Finding) else []
    try:
        chosen = choose(fleet, plan, listing, wish)
    except BackproofError as error:
        return Readiness(plan, None, None, None, (*found, failed("backup", error)))
    asked = _Asked(fleet, plan, local, now, wish, chosen, there=None if isinstance(server, Finding) else server)
    for check in _OFFLINE if isinstance(server, Finding) else _CHECKS:
        try:
            found += check(asked)
        except BackproofError as error:
            found.append(failed(check.__name__.strip("_").replace("_", " "), error))
    takes = expected(fleet, plan, chosen.manifest, now)
    may = objective(chosen.manifest.database.live_bytes, fleet.plan(plan).objectives.rto)
    about = None if takes is None else timedelta(seconds=takes.seconds)
    return Readiness(plan, chosen.backup, about, may, (*found, _time(takes, may)), chosen.selection.passed_over)


def _server(fleet: Fleet, plan: str) -> Finding | bool | None:
    """Whether the server has the live database; None: its account may not see; what was found, where it does not
    answer."""
    try:
        return is_there(fleet.engine(plan), fleet.restorer(plan))
    except BackproofError as error:
        return failed("server", error)


def _unreachable(listing: catalog.Listing) -> list[Finding]:
    """One store that has backups is enough."""
    refused = [failed(f"store {name}", error) for name, error in listing.unreachable]
    return [_as_warning(each) for each in refused] if listing.backups else refused


def _backup(asked: _Asked) -> Iterator[Finding]:
    backup, before = asked.backup, asked.wish.before
    age, rpo = min(before or asked.now, asked.now) - backup.taken_at, asked.fleet.plan(asked.plan).objectives.rpo
    proven = "proven" if backup.proven_at else "NOT PROVEN"
    found = f"{backup.id}, {proven}, {_span(age)} {'before that moment' if before else 'old'}"
    if wrong := yet_to_come(backup, asked.now):
        yield warning("backup", wrong[0], "Ages and moments are judged by that clock.")
    elif age > rpo and not asked.wish.is_by_id:
        yield warning("backup", f"{found}; the plan promises {_span(rpo)}", _older(asked))
    else:
        yield ok("backup", found)
    for each in moment_ahead(before, asked.now):
        yield warning("moment", each, "Give the moment in UTC, or with its offset.")
    yield from (warning("backup", each, "See `backproof list`.") for each in asked.chosen.selection.warnings)


def _older(asked: _Asked) -> str:
    if asked.wish.before:
        return f"What was written in between would not be there; `backproof list {asked.plan}` shows all there are."
    return f"`backproof backup {asked.plan}` takes one now; `backproof status` says why there is no newer one."


def _copies(asked: _Asked) -> Iterator[Finding]:
    whole = {copy.store for copy in asked.backup.copies if copy.archive and copy.manifest}
    lacking = [name for name in asked.fleet.plan(asked.plan).stores if name not in whole]
    if lacking:
        remedy = f"`backproof replicate {asked.plan}` brings what a store lacks."
        yield warning("copies", f"{asked.backup.id} is not in {', '.join(lacking)}", remedy)
    else:
        yield ok("copies", f"in {', '.join(asked.fleet.plan(asked.plan).stores)}")


def _archive(asked: _Asked) -> Iterable[Finding]:
    return restore.readiness(asked.fleet, asked.plan, asked.backup.id)


def _archive_alone(asked: _Asked) -> Iterator[Finding]:
    for store in (copy.store for copy in asked.backup.copies if copy.archive and copy.manifest):
        archive = catalog.open_archive(asked.fleet, asked.manifest, store)
        archive.read(asked.manifest.members[0])
        yield ok("archive", f"{asked.backup.id} opens, from {store}")
        return


def _version(asked: _Asked) -> Iterator[Finding]:
    host = asked.fleet.engine(asked.plan).host(asked.fleet.restorer(asked.plan), asked.manifest)
    if host.series < host.series_of_backup:
        found = f"{host.version}; the backup is of {asked.manifest.database.server_version}, which is later"
        yield missing("version", found, "Restore to a server of at least that version.")
    else:
        yield ok("version", f"{host.version}; the backup is of {asked.manifest.database.server_version}")
    yield from _room(asked, host.free_bytes, host.log_bytes)


def _room(asked: _Asked, free: int | None, log_bytes: int) -> Iterator[Finding]:
    """Beside the live database, until somebody discards what was set aside."""
    copied = asked.manifest.database.live_bytes
    needed = copied + log_bytes
    takes = f"{size(needed)}: {size(copied)} for the database beside the live one, {size(log_bytes)} for logs"
    if free is None:
        yield ok("space on the server", f"not known from here; a recovery needs {takes}")
    elif free < needed:
        yield missing("space on the server", f"{size(free)} free, a recovery needs {takes}", _MORE_ROOM)
    else:
        yield ok("space on the server", f"{size(free)} free, a recovery needs {takes}")


def _live(asked: _Asked) -> Iterator[Finding]:
    """What a safety backup of the live database needs, and what keeps it from being replaced."""
    engine, live = asked.fleet.engine(asked.plan), asked.fleet.restorer(asked.plan)
    if asked.there is None:
        found = f"{live.user} may not see whether there is a {live.database}"
        yield missing("database", found, "Give it the privileges that are missing.")
    elif not asked.there:
        found = f"there is none called {live.database} on {live.host}:{live.port}; a recovery makes it"
        yield warning("database", found, "If it should be there, see that the fleet names the right server.")
    else:
        yield from engine.findings(asked.fleet.target(asked.plan), asked.fleet.tool_folders)
    for each in engine.obstacles(live):
        worded_as = warning if each.acceptable else missing
        yield worded_as(each.kind, f"{each.name}: {each.what.rstrip('.')}", each.remedy)


def _safety_copy(asked: _Asked) -> Iterator[Finding]:
    """One store with room is enough for the safety backup that is sealed before anything is replaced."""
    needed = int(asked.manifest.stored_bytes * STORE_SHARE)
    findings = [_free(store, needed) for store in asked.fleet.stores(asked.plan)]
    room = any(finding.status == "ok" for finding in findings)
    yield from (_as_warning(each) if room else each for each in findings)


def _free(store: Store, needed: int) -> Finding:
    check = f"room in {store.name}"
    try:
        free = store.free_bytes()
    except BackproofError as error:
        return failed(check, error)
    if free is not None and free < needed:
        found = f"{size(free)} free at {store.location()}, a safety backup needs {size(needed)}"
        return missing(check, found, _MORE_ROOM)
    return ok(check, f"no limit known at {store.location()}" if free is None else f"{size(free)} free")


def _scratch(asked: _Asked) -> Iterable[Finding]:
    """The safety backup is proven before what was set aside may go."""
    return scratch_room(asked.fleet, asked.plan, asked.manifest.database.live_bytes)


def _under_way(asked: _Asked) -> Iterator[Finding]:
    known, doubts = journals(
        places(asked.fleet, asked.plan, asked.local), asked.fleet.signer, asked.plan, lambda: asked.now
    )
    yield from (
        warning("recoveries", doubt, "A recovery that was begun there may not be known here.") for doubt in doubts
    )
    for each in known:
        if each.closed is None:
            name = each.recovery
            remedy = f"backproof recover --resume {name}, or backproof rollback {name} --reason '…'."
            yield missing("recoveries", f"{name} has not ended", remedy)


def _application(asked: _Asked) -> Iterator[Finding]:
    plan = asked.fleet.plan(asked.plan)
    if plan.application is None or plan.application.maintenance_on is None:
        found = "the plan names no application.maintenance_on: it may write while its database is replaced"
        yield warning("application", found, "Name the command that stops it from writing.")
    else:
        yield ok("application", f"`{' '.join(plan.application.maintenance_on)}` stops it from writing")
    if not (plan.notify.failure or asked.fleet.spec.notify.failure):
        yield warning("people", "nobody is told of a recovery", "Name them in notify.failure.")


def _time(takes: Expected | None, may: timedelta) -> Finding:
    if takes is None:
        return warning("time", "not known: nobody has measured a restoration", "`backproof verify` measures one.")
    found = f"about {_seconds(takes.seconds)}"
    if takes.seconds_low is not None and takes.seconds_high is not None:
        found += f", nine times of ten {_seconds(takes.seconds_low)} to {_seconds(takes.seconds_high)}"
    found += f"; the objective is {_span(may)}"
    if takes.seconds > may.total_seconds():
        return warning("time", found, "Use a faster server, restore fewer bytes, or promise less (objectives.rto).")
    return ok("time", found)


def _as_warning(finding: Finding) -> Finding:
    return finding.model_copy(update={"status": "warning"}) if finding.status == "failed" else finding


def _seconds(seconds: float) -> str:
    return _span(timedelta(seconds=seconds))


def _span(span: timedelta) -> str:
    """``45 s``, ``12 min``, ``5 h``, ``3 days``: for judging, not for measuring."""
    seconds = round(span.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 2 * 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 48 * 3600 else f"{seconds // 86400} days"


_Check = Callable[[_Asked], Iterable[Finding]]

_CHECKS: tuple[_Check, ...] = (
    _backup,
    _copies,
    _archive,
    _version,
    _live,
    _safety_copy,
    _scratch,
    _under_way,
    _application,
)
_OFFLINE: tuple[_Check, ...] = (_backup, _copies, _archive_alone, _safety_copy, _scratch, _under_way, _application)
"""What can be looked at while the server does not answer."""
