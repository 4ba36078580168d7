"""A live database with a proven backup, to be damaged and recovered; a world for each engine."""

import itertools
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backproof.alarms import Message
from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.operations.copy import copy
from backproof.operations.prove import prove
from backproof.operations.restore import restore
from backproof.operations.seal import seal
from backproof.records import Target
from backproof.recovery.context import Recovery, Surroundings, places
from backproof.recovery.journal import find
from backproof.recovery.opening import begin, propose
from backproof.recovery.run import Outcome, carry_out
from backproof.stores.local import LocalStore
from tests.support.engine_harness import WORLDS, Harness
from tests.support.fleets import PLAN, built, described
from tests.support.round_trip import taken

_numbers = itertools.count(1)


@dataclass
class Application:
    """A program of one file: stands for the application, writes down what it is told to do, and fails when told to."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.log.touch()

    @property
    def log(self) -> Path:
        return self.folder / "told.log"

    @property
    def told(self) -> list[str]:
        """What it was told so far."""
        return self.log.read_text().split()

    def fails(self, what: str, once: bool = False) -> None:
        """From now on, or the next time, that command ends with 1."""
        (self.folder / f"{what}.{'fails-once' if once else 'fails'}").touch()

    def lingers(self, what: str) -> None:
        """From now on that command takes a minute."""
        (self.folder / f"{what}.lingers").touch()

    def works(self, what: str) -> None:
        """From now on it ends with 0 again, and at once."""
        for how in ("fails", "lingers"):
            (self.folder / f"{what}.{how}").unlink(missing_ok=True)

    def spec(self, **more: Any) -> dict[str, Any]:
        """What the plan says of it."""
        return {
            "directory": str(self.folder),
            "maintenance_on": self._command("on"),
            "maintenance_off": self._command("off"),
            "commands": [self._command("commands")],
            "tests": [self._command("tests")],
            **more,
        }

    def _command(self, what: str) -> list[str]:
        script = (
            "import os, sys, time; what = sys.argv[1]; open('told.log', 'a').write(what + '\\n'); "
            "os.path.exists(what + '.lingers') and time.sleep(60); "
            "once = what + '.fails-once'; failed = os.path.exists(once); failed and os.remove(once); "
            "sys.exit(failed or os.path.exists(what + '.fails'))"
        )
        return [sys.executable, "-S", "-E", "-c", script, what]


@dataclass
class World:
    """An engine's server, a backup of a database on it, and live databases made of that."""

    harness: Harness
    server: Target
    folder: Path
    description: dict[str, Any]
    backup: str
    made: list[Target] = field(default_factory=list)

    def live(self, **plan: Any) -> "Live":
        """A new live database, equal to the backup."""
        name = plan.pop("name", None) or f"live_{os.getpid()}_{next(_numbers)}"
        description = json.loads(json.dumps(self.description))
        description["databases"]["shop-db"]["name"] = name
        folder = self.folder / f"live_{next(_numbers)}"
        for store in description["stores"].values():  # of its own: what is told of recoveries lies there too
            own = folder / Path(store["path"]).name
            shutil.copytree(store["path"], own)
            store["path"] = str(own)
        application = Application(folder / "application")
        description["plans"][PLAN]["application"] = application.spec(**plan.pop("application", {}))
        description["fleet"] = plan.pop("fleet", "tests")
        description["plans"][PLAN].update(plan)
        file = folder / "fleet.yaml"
        file.write_text(json.dumps(description))
        fleet = built(description, folder)
        restore(built(self.description, self.folder), PLAN, self.backup, name, accept_mentions=True)
        self.made.append(self.server.to(name))
        return Live(self, fleet, file, application, self.server.to(name))

    def databases(self) -> set[str]:
        """Every database of the server."""
        return {str(name) for (name,) in self.harness.run(self.server, self.harness.databases)}

    def clean(self) -> None:
        """Remove all that came of live databases."""
        engine = built(self.description, self.folder).engine(PLAN)
        for name in self.databases():
            if any(name == each.database or name.startswith(f"{each.database}_") for each in self.made):
                with suppress(BackproofError):
                    engine.drop(self.server.to(name))
        self.made.clear()


@dataclass
class Live:
    """One live database of a plan."""

    world: World
    fleet: Fleet
    file: Path
    application: Application
    target: Target
    messages: list[Message] = field(default_factory=list)

    @property
    def around(self) -> Surroundings:
        return Surroundings(
            local=LocalStore("this machine", self.file.parent / "journals"),
            outputs=self.file.parent / "outputs",
            tell=self._tell,
            sleep=lambda _: None,
            jobs=2,
        )

    def _tell(self, message: Message) -> tuple[str, ...]:
        self.messages.append(message)
        return ("team",)

    def run(self, script: str) -> list[tuple[object, ...]]:
        """SQL on the live database."""
        return self.world.harness.run(self.target, script)

    def content(self, database: str | None = None) -> dict[str, Any]:
        """Digests of every definition and table."""
        target = self.target.to(database) if database else self.target
        found = taken(self.fleet.engine(PLAN), target)
        return {**found.manifest.entries, **{table.name: table.sha256 for table in found.manifest.tables}}

    def begin(self, **asked: Any) -> Recovery:
        """A recovery of the backup, written down."""
        mode, plan = asked.pop("mode", "swap"), asked.pop("plan", PLAN)
        backup = asked.pop("backup", self.world.backup)
        proposal = replace(propose(self.fleet, PLAN, datetime.now(UTC), backup, mode=mode), plan=plan)
        return begin(self.fleet, proposal, self.around, reason="a test", by="tester", **asked)

    def recover(self, **asked: Any) -> tuple[Recovery, Outcome]:
        """The same, carried out."""
        recovery = self.begin(**asked)
        return recovery, carry_out(recovery)

    def again(self, recovery: str, **around: Any) -> Recovery:
        """The same recovery as another process would find it."""
        surroundings = replace(self.around, **around)
        where = places(self.fleet, PLAN, surroundings.local)
        journal = find(where, self.fleet.signer, PLAN, recovery, surroundings.now)
        return Recovery(self.fleet, journal, surroundings)


def on_each_engine(code: Mapping[str, str] | None = None) -> Any:
    """The fixture of a test file: one world an engine, for all its tests.

    Args:
        code: by engine, what else is in the live database.
    """

    @pytest.fixture(scope="module", params=WORLDS, ids=lambda pair: pair[0].engine)
    def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
        harness, server = request.param
        more = [code[harness.engine]] if code else []
        with world(harness, request.getfixturevalue(server), tmp_path_factory.mktemp("recovery"), *more) as made:
            yield made

    return made


@contextmanager
def world(harness: Harness, server: Target, folder: Path, script: str = "") -> Iterator[World]:
    """A server with a database, sealed, copied and proven."""
    origin = server.to(f"origin_{os.getpid()}_{next(_numbers)}")
    harness.run(server, f"CREATE DATABASE {origin.database}")
    description = described(origin, folder, engine=harness.engine)
    fleet = built(description, folder)
    made = World(harness, server, folder, description, "")
    try:
        harness.run(origin, harness.script + script)
        made.backup = seal(fleet, PLAN, "daily").manifest.id
        copy(fleet, PLAN, made.backup, "near", "far")
        assert prove(fleet, PLAN, made.backup, "far").verdict == "passed"
        yield made
    finally:
        made.clean()
        fleet.engine(PLAN).drop(origin)


def steps_done(recovery: Recovery) -> Sequence[str]:
    """Names of steps that are done, in order."""
    return [entry.step for entry in recovery.journal.entries if entry.what == "done"]
