"""Restore: into a new database; nothing live is touched."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from backproof import catalog
from backproof.archive.reader import ArchiveReader
from backproof.engines import Engine, Progress, no_progress
from backproof.errors import BackproofError, ConfigurationError, Permanent
from backproof.findings import failed, missing, ok, warning
from backproof.fleet import Fleet
from backproof.operations.clock import Now, Stopwatch, utc_now
from backproof.operations.good_copy import from_a_good_copy
from backproof.records import Finding, Lack, Manifest, Record, Target, Timing


class Restored(Record):
    """One finished restore."""

    plan: str
    backup: str
    store: str
    database: str
    tables: tuple[str, ...]
    rows: int
    left_out: tuple[str, ...]
    timings: tuple[Timing, ...]
    passed_over: tuple[str, ...] = ()
    """Copies that were not good, and stores that could not be asked, a sentence each."""


def destination(fleet: Fleet, plan: str, into: str) -> Target:
    """The new database on the plan's server, reached by the admin where the fleet names one.

    Raises:
        ConfigurationError: it is the plan's live database.
    """
    live = fleet.target(plan)
    if not into.strip() or "\0" in into:
        raise ConfigurationError("the new database has no name", "Name it: --into shop_restored.")
    if into == live.database:
        raise ConfigurationError(
            f"{into} is the live database of plan {plan}",
            "A restore goes into a new database: choose another name. Replacing a live database is a recovery.",
        )
    return fleet.restorer(plan).to(into)


def lacks(fleet: Fleet, plan: str, backup: str, into: str, store: str | None = None) -> list[Lack]:
    """What the server lacks for this backup; changes nothing."""
    manifest, _ = catalog.manifest(fleet, plan, backup, store)
    return fleet.engine(plan).lacks(destination(fleet, plan, into), manifest)


def readiness(fleet: Fleet, plan: str, backup: str = "latest") -> list[Finding]:
    """Whether a backup could be restored on the plan's server now: that a copy opens, and what the server lacks.

    Changes nothing, and reads no more of the archive than its first member.

    Raises:
        NotFound: there is no such backup.
        BackproofError: no store, or not the server, can be reached.
    """
    manifest, _ = catalog.manifest(fleet, plan, backup)

    def opened(archive: ArchiveReader, place: str) -> Finding:
        archive.read(archive.manifest.members[0])
        return ok("archive", f"{archive.manifest.id} opens, from {place}")

    try:
        good, passed_over = from_a_good_copy(fleet, plan, manifest.id, None, opened)
        found = [good, *(warning("archive", each, "`backproof verify` it, and replace it.") for each in passed_over)]
    except Permanent as error:
        found = [failed("archive", error)]
    there = destination(fleet, plan, f"{fleet.target(plan).database}_restored")
    missing_there = fleet.engine(plan).lacks(there, manifest)
    if not any(lack.refuses for lack in missing_there):
        found.append(ok("server", f"has all that {manifest.id} needs"))
    return [*found, *map(_lacking, missing_there)]


def _lacking(lack: Lack) -> Finding:
    worded = missing if lack.refuses else warning
    return worded(lack.kind, f"the server lacks {lack.name}", lack.remedy)


def restore(
    fleet: Fleet,
    plan: str,
    backup: str,
    into: str,
    store: str | None = None,
    tables: Sequence[str] | None = None,
    jobs: int | None = None,
    create_missing_roles: bool = False,
    accept_mentions: bool = False,
    progress: Progress = no_progress,
    now: Now = utc_now,
) -> Restored:
    """Bring a backup, or some tables of it, into a new database of the plan's server.

    Args:
        fleet: where the plan is found.
        plan: its name.
        backup: an id, ``latest`` or ``latest-proven``.
        into: the database to make; an empty one that exists is used.
        store: the copy to read; unless said the nearest, and the next where that turns out not to be good.
        tables: just these, reading just their bytes.
        jobs: connections; the number of processors unless said.
        create_missing_roles: make the roles the backup needs, without login.
        accept_mentions: restore also what names the live database in SQL that it puts together when it runs.
        progress: told plain bytes as they are restored.
        now: the wall clock.

    Raises:
        AlreadyExists: ``into`` exists and is not empty.
        Permanent: the server lacks roles, extensions or tablespaces; they are named, and nothing was made.
        WrongKey, Damaged: the copy can't be opened, or is not what was sealed; no database was made, or with ``tables``
            it was removed again.
    """
    target = destination(fleet, plan, into)

    def use(archive: ArchiveReader, place: str) -> Restored:
        return _from(archive, place, fleet, target, tables, jobs, create_missing_roles, accept_mentions, progress, now)

    restored, passed_over = from_a_good_copy(fleet, plan, backup, store, use)
    return restored.model_copy(update={"passed_over": passed_over})


def _from(
    archive: ArchiveReader,
    store: str,
    fleet: Fleet,
    target: Target,
    tables: Sequence[str] | None,
    jobs: int | None,
    create_missing_roles: bool,
    accept_mentions: bool,
    progress: Progress,
    now: Now,
) -> Restored:
    manifest = archive.manifest
    engine = fleet.engine(manifest.plan)
    watch = Stopwatch(now)
    with watch.phase("check"):
        chosen = _checked(engine, archive, tables)
        lacking = engine.lacks(target, manifest)
        require(lacking, create_missing_roles)
    with ExitStack() as stack:
        with watch.phase("create"):
            if create_missing_roles:
                engine.provide(target, manifest, lacking)
            stack.enter_context(filled(engine, target, manifest))
        with watch.phase("restore", lambda: _plain_bytes(manifest, chosen)):
            only = None if tables is None else chosen
            left_out = engine.restore(
                archive, target, jobs or os.cpu_count() or 1, only, progress=progress, accept_mentions=accept_mentions
            )
            if tables is None:
                left_out += engine.apply_globals(target, manifest)
    return Restored(
        plan=manifest.plan,
        backup=manifest.id,
        store=store,
        database=target.database,
        tables=chosen,
        rows=sum(table.rows for table in manifest.tables if table.name in chosen),
        left_out=tuple(left_out),
        timings=watch.timings,
    )


def _checked(engine: Engine, archive: ArchiveReader, tables: Sequence[str] | None) -> tuple[str, ...]:
    """The tables that will come, once the archive is known to open and, where all of it is wanted, to be whole."""
    archive.read(archive.manifest.members[0])
    if tables is not None:
        return engine.resolve(archive, tables)
    archive.verify()
    return tuple(table.name for table in archive.manifest.tables)


@contextmanager
def filled(engine: Engine, target: Target, manifest: Manifest) -> Iterator[None]:
    """Made here, or there and empty; what was made here goes again when the restore into it fails.

    While it is filled, and where removing it fails too, it says of itself that it is not whole.
    """
    made = engine.create(target, manifest)
    try:
        with engine.unfinished(target, manifest):
            yield
    except BaseException:
        if made:
            with suppress(BackproofError):  # such as of a server that is gone: what came first is told
                engine.drop(target)
        raise


def require(lacking: Sequence[Lack], create_missing_roles: bool) -> None:
    """Refuse a restore for what the server lacks.

    Raises:
        Permanent: names it, with what to do.
    """
    refusing = [lack for lack in lacking if lack.refuses and not (create_missing_roles and lack.kind == "role")]
    if refusing:
        raise Permanent(
            "the server lacks " + ", ".join(f"{lack.kind} {lack.name}" for lack in refusing),
            " ".join(dict.fromkeys(lack.remedy for lack in refusing)),
        )


def _plain_bytes(manifest: Manifest, tables: Sequence[str]) -> int:
    wanted = {None, *tables}
    return sum(member.plain_bytes for member in manifest.members if member.table in wanted)
