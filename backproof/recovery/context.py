"""One recovery: what was asked for, and what its steps need."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any, Literal

from backproof import catalog
from backproof.alarms import Message
from backproof.archive.reader import ArchiveReader
from backproof.engines import Engine, Progress, no_progress
from backproof.errors import Obstructed
from backproof.fleet import Fleet
from backproof.operations.clock import Now, utc_now
from backproof.records import Manifest, Record, Target
from backproof.recovery.application import Application
from backproof.recovery.journal import WHOLE, Journal
from backproof.stores import Store
from backproof.stores.local import LocalStore

Mode = Literal["swap", "in-place", "tables", "salvage"]
"""The whole database, in one of two ways; some tables; missing rows of one."""

Tell = Callable[[Message], tuple[str, ...]]
"""Sends a message to the people of a plan; gives the names of those who were told."""

Say = Callable[[str], None]
"""One line for whoever watches."""


class Request(Record):
    """What was asked for, and what was known then. The first entry of a journal."""

    plan: str
    backup: str
    stores: tuple[str, ...]
    """Copies to read, the nearest first."""
    mode: Mode
    reason: str
    by: str
    """Who asked for it."""
    live: str
    """The database that is replaced."""
    lost: bool = False
    """There was no such database."""
    beside: str
    """The name of the restored database until it takes its place."""
    aside: str
    """The name of what was live, afterwards."""
    accepted: tuple[str, ...] = ()
    """Names of obstacles that somebody accepted."""
    no_safety_backup: str = ""
    """Why there is none; empty: there is one."""
    create_missing_roles: bool = False
    accept_mentions: bool = False
    tables: tuple[str, ...] = ()
    """As a person names them; of modes that are about some tables."""
    key: tuple[str, ...] = ()
    """Columns that say which rows are the same one."""
    expected_seconds: float | None = None
    """How long it was said to take; None: nothing had been measured."""
    accept_orphans: bool = False
    fire_triggers: bool = False
    server: str = ""
    """Where the live database is: what was written down of it is true there alone. Empty: nobody wrote it down."""


@dataclass(frozen=True)
class Surroundings:
    """What a recovery needs beside a fleet: this machine, a clock, people."""

    local: Store
    """A folder of this machine, for journals."""
    outputs: Path
    """A folder of this machine, for what failed commands print."""
    tell: Tell = lambda _: ()
    say: Say = lambda _: None
    progress: Progress = no_progress
    now: Now = utc_now
    sleep: Callable[[float], None] = time.sleep
    jobs: int | None = None
    ending: Event = field(default_factory=Event)
    """Set while what goes side by side ends: whoever waits for something waits no longer."""


@dataclass
class Recovery:
    """A recovery on its way.

    Args:
        fleet: where its plan is found.
        journal: of this recovery.
        around: what else it needs.
    """

    fleet: Fleet
    journal: Journal
    around: Surroundings
    request: Request = field(init=False)

    def __post_init__(self) -> None:
        self.request = Request.model_validate_json(json.dumps(self.journal.facts(WHOLE, "opened")))

    @property
    def plan(self) -> str:
        """Its name."""
        return self.request.plan

    @property
    def engine(self) -> Engine:
        """Of the plan's database."""
        return self.fleet.engine(self.plan)

    @property
    def live(self) -> Target:
        """The live database, and who may replace it."""
        return self.fleet.restorer(self.plan).to(self.request.live)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process is at a recovery of this database, and the journal is as the last one has left it.

        Raises:
            Busy: another one is.
            Damaged: nobody can say what was done.
        """
        with self.engine.recovery_lock(self.live, sharing(self.fleet, self.plan)[0]):
            self.journal.refresh()
            yield

    def require_its_server(self) -> None:
        """What was done and is left to do was and is on the server that the recovery began on, of its database.

        Raises:
            Obstructed: the fleet names another one by now.
        """
        names = self.fleet.target(self.plan).database
        now, then = server_of(self.live), self.request.server
        if names != self.request.live:
            now, then = f"database {names} on {now}", f"database {self.request.live} on {then or now}"
        if then and now != then:
            raise Obstructed(
                f"{self.journal.recovery} was begun on {then}, and the fleet names {now} by now",
                f"Name {then} in the fleet again to go on; where it is gone for good,"
                f" `backproof recovery give-up {self.journal.recovery}` ends it.",
            )

    @property
    def beside(self) -> Target:
        """The restored database until it takes its place; in place, the live one."""
        return self.live.to(self.request.beside) if self.request.mode == "swap" else self.live

    @property
    def application(self) -> Application:
        """What lives on it."""
        return Application(self.fleet.plan(self.plan).application, self.live, self.around.outputs, self.around.sleep)

    @property
    def stopped(self) -> bool:
        """Whether it has put the application into maintenance, and not let it go on since."""
        application = self.fleet.plan(self.plan).application
        return self.journal.stopped and application is not None and application.maintenance_on is not None

    def say(self, line: str) -> None:
        """Tell whoever watches."""
        self.around.say(line)

    def manifest(self) -> Manifest:
        """Of the backup."""
        return catalog.manifest(self.fleet, self.plan, self.request.backup)[0]

    def archive(self) -> ArchiveReader:
        """The copy that was checked."""
        store = str(self.journal.facts("check")["store"])
        manifest, _ = catalog.manifest(self.fleet, self.plan, self.request.backup, store)
        return catalog.open_archive(self.fleet, manifest, store)

    @property
    def expected_end(self) -> datetime | None:
        """When it should have ended, by what was measured before; None: nobody knows."""
        takes = self.request.expected_seconds
        return None if takes is None else self.stamp() + timedelta(seconds=takes)

    def stamp(self) -> datetime:
        """When it was opened."""
        return self.journal.entries[0].at


def server_of(target: Target) -> str:
    """``host:port``, as the fleet writes it."""
    return f"{target.host}:{target.port}"


def sharing(fleet: Fleet, plan: str) -> tuple[str, ...]:
    """The plans of the same database, sorted: it is recovered once at a time."""
    mine = fleet.target(plan)
    others = ((name, fleet.target(name)) for name in sorted(fleet.spec.plans))
    return tuple(name for name, each in others if (server_of(each), each.database) == (server_of(mine), mine.database))


def state_folder(environment: Mapping[str, str]) -> Path:
    """Where this machine keeps journals of recoveries, as the environment says."""
    base = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME") or "/root") / ".local" / "state"
    return Path(base) / "backproof"


def surroundings(folder: Path, **more: Any) -> Surroundings:
    """What a recovery needs, its own things below one folder of this machine."""
    return Surroundings(local=LocalStore("this machine", folder / "recoveries"), outputs=folder / "outputs", **more)


def places(fleet: Fleet, plan: str, local: Store) -> list[Store]:
    """Where a plan's journals lie: this machine first."""
    return [local, *fleet.stores(plan)]
