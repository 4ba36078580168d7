"""A process that does Backproof's work, to be killed at any of many moments of it.

It counts what it does to the world around it (files opened, renamed, written and synced, programs started, requests
sent, progress told) and can kill itself as it is about to do the Nth: so the same moment can be tried again, and a slow
machine spreads moments as evenly as a fast one. What drivers do in C nobody counts; moments of the clock reach it.

``python -m tests.support.dying FLEET OPERATION`` obeys one line of JSON on stdin after another, each in a copy of
itself, which costs no time for imports.
"""

import itertools
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from backproof import subprocesses
from backproof.archive.signing import Signer
from backproof.errors import BackproofError
from backproof.fleet import Fleet
from backproof.fleet.loading import parse
from backproof.operations.copy import copy
from backproof.operations.prove import prove
from backproof.operations.prune import prune
from backproof.operations.replicate import bring, survey
from backproof.operations.restore import restore
from backproof.operations.seal import seal
from backproof.recovery import journal
from backproof.recovery.context import Mode, Recovery, Surroundings, places, surroundings
from backproof.recovery.entries import JournalEntry
from backproof.recovery.journal import journals
from backproof.recovery.opening import begin, propose
from backproof.recovery.run import Outcome, carry_out
from backproof.stores import Store
from tests.support.fleets import PLAN

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


def run_proof(fleet: Fleet, progress: Progress) -> None:
    proof = prove(fleet, PLAN, "latest", fleet.plan(PLAN).stores[-1], progress=progress)
    assert proof.verdict != "failed", proof.reason


def run_restore(fleet: Fleet, progress: Progress) -> None:
    restore(fleet, PLAN, "latest", beside(fleet), progress=progress)


def run_replication(fleet: Fleet, progress: Progress) -> None:
    for step in survey(fleet, PLAN).steps:
        bring(fleet, PLAN, step, progress)


def run_prune(fleet: Fleet, progress: Progress) -> None:
    pruned = prune(fleet, PLAN)
    assert not pruned.problems, pruned.problems


def run_recovery(fleet: Fleet, progress: Progress) -> Outcome:
    """Go on with the one that has not ended; else begin one, of the newest daily backup."""
    around = state_of(fleet)
    known, _ = journals(places(fleet, PLAN, around.local), fleet.signer, PLAN, around.now)
    under_way = next((each for each in known if each.closed is None), None)
    recovery = Recovery(fleet, under_way, around) if under_way else begun(fleet, around)
    outcome = carry_out(recovery)
    assert outcome.result in ("recovered", "rolled back"), outcome
    return outcome


def begun(fleet: Fleet, around: Surroundings) -> Recovery:
    """In the way that the fleet is called after."""
    mode: Mode = {"in-place": "in-place", "tables": "tables"}.get(fleet.spec.fleet, "swap")  # type: ignore[assignment]
    tables = ("parent",) if mode == "tables" else ()
    proposal = propose(fleet, PLAN, around.now(), mode=mode)
    return begin(fleet, proposal, around, reason="a test", by="tester", tables=tables)


def dying_at(step: str, what: str, when: str) -> None:
    """Die at that entry of a journal: ``before`` it, ``after`` it, or when it lies on this machine alone."""
    put = journal.put

    def last_words(places: Sequence[Store], signer: Signer, entry: JournalEntry) -> list[str]:
        if (entry.step, entry.what) != (step, what):
            return put(places, signer, entry)
        if when != "before":
            put(places[:1] if when == "local" else places, signer, entry)
        die("tree")
        return []

    journal.put = last_words


def state_of(fleet: Fleet) -> Surroundings:
    """The machine's own folder lies beside the plan's first store."""
    folder = Path(fleet.stores(PLAN)[0].location()).parent / "state"
    return surroundings(folder, sleep=lambda _: None)


def beside(fleet: Fleet) -> str:
    """The database that a restore makes."""
    return f"{fleet.target(PLAN).database}_beside"


OPERATIONS: dict[str, Callable[[Fleet, Progress], object]] = {
    "seal": run_seal,
    "copy": run_copy,
    "proof": run_proof,
    "restore": run_restore,
    "replicate": run_replication,
    "prune": run_prune,
    "recover": run_recovery,
}


def load(file: Path) -> Fleet:
    return Fleet(parse(file.read_text(), {}, file))


def counting(step: int | None, whom: str) -> tuple[Progress, Callable[[], int]]:
    """Count from now on, and let ``whom`` die at a step; returns a progress callback that counts too, and the count."""
    counted: Iterator[int] = itertools.count()
    last = 0
    own = tuple(str(path) for path in (Path(__file__).parents[2], sys.prefix, sys.base_prefix, "/proc", "/etc", "/usr"))

    def count(*_: object) -> None:
        nonlocal last
        last = next(counted)
        if last == step:
            die(whom)

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


def die(whom: str) -> None:
    """``process``: alone, its programs live on; ``tree``: with all its programs; ``tool``: its newest program dies."""
    programs = subprocesses.live()
    if whom == "tool" and programs:
        os.kill(programs[-1], signal.SIGKILL)
        return
    for group in programs if whom == "tree" else []:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def tell(**said: Any) -> None:
    sys.__stdout__.write(json.dumps(said) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


def work(fleet: Fleet, operation: str, order: dict[str, Any]) -> None:
    """One run. ``order`` has the ``token`` that its programs inherit, the ``step`` to die at, and ``whom``.

    Or the ``entry`` of a journal: its step, what it says, and whether to die before it.
    """
    os.environ |= dict([order["token"].split("=", 1)])
    if order.get("entry"):
        dying_at(*order["entry"])
    tell(pid=os.getpid())
    progress, steps = counting(order["step"], order["whom"])
    begun, error, unexpected = time.monotonic(), "", ""
    try:
        OPERATIONS[operation](fleet, progress)
    except BackproofError as raised:
        error = f"{type(raised).__name__}: {raised}"
    except BaseException:
        unexpected = traceback.format_exc()
    tell(steps=steps(), seconds=time.monotonic() - begun, error=error, unexpected=unexpected)


def main(file: str, operation: str) -> None:
    fleet = load(Path(file))
    for module in ("boto3", "psycopg2", "pymysql", "sqlalchemy.dialects.postgresql.psycopg2"):
        __import__(module)
    for store in fleet.stores(PLAN):
        getattr(store, "_bucket", None)  # a client of S3 takes its time to make, and connects with its first request
    for line in sys.stdin:
        if not (child := os.fork()):
            work(fleet, operation, json.loads(line))
            os._exit(0)
        tell(ended=os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
