"""Where the processor time of a seal goes, stage by stage: ``python -m benchmarks --stages``.

Measured within the process that seals, as CPU time of the thread that does it, around the few calls that the stages
are; what no stage accounts for is the rest. The dump tool's share is that of its processes.
"""

import importlib
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from backproof.garbage import look_seldom

look_seldom()  # as the command does, before all that is loaded now

from backproof.archive import members, message, tables, writer  # noqa: E402
from backproof.fleet import Fleet, load  # noqa: E402
from backproof.operations.seal import seal  # noqa: E402
from backproof.stores.unfinished import Unfinished  # noqa: E402

STAGES = ("start", "read and cut", "digest rows", "compress", "digest members", "encrypt", "write and confirm")


class Stages:
    """CPU seconds of each stage, added up over threads."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._lock = threading.Lock()

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """What this thread uses within the context."""
        begun = time.thread_time()
        try:
            yield
        finally:
            used = time.thread_time() - begun
            with self._lock:
                self.seconds[stage] += used

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that counts."""

        @wraps(function)
        def counted(*arguments: Any, **options: Any) -> Any:
            with self.of(stage):
                return function(*arguments, **options)

        return counted

    def drawn(self, stage: str, make: Callable[..., Iterable[Any]]) -> Callable[..., Iterator[Any]]:
        """A generator function each of whose steps counts."""

        @wraps(make)
        def counted(*arguments: Any, **options: Any) -> Iterator[Any]:
            steps = iter(make(*arguments, **options))
            while True:
                with self.of(stage):
                    step = next(steps, None)
                if step is None:
                    return
                yield step

        return counted


def measure(fleet: Fleet, plan: str) -> dict[str, float]:
    """Seal once.

    Returns:
        CPU seconds by stage, ``rest`` and ``dump tool`` among them; ``total`` is our own process; ``plain_bytes``.
    """
    stages = Stages()
    module = importlib.import_module(f"{type(fleet.engine(plan)).__module__}.dump")
    stages.seconds["start"] = begun = time.process_time()
    from unittest import mock  # it is no part of a seal

    own = time.process_time() - begun
    places: list[tuple[Any, str, str]] = [
        (tables.TableDigests, "add", "digest rows"),
        (members, "compress", "compress"),
        (writer, "pack", "digest members"),
        (message.Cipher, "seal", "encrypt"),
        (Unfinished, "write", "write and confirm"),
        (Unfinished, "confirm", "write and confirm"),
    ]
    with ExitStack() as patched:
        for where, name, stage in places:
            patched.enter_context(mock.patch.object(where, name, stages.timed(stage, getattr(where, name))))
        patched.enter_context(mock.patch.object(module, "pieces", stages.drawn("read and cut", module.pieces)))
        manifest = seal(fleet, plan, "manual").manifest
    seconds = stages.seconds
    seconds["digest members"] -= seconds["compress"]  # which is within
    total = time.process_time() - own
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        **seconds,
        "rest": total - sum(seconds.values()),
        "total": total,
        "dump tool": children.ru_utime + children.ru_stime,
        "plain_bytes": manifest.plain_bytes,
    }


if __name__ == "__main__":
    print(json.dumps(measure(Fleet(load(Path(sys.argv[1]), os.environ)), "bench")))
