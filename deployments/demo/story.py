"""What the demo does with its servers: back up, prove, lose a table, bring it back."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from backproof import catalog
from backproof.engines.postgresql.connect import connected
from backproof.errors import Permanent
from backproof.fleet import Fleet, load
from backproof.operations.export import export
from backproof.operations.restore import destination, restore
from backproof.records import Table, Timing
from deployments.cli.wording import size
from deployments.demo.servers import Demo

if TYPE_CHECKING:
    from flows.record import BackupRun

SECOND = "shop-mariadb"
PLAN, LOST, RESCUED = "shop", "public.order_items", "shop_rescued"


@dataclass
class Told:
    """What happened, for the table at the end."""

    backup: str = ""
    outcome: str = ""
    reason: str = ""
    copies: tuple[str, ...] = ()
    stored_bytes: int = 0
    live_bytes: int = 0
    timings: list[Timing] = field(default_factory=list)
    rows: int = 0
    second_act: str | None = None
    """The verdict on MariaDB's backup; None where no server is installed."""


class Narrator:
    """A line per step on stderr, with the seconds it took."""

    def __init__(self, to: IO[str]) -> None:
        self._to = to
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        """One fact."""
        self._print(f"      {text}")

    def _print(self, text: str) -> None:
        print(f"{time.monotonic() - self._begun:6.1f} s  {text}", file=self._to, flush=True)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step of the story."""
        self._print(title)
        yield


def tell(demo: Demo, narrator: Narrator) -> Told:
    """The whole story on running servers.

    Raises:
        BackproofError: a step failed; nothing is claimed then.
    """
    os.environ.update(demo.environment, BACKPROOF_FLEET=str(demo.fleet))
    fleet = Fleet(load(demo.fleet, os.environ))
    told = Told()
    with narrator.step("Back up: preflight, seal, copy to two regions, restore the far copy, dump it again, compare"):
        _back_up(told, narrator.say)
    with narrator.step("Export the second region's copy as a plain file that stock tools read"):
        _export(fleet, demo.fleet.with_name("second-region.sql.gz"), told, narrator.say)
    with narrator.step("Lose a table: DROP TABLE order_items CASCADE"):
        _sql(fleet.target(PLAN), "DROP TABLE order_items CASCADE")
    with narrator.step("Restore just that table from the first region"):
        _rescue(fleet, told, narrator.say)
    if SECOND in fleet.spec.plans:
        with narrator.step("The second act: a shop in MariaDB, backed up, copied and proven in the same way"):
            told.second_act = _second_act(narrator.say)
    return told


def _back_up(told: Told, say: Callable[[str], None]) -> None:
    run = _run(PLAN, say)
    told.backup, told.outcome = run.backup, run.outcome
    told.stored_bytes, told.live_bytes = run.stored_bytes, run.live_bytes
    told.copies = tuple(copy.store for copy in run.copies if copy.committed)
    told.timings += run.timings
    told.reason = run.proof.reason if run.proof else ""


def _second_act(say: Callable[[str], None]) -> str:
    run = _run(SECOND, say)
    return f"{run.backup}: {run.outcome}. {run.proof.reason if run.proof else ''}"


def _run(plan: str, say: Callable[[str], None]) -> "BackupRun":
    """The scheduler's own flow, which must end with a proof."""
    from flows.backup import backup
    from flows.record import BackupRun

    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        result: Any = backup(plan, return_state=True).result(raise_on_failure=False)
    if isinstance(result, BaseException):
        raise result
    run = BackupRun.model_validate(result)
    reason = run.proof.reason if run.proof else "; ".join(run.problems)
    say(f"{run.backup}: {run.outcome}. {reason}")
    if run.outcome != "proven":
        raise Permanent(f"the demo's backup of {plan} is {run.outcome}: {reason}")
    return run


def _export(fleet: Fleet, to: Path, told: Told, say: Callable[[str], None]) -> None:
    exported = export(fleet, PLAN, told.backup, to, store="secondary")
    told.timings.append(exported.timing)
    subprocess.run(["gzip", "--test", str(to)], check=True)
    say(f"{to}: {size(exported.file_bytes)}, and `gzip --test` finds it whole")


def _rescue(fleet: Fleet, told: Told, say: Callable[[str], None]) -> None:
    restored = restore(fleet, PLAN, told.backup, RESCUED, store="primary", tables=[LOST])
    told.timings.append(
        max(restored.timings, key=lambda timing: timing.elapsed_seconds).model_copy(update={"phase": "restore a table"})
    )
    manifest, _ = catalog.manifest(fleet, PLAN, told.backup, "primary")
    sealed = next(table for table in manifest.tables if table.name == LOST)
    found: Table = fleet.engine(PLAN).digest(destination(fleet, PLAN, RESCUED), sealed)
    if (found.rows, found.sha256) != (sealed.rows, sealed.sha256):
        raise Permanent(f"{LOST} came back with {found.rows} rows of {sealed.rows}, or changed")
    told.rows = found.rows
    say(f"{found.rows:,} rows are back in database {RESCUED}; SHA-256 {found.sha256[:16]}… as it was sealed")


def _sql(target: Any, statement: str) -> None:
    with connected(target) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
