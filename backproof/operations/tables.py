"""One table of a backup against the live one: what differs, and the missing rows put back."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from backproof.archive.reader import ArchiveReader
from backproof.engines import Beside
from backproof.errors import AlreadyExists, ConfigurationError, NotFound
from backproof.fleet import Fleet
from backproof.operations import parquet
from backproof.operations.clock import Now, Stopwatch, utc_now
from backproof.operations.export import refused
from backproof.operations.good_copy import from_a_good_copy
from backproof.records import PutBack, Record, RowCounts, Target, Timing

R = TypeVar("R")


class TableDiff(Record):
    """How a live table differs from a backup's."""

    plan: str
    backup: str
    store: str
    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    """What was compared."""
    rows: RowCounts
    path: str | None
    """The file that has the rows that differ."""
    left_out: tuple[str, ...]
    """What was not compared, a sentence each."""
    timings: tuple[Timing, ...]
    passed_over: tuple[str, ...] = ()
    """Copies that were not good, and stores that could not be asked, a sentence each."""


class Salvaged(Record):
    """Missing rows that were put back."""

    plan: str
    backup: str
    store: str
    table: str
    key: tuple[str, ...]
    dry_run: bool
    """Whether all of it was rolled back."""
    tables: tuple[PutBack, ...]
    """The table first, then those whose rows it needed."""
    left_out: tuple[str, ...]
    """Columns that were not put back, a sentence each."""
    timings: tuple[Timing, ...]
    passed_over: tuple[str, ...] = ()


def diff(
    fleet: Fleet,
    plan: str,
    backup: str,
    table: str,
    key: Sequence[str] = (),
    to: Path | None = None,
    store: str | None = None,
    jobs: int | None = None,
    now: Now = utc_now,
) -> TableDiff:
    """Count the rows that are missing in a live table, changed, and new there; changes nothing.

    Args:
        fleet: where the plan is found.
        plan: its name.
        backup: an id, ``latest`` or ``latest-proven``.
        table: as a person names it.
        key: columns that say which rows are the same one; the primary key unless said.
        to: a new file for the rows themselves, mode 0600; ends in ``.csv`` or ``.parquet``.
        store: the copy to read; unless said the nearest that is good.
        jobs: connections to load with.
        now: the wall clock.

    Raises:
        NotFound, ConfigurationError: there is no such table, or no key; or the file is of another kind.
        MissingTool: the library for Parquet is not installed.
        AlreadyExists: the file is there.
    """
    if to is not None:
        _check(to)

    def use(beside: Beside, archive: ArchiveReader, place: str, watch: Stopwatch) -> TableDiff:
        with watch.phase("compare"):
            counts = beside.counts()
            if to is not None:
                _write(to, beside)
        return TableDiff(
            plan=plan,
            backup=archive.manifest.id,
            store=place,
            table=beside.table,
            key=beside.key,
            columns=beside.columns,
            rows=counts,
            path=None if to is None else str(to),
            left_out=beside.left_out,
            timings=watch.timings,
        )

    found, passed_over = _beside(fleet, plan, backup, table, key, store, jobs, now, use)
    return found.model_copy(update={"passed_over": passed_over})


def salvage(
    fleet: Fleet,
    plan: str,
    backup: str,
    table: str,
    key: Sequence[str] = (),
    fire_triggers: bool = False,
    dry_run: bool = False,
    store: str | None = None,
    jobs: int | None = None,
    now: Now = utc_now,
) -> Salvaged:
    """Put a table's missing rows back, with the rows they need; no live row is changed.

    Args:
        fire_triggers: let the tables' triggers do what they do when rows are inserted.
        dry_run: roll it back.

    Raises:
        NotFound, ConfigurationError, Obstructed, RestoreFailed: nothing was changed.
    """

    def use(beside: Beside, archive: ArchiveReader, place: str, watch: Stopwatch) -> Salvaged:
        with watch.phase("put back"):
            tables = beside.put_back(fire_triggers, dry_run)
        return Salvaged(
            plan=plan,
            backup=archive.manifest.id,
            store=place,
            table=beside.table,
            key=beside.key,
            dry_run=dry_run,
            tables=tuple(tables),
            left_out=beside.left_out,
            timings=watch.timings,
        )

    found, passed_over = _beside(fleet, plan, backup, table, key, store, jobs, now, use)
    return found.model_copy(update={"passed_over": passed_over})


def _beside(
    fleet: Fleet,
    plan: str,
    backup: str,
    table: str,
    key: Sequence[str],
    store: str | None,
    jobs: int | None,
    now: Now,
    work: Callable[[Beside, ArchiveReader, str, Stopwatch], R],
) -> tuple[R, tuple[str, ...]]:
    engine, watch = fleet.engine(plan), Stopwatch(now)

    def use(archive: ArchiveReader, place: str) -> R:
        live = fleet.restorer(plan)
        with room(fleet, plan, "tables") as made, ExitStack() as stack:
            with watch.phase("read the backup"):
                held = engine.beside(archive, live, made, table, key, jobs or os.cpu_count() or 1)
                beside = stack.enter_context(held)
            return work(beside, archive, place, watch)

    return from_a_good_copy(fleet, plan, backup, store, use)


@contextmanager
def room(fleet: Fleet, plan: str, what: str) -> Iterator[Target]:
    """The name of a temporary database on the plan's own server, gone afterwards; one at a time.

    Of this plan of this fleet and no other's: what a killed run left is dropped before the next.
    """
    live, engine = fleet.restorer(plan), fleet.engine(plan)
    mark = hashlib.sha256(f"{fleet.spec.fleet} {plan} {live}".encode()).hexdigest()[:10]
    target = live.to(f"backproof_{what}_{plan.replace('-', '_')[:30]}_{mark}")
    with engine.lock(live, f"{what} {plan}"):
        engine.drop(target)
        try:
            yield target
        finally:
            engine.drop(target)


def _check(to: Path) -> None:
    if to.suffix not in (".csv", parquet.SUFFIX):
        raise ConfigurationError(
            f"{to} ends neither in .csv nor in {parquet.SUFFIX}", "Rows are written as CSV or Parquet, by that name."
        )
    if to.suffix == parquet.SUFFIX:
        parquet.require()
    if to.exists() or to.is_symlink():
        raise AlreadyExists(f"{to} exists", "Choose another file; no file is ever overwritten.")
    if not to.parent.is_dir():
        raise NotFound(f"there is no folder {to.parent}", "Make it first.")


def _write(to: Path, beside: Beside) -> None:
    """Whole or not at all, for its owner alone."""
    partial = to.with_name(f".{to.name}.{os.getpid()}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            if to.suffix == parquet.SUFFIX:
                parquet.write(beside.columns, beside.write_rows, file)
            else:
                beside.write_rows(file)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, to)
    except OSError as error:
        raise refused(to, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
