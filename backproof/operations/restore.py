"""Restore: into a new database; nothing live is touched."""

import os
from collections.abc import Sequence

from backproof import catalog
from backproof.engines import Progress, no_progress
from backproof.errors import ConfigurationError, Permanent
from backproof.fleet import Fleet
from backproof.operations.clock import Now, Stopwatch, utc_now
from backproof.records import Lack, Manifest, Record, Target, Timing


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


def destination(fleet: Fleet, plan: str, into: str) -> Target:
    """The new database on the plan's server, reached by the admin where the fleet names one.

    Raises:
        ConfigurationError: it is the plan's live database.
    """
    live = fleet.target(plan)
    if into == live.database:
        raise ConfigurationError(
            f"{into} is the live database of plan {plan}",
            "A restore goes into a new database: choose another name. Replacing a live database is a recovery.",
        )
    try:
        return fleet.target(plan, admin=True).to(into)
    except ConfigurationError:
        return live.to(into)


def lacks(fleet: Fleet, plan: str, backup: str, into: str, store: str | None = None) -> list[Lack]:
    """What the server lacks for this backup; changes nothing."""
    manifest, _ = catalog.manifest(fleet, plan, backup, store)
    return fleet.engine(plan).lacks(destination(fleet, plan, into), manifest)


def restore(
    fleet: Fleet,
    plan: str,
    backup: str,
    into: str,
    store: str | None = None,
    tables: Sequence[str] | None = None,
    jobs: int | None = None,
    create_missing_roles: bool = False,
    progress: Progress = no_progress,
    now: Now = utc_now,
) -> Restored:
    """Bring a backup, or some tables of it, into a new database of the plan's server.

    Args:
        fleet: where the plan is found.
        plan: its name.
        backup: an id, ``latest`` or ``latest-proven``.
        into: the database to make; an empty one that exists is used.
        store: the copy to read; the nearest good one unless said.
        tables: just these, reading just their bytes.
        jobs: connections; the number of processors unless said.
        create_missing_roles: make the roles the backup needs, without login.
        progress: told plain bytes as they are restored.
        now: the wall clock.

    Raises:
        AlreadyExists: ``into`` exists and is not empty.
        Permanent: the server lacks roles, extensions or tablespaces; they are named, and nothing was made.
        WrongKey, Damaged: the copy can't be opened, or is not what was sealed; no database was made, or with ``tables``
            it was removed again.
    """
    manifest, store = catalog.manifest(fleet, plan, backup, store)
    engine, target = fleet.engine(plan), destination(fleet, plan, into)
    archive = catalog.open_archive(fleet, manifest, store)
    watch = Stopwatch(now)
    with watch.phase("check"):
        archive.read(manifest.members[0])  # opens it: a wrong key shows at once
        if tables is None:
            archive.verify()  # what was changed anywhere shows before anything is made
        chosen = tuple(table.name for table in manifest.tables) if tables is None else engine.resolve(archive, tables)
        lacking = engine.lacks(target, manifest)
        _require(lacking, create_missing_roles)
    with watch.phase("create"):
        if create_missing_roles:
            engine.provide(target, manifest, lacking)
        made = engine.create(target, manifest)
    with watch.phase("restore", lambda: _plain_bytes(manifest, chosen)):
        try:
            only = None if tables is None else chosen
            left_out = engine.restore(archive, target, jobs or os.cpu_count() or 1, only, progress=progress)
            if tables is None:
                left_out += engine.apply_globals(target, manifest)
        except BaseException:
            if made:
                engine.drop(target)
            raise
    return Restored(
        plan=plan,
        backup=manifest.id,
        store=store,
        database=into,
        tables=chosen,
        rows=sum(table.rows for table in manifest.tables if table.name in chosen),
        left_out=tuple(left_out),
        timings=watch.timings,
    )


def _require(lacking: Sequence[Lack], create_missing_roles: bool) -> None:
    missing = [lack for lack in lacking if not (create_missing_roles and lack.kind == "role")]
    if missing:
        raise Permanent(
            "the server lacks " + ", ".join(f"{lack.kind} {lack.name}" for lack in missing),
            " ".join(dict.fromkeys(lack.remedy for lack in missing)),
        )


def _plain_bytes(manifest: Manifest, tables: Sequence[str]) -> int:
    wanted = {None, *tables}
    return sum(member.plain_bytes for member in manifest.members if member.table in wanted)
