"""Kill -9 a whole process that works for Backproof, at any of many moments, and see that nothing is lost or left.

The moments are not of the clock: the process counts what it does to the world around it (files opened, renamed, written
and synced, programs started, requests sent, progress told) and kills itself as it is about to do the Nth. So the same
moment can be tried again, a slow machine spreads them as evenly as a fast one, and any number of them can be asked for.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from backproof import catalog
from backproof.fleet import Fleet
from backproof.fleet.loading import parse
from backproof.operations.copy import copy
from backproof.operations.prove import prove
from backproof.operations.seal import seal
from backproof.operations.sweep import sweep
from backproof.stores.local import LocalStore
from deployments.servers.seaweedfs import S3Server
from tests.support.aftermath import (
    Holdings,
    comm,
    expect_no_sessions,
    expect_soon,
    expect_whole,
    running,
    unfinished_files,
    unfinished_uploads,
)
from tests.support.fleets import PLAN

CHECKOUT = Path(__file__).parents[2]
EVENTS = frozenset(
    {"open", "os.mkdir", "os.remove", "os.rename", "os.link", "os.rmdir", "os.chmod", "os.chown", "os.kill"}
    | {"os.killpg", "subprocess.Popen", "socket.connect", "http.client.send", "tempfile.mkdtemp", "shutil.rmtree"}
)
CALLS = ("write", "fsync", "posix_fadvise", "pread", "ftruncate")
"""Of ``os``; Python tells nobody about these."""

Progress = Callable[[int], None]


def run_seal(fleet: Fleet, progress: Progress) -> None:
    seal(fleet, PLAN, "manual", progress=progress)


def run_copy(fleet: Fleet, progress: Progress) -> None:
    source, target = fleet.plan(PLAN).stores
    copy(fleet, PLAN, "latest", source, target, progress=progress)


def run_prove(fleet: Fleet, progress: Progress) -> None:
    proof = prove(fleet, PLAN, "latest", fleet.plan(PLAN).stores[0], progress=progress)
    assert proof.verdict == "passed", proof.reason


OPERATIONS = {"seal": run_seal, "copy": run_copy, "prove": run_prove}


def moments(count: int) -> list[float]:
    """So many moments of a run, evenly spread: fractions of what it does."""
    return [(number + 0.5) / count for number in range(count)]


@dataclass
class Victim:
    """A fleet with an earlier, proven backup, and an operation on it that is killed again and again.

    Args:
        description: of the fleet, with a plan of one or two stores.
        folder: where its file may lie.
        operation: a key of ``OPERATIONS``.
        servers: of the S3 stores, by store.
    """

    description: dict[str, Any]
    folder: Path
    operation: str
    servers: dict[str, S3Server] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.file = self.folder / "fleet.yaml"
        self.file.write_text(json.dumps(self.description))  # YAML, too
        self.fleet = load(self.file)
        first, *others = self.fleet.plan(PLAN).stores
        self.earlier = seal(self.fleet, PLAN, "manual").manifest.id
        for other in others:
            copy(self.fleet, PLAN, self.earlier, first, other)
        assert prove(self.fleet, PLAN, self.earlier, first).verdict == "passed"
        if self.operation == "copy":
            seal(self.fleet, PLAN, "manual")
        self.before = Holdings.of(self.fleet, PLAN)
        self.steps = self._run(None)
        self._reset()

    def kill(self, moment: float) -> None:
        """One death and what comes after it. The process must not have been faster than its death."""
        token = f"LC_BACKPROOF_TEST={token_hex(8)}"  # passed on to every program that is started
        pid = self._run(int(moment * self.steps), token)
        self._expect_nothing_lost()
        sweep(self.fleet, PLAN)
        self._expect_nothing_left(pid, token)
        self._expect_nothing_lost()
        manifests = expect_whole(self.fleet, PLAN)
        OPERATIONS[self.operation](self.fleet, lambda _: None)
        # A killed run may have come as far as its manifest: then a second copy has nothing to add.
        assert expect_whole(self.fleet, PLAN) >= manifests + (self.operation == "seal")
        self._expect_nothing_lost()
        self._reset()

    def _run(self, step: int | None, token: str = "") -> int:
        """The operation in a process of its own: killed at a step; returns its pid, or else the number of steps."""
        name, _, value = token.partition("=")
        environment = os.environ | ({name: value} if token else {})
        arguments = [str(self.file), self.operation, "" if step is None else str(step)]
        process = subprocess.run(
            [sys.executable, "-m", __name__, *arguments],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        pid, _, steps = process.stdout.partition("\n")
        if step is None:
            assert process.returncode == 0, process.stderr
            return int(steps)
        assert process.returncode == -signal.SIGKILL, f"not killed at step {step} of {self.steps}: {process.stderr}"
        return int(pid)

    def _expect_nothing_lost(self) -> None:
        self.before.expect_untouched(self.fleet, PLAN)
        expect_whole(self.fleet, PLAN)
        (earlier,) = (each for each in catalog.backups(self.fleet, PLAN) if each.id == self.earlier)
        assert earlier.proven_at is not None

    def _expect_nothing_left(self, pid: int, token: str) -> None:
        places = {Path(tempfile.gettempdir()), Path("/tmp"), self.fleet.scratch_folder or Path("/tmp")}
        assert [str(path) for place in places for path in place.glob(f"backproof-*-{pid}-*")] == []
        # A program that writes to a process that died hears of it with its next bytes.
        expect_soon(lambda: running(token) == [], 15, f"still there: {[comm(each) for each in running(token)]}")
        expect_no_sessions(self.fleet.target(PLAN))
        for store in self.fleet.stores(PLAN):
            if isinstance(store, LocalStore):
                assert unfinished_files(Path(store.location())) == []
            else:
                assert unfinished_uploads(self.servers[store.name], store) == []

    def _reset(self) -> None:
        """Remove what came since the beginning, so that every death finds the same."""
        for store in self.fleet.stores(PLAN):
            for each in list(store.list()):
                if each.key not in self.before.stores[store.name]:
                    store.delete(each.key)


def load(file: Path) -> Fleet:
    return Fleet(parse(file.read_text(), {}, file))


def counting(step: int | None) -> tuple[Progress, Callable[[], int]]:
    """Count from now on, and die at a step; returns a progress callback that counts too, and how many there were."""
    counted: Iterator[int] = itertools.count()
    last = 0
    own = tuple(str(path) for path in (CHECKOUT, sys.prefix, sys.base_prefix, "/proc", "/etc", "/usr"))

    def count(*_: object) -> None:
        nonlocal last
        last = next(counted)
        if last == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS and not (event == "open" and str(arguments[0]).startswith(own)):
            count()

    def counted_call(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*given: Any, **named: Any) -> Any:
            count()
            return call(*given, **named)

        return called

    for name in CALLS:
        setattr(os, name, counted_call(getattr(os, name)))
    sys.addaudithook(heard)
    return count, lambda: last


def main(file: str, operation: str, step: str) -> None:
    """What the process does that is to be killed."""
    print(os.getpid(), flush=True)
    fleet = load(Path(file))
    progress, steps = counting(int(step) if step else None)
    OPERATIONS[operation](fleet, progress)
    print(steps())


if __name__ == "__main__":
    main(*sys.argv[1:])
