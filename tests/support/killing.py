"""Kill -9 what works for Backproof, at any of many moments, and see that nothing is lost, left or taken for whole."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal

import pytest

from backproof import catalog
from backproof.errors import AlreadyExists
from backproof.fleet import Fleet
from backproof.naming import MANIFEST, ProofPart, parse
from backproof.operations.copy import copy
from backproof.operations.prove import prove
from backproof.operations.seal import seal
from backproof.operations.sweep import sweep
from backproof.records import Target
from backproof.stores.local import LocalStore
from deployments.servers.seaweedfs import S3Server
from tests.support.aftermath import (
    Holdings,
    archives,
    expect_no_sessions,
    expect_soon,
    expect_whole,
    unfinished_files,
    unfinished_uploads,
)
from tests.support.dying import OPERATIONS, beside, load
from tests.support.fleets import PLAN
from tests.support.kinds import Kind
from tests.support.proc import comm, cwd, descendants, others, running
from tests.support.round_trip import taken

CHECKOUT = Path(__file__).parents[2]

By = Literal["steps", "clock"]
Whom = Literal["process", "tree", "tool"]


@dataclass(frozen=True)
class Moment:
    """When somebody dies, and who."""

    at: float
    """A fraction of a whole run: of what it does, or of its seconds."""
    by: By = "steps"
    whom: Whom = "process"

    def __str__(self) -> str:
        return f"{self.at:.1%} by {self.by}, {self.whom}"


def moments(count: int, begin: float = 0.0) -> list[Moment]:
    """So many moments of a run, evenly spread, by steps and by the clock in turn; who dies takes turns as well.

    Args:
        count: how many.
        begin: from where on, a fraction of the run: what makes a backup or a database count comes at the end.
    """
    whom: tuple[Whom, ...] = ("process", "tree", "tool")
    by: tuple[By, ...] = ("steps", "clock")
    return [Moment(begin + (1 - begin) * (n + 0.5) / count, by[n % 2], whom[n % len(whom)]) for n in range(count)]


def each_step(steps: int) -> list[Moment]:
    """Every moment that is counted, one by one; our process alone dies."""
    return [Moment((number + 0.5) / (steps + 1)) for number in range(steps + 1)]


@dataclass(frozen=True)
class Outcome:
    """What a death left."""

    left: Literal["committed", "half", "nothing"]
    """``half``: what does not count and says so, an archive without its manifest or an unfinished database."""
    resumed: bool
    """The next run went on from what lay there."""


class Dying:
    """A process that does one operation again and again, and is killed at it; see ``tests.support.dying``."""

    def __init__(self, file: Path, operation: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.dying", str(file), operation],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        whole = self.run(None)
        self.steps: int = whole["steps"]
        """So many things a whole run does."""
        self.seconds: float = whole["seconds"]

    def close(self) -> None:
        """No more deaths."""
        self._process.kill()
        self._process.communicate()

    def run(self, moment: Moment | None, token: str = "LC_NOBODY=1") -> dict[str, Any]:
        """The operation in a process of its own; returns what it told, its pid, and whether it was late to die."""
        by_steps = moment is not None and moment.by == "steps"
        step = int(moment.at * self.steps) if moment and by_steps else None
        self._order(token=token, step=step, whom=moment.whom if moment else "")
        told = self._told()
        if moment and not by_steps:
            time.sleep(moment.at * self.seconds)
            kill(told["pid"], moment.whom)
        while "ended" not in told:
            told |= self._told()
        told["late"] = moment is not None and "steps" in told and (step is None or told["steps"] < step)
        if moment and moment.whom == "tool" and not by_steps:
            told["late"] = told.get("seconds", 1e9) < moment.at * self.seconds
        if moment is None:
            assert not told["error"], told["error"]
        return told

    def die_at(self, entry: Sequence[str]) -> None:
        """At an entry of a recovery's journal: its step, what it says, and when."""
        self._order(token="LC_NOBODY=1", step=None, whom="", entry=list(entry))
        told = self._told()
        while "ended" not in told:
            told |= self._told()
        assert "steps" not in told, f"it did not die at {entry}: {told}"

    def die(self, moment: Moment, reset: Callable[[], None]) -> tuple[dict[str, Any], str]:
        """One death; what it told, and the variable that all its programs inherited.

        Args:
            moment: when, and who.
            reset: puts everything back where a run was faster than its death.
        """
        for _ in range(8):
            token = f"LC_BACKPROOF_TEST={token_hex(8)}"  # passed on to every program that is started
            ran = self.run(moment, token)
            if not ran["late"]:
                assert not ran.get("unexpected"), ran["unexpected"]
                return ran, token
            self.steps, self.seconds = ran["steps"], ran["seconds"]
            reset()
        raise AssertionError(f"eight runs were faster than their death at {moment}")

    def _order(self, **order: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _told(self) -> dict[str, Any]:
        assert self._process.stdout
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


@dataclass
class Victim:
    """A fleet with an earlier, proven backup, and an operation on it that is killed again and again.

    Args:
        kind: of its database.
        description: of the fleet, with a plan of one or two stores.
        folder: where its file may lie.
        operation: a key of ``OPERATIONS``.
        servers: of the S3 stores, by store.
    """

    kind: Kind
    description: dict[str, Any]
    folder: Path
    operation: str
    servers: dict[str, S3Server] = field(default_factory=dict)

    def __post_init__(self) -> None:
        file = self.folder / "fleet.yaml"
        file.write_text(json.dumps(self.description))  # YAML, too
        self.fleet = load(file)
        self.earlier = self._sealed(proven=True)
        if self.operation in ("copy", "proof"):
            self._sealed(copied=self.operation == "proof")
        self.before = Holdings.of(self.fleet, PLAN)
        self.live = self.fleet.target(PLAN)
        self.target = self.live.to(beside(self.fleet))
        self.content = content(self.fleet, self.live)
        self._rows = self._fingerprint(self.live)
        self._databases = self.kind.databases(self.live)
        self._dying = Dying(file, self.operation)
        self.reset()

    @property
    def steps(self) -> int:
        """So many things a whole run does."""
        return self._dying.steps

    @property
    def seconds(self) -> float:
        """How long a whole run takes."""
        return self._dying.seconds

    def close(self) -> None:
        """No more deaths."""
        self._dying.close()

    def kill(self, moment: Moment) -> Outcome:
        """One death and what comes after it.

        Raises:
            AssertionError: something was lost, or left, or is not what it says.
        """
        ran, token = self._dying.die(moment, self.reset)
        sweep(self.fleet, PLAN)
        self._expect_nothing_left(ran["pid"], token)
        self._expect_nothing_lost()
        outcome = self._run_again()
        self._expect_nothing_lost()
        self.reset()
        return outcome

    def reset(self) -> None:
        """Remove what came since the beginning, so that every death finds the same."""
        for store in self.fleet.stores(PLAN):
            for each in list(store.list()):
                if each.key not in self.before.stores[store.name]:
                    store.delete(each.key)
        self.kind.remove(self.target)

    def _sealed(self, proven: bool = False, copied: bool = True) -> str:
        first, *others = self.fleet.plan(PLAN).stores
        backup = seal(self.fleet, PLAN, "manual").manifest.id
        for other in others if copied else []:
            copy(self.fleet, PLAN, backup, first, other)
        if proven:
            proof = prove(self.fleet, PLAN, backup, first)
            assert proof.verdict == "passed", proof.reason
        return backup

    def _expect_nothing_lost(self) -> None:
        self.before.expect_untouched(self.fleet, PLAN)
        expect_whole(self.fleet, PLAN)
        for backup in catalog.backups(self.fleet, PLAN):
            assert (backup.proven_at is not None) == (backup.id == self.earlier or self._passed(backup.id) > 0)
        assert self._fingerprint(self.live) == self._rows, "the live database has changed"
        assert self.kind.databases(self.live) - {self.target.database} == self._databases, "another database was made"

    def _passed(self, backup: str) -> int:
        """How many proofs in the stores say, validly, that this one came back."""
        return sum(
            catalog.read_proof(store, name, self.fleet.signer).verdict == "passed"
            for store in self.fleet.stores(PLAN)
            for name in (parse(each.key) for each in store.list(f"{PLAN}/"))
            if name is not None and name.id == backup and isinstance(name.part, ProofPart)
        )

    def _expect_nothing_left(self, pid: int, token: str) -> None:
        places = {Path(tempfile.gettempdir()), Path("/tmp"), self.fleet.scratch_folder or Path("/tmp")}
        assert [str(path) for place in places for path in place.glob(f"backproof-*-{pid}-*")] == []
        assert working_for(pid) == [], "a server is left"
        # A program that writes to a process that died hears of it with its next bytes.
        expect_soon(lambda: running(token) == [], 15, f"still there: {[comm(each) for each in running(token)]}")
        expect_no_sessions(self.kind, self.live)
        expect_no_sessions(self.kind, self.target)
        for store in self.fleet.stores(PLAN):
            if isinstance(store, LocalStore):
                assert unfinished_files(Path(store.location())) == []
            else:
                assert unfinished_uploads(self.servers[store.name], store) == []

    def _run_again(self) -> Outcome:
        """What the death left, and that a second run succeeds and is right whatever it was."""
        if self.operation == "restore":
            return self._restored_again()
        manifests, held = expect_whole(self.fleet, PLAN), archives(self.fleet, PLAN)
        newest = catalog.backups(self.fleet, PLAN)[0]
        added = manifests - self._manifests_before() + self._passed(newest.id) * (self.operation == "proof")
        half = held > manifests
        self._succeed()
        after = expect_whole(self.fleet, PLAN)
        # A killed copy may have come as far as its manifest: then a second one has nothing to add.
        assert after >= manifests + (self.operation == "seal")
        if self.operation == "copy":
            assert after == self._manifests_before() + 1 == archives(self.fleet, PLAN), "one copy of one backup"
        if self.operation == "proof":
            assert catalog.backups(self.fleet, PLAN)[0].proven_at is not None
        resumed = self.operation == "copy" and (half or added > 0)
        return Outcome("committed" if added else "half" if half else "nothing", resumed)

    def _succeed(self) -> None:
        begun = time.monotonic()
        OPERATIONS[self.operation](self.fleet, lambda _: None)
        self._dying.seconds = time.monotonic() - begun  # as fast as the machine is now

    def _manifests_before(self) -> int:
        names = [parse(key) for held in self.before.stores.values() for key in held]
        return sum(name is not None and name.part == MANIFEST for name in names)

    def _expect_restored(self) -> None:
        assert content(self.fleet, self.target) == self.content
        assert self._fingerprint(self.target) == self._rows, "other rows came back"

    def _fingerprint(self, target: Target) -> list[Any]:
        """The same for the same rows, whatever their order."""
        return self.kind.execute(target, self.kind.fingerprint)

    def _restored_again(self) -> Outcome:
        """A database that was left is empty, or is whole, or says that it is not."""
        left: Literal["committed", "half", "nothing"] = "nothing"
        resumed = self.target.database in self.kind.databases(self.live)
        try:
            self._succeed()
        except AlreadyExists as error:
            resumed = False
            left = "half" if "has not finished" in error.fact else "committed"
            if left == "committed":
                self._expect_restored()
            else:
                # It says how to be rid of it.
                (statement,) = re.findall(r"DROP DATABASE [^;]+;", error.remedy)
                self.kind.execute(self.target.to(self.kind.everywhere), statement)
                self._succeed()
        self._expect_restored()
        with pytest.raises(AlreadyExists, match="not empty"):
            OPERATIONS["restore"](self.fleet, lambda _: None)
        return Outcome(left, resumed)


def content(fleet: Fleet, target: Target) -> dict[str, Any]:
    """What a dump finds in a database: every definition, and how many rows of each table."""
    found = taken(fleet.engine(PLAN), target)
    return {**found.manifest.entries, **found.inventory.rows}


def kill(pid: int, whom: Whom) -> None:
    """From outside, as a machine that is short of memory would."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        programs = [*descendants(pid)]
        if whom == "tool" and programs:
            os.kill(programs[-1], signal.SIGKILL)
            os.kill(pid, signal.SIGCONT)
            return
        os.kill(pid, signal.SIGKILL)
        for each in programs if whom == "tree" else []:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)


def working_for(pid: int) -> list[str]:
    """Processes in a folder that one has made for throwaway things, removed or not."""
    return [comm(each) for each in others() if re.search(f"/backproof-[a-z]+-{pid}-", str(cwd(each)))]
