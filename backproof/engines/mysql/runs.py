"""The runs of the dump tool that make up one dump: begun together, read one by one."""

import select
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from backproof import subprocesses
from backproof.engines.mysql import dumptool
from backproof.engines.mysql.binaries import Program
from backproof.engines.mysql.patience import PatientPipe, patient
from backproof.engines.mysql.point import Point
from backproof.engines.mysql.shares import Share, shares
from backproof.engines.mysql.text import COMPLETE
from backproof.errors import Busy, DumpFailed


@dataclass(frozen=True, slots=True)
class Run:
    """A run that writes rows."""

    share: Share
    running: subprocesses.Running
    rows: PatientPipe

    @property
    def tables(self) -> list[str]:
        """Whose."""
        return [facts.name for facts in self.share.tables]


def begin(
    stack: ExitStack, point: Point, tool: Program, jobs: int, deadline: float
) -> tuple[subprocesses.Running, list[Run]]:
    """Begin all runs, those of rows and one of the definitions, while the point is held.

    Args:
        stack: ends them.
        point: whose tables are read.
        tool: what reads them.
        jobs: runs of rows, about.
        deadline: when, by ``time.monotonic``, each must have begun its snapshot.

    Raises:
        Busy: one has not.
        BackproofError: one failed at once.
    """
    options = stack.enter_context(dumptool.option_file(point.target, tool.flavour))

    def run(argv: list[str]) -> subprocesses.Running:
        running = stack.enter_context(subprocesses.stream(argv, env=dumptool.ENVIRONMENT))
        # A dump may be left before its end: then nobody asks for an exit status.
        stack.callback(running.stop, 0)
        return running

    definitions = run(dumptool.definitions(tool.path, tool.flavour, options, point.target.database))
    carried = (facts for facts in point.catalogue.tables.values() if facts.carried)
    rows = [
        (share, run(_argv(share, point, tool, options))) for share in shares(carried, jobs, tool.flavour == "mariadb")
    ]
    _await([("definitions", definitions), *(("rows", running) for _, running in rows)], deadline)
    runs = [Run(share, running, PatientPipe(running.stdout)) for share, running in rows]
    stack.enter_context(patient([each.rows for each in runs]))
    return definitions, runs


def definitions_alone(point: Point, tool: Program, but: Sequence[str] = ()) -> bytes:
    """All definitions of a schema, as of now, but those of some views.

    Raises:
        DumpFailed, Busy: as the tool says.
    """
    with dumptool.option_file(point.target, tool.flavour) as options:
        argv = dumptool.definitions(tool.path, tool.flavour, options, point.target.database, but)
        with subprocesses.stream(argv, env=dumptool.ENVIRONMENT) as running:
            return whole_text(running)


def whole_text(definitions: subprocesses.Running) -> bytes:
    """All that the run of the definitions writes.

    Raises:
        DumpFailed: it ends without its closing words; as the tool says.
    """
    text = definitions.stdout.read()
    dumptool.judge("definitions", definitions)
    if not COMPLETE.search(text[-1024:]):
        raise DumpFailed("the dump of the definitions ends without its closing words", "Run the backup again.")
    return text


def _argv(share: Share, point: Point, tool: Program, options: Path) -> list[str]:
    argv = partial(
        dumptool.rows,
        tool.path,
        tool.flavour,
        options,
        point.target.database,
        by_key=share.by_key,
        as_bytes=share.as_bytes,
    )
    mine = [facts.name for facts in share.tables]
    if not share.everything_but:
        return argv(tables=mine)
    return argv(but=[name for name in point.catalogue.tables if name not in set(mine)])


def _await(runs: Sequence[tuple[str, subprocesses.Running]], deadline: float) -> None:
    """The first bytes of a run come after its snapshot was begun: it buffers 4096, which is more than comes before."""
    for what, running in runs:
        if not select.select([running.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise Busy(
                "the dump tool did not begin in time, and writers were let go",
                "Try again when the server is less busy.",
            )
        if not running.stdout.peek(1):
            dumptool.judge(what, running)
