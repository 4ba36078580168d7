"""One recovery test on its way: what was asked for, what its steps have found so far."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from backproof.archive.reader import ArchiveReader
from backproof.comparison import Restored
from backproof.engines import Engine, Progress
from backproof.fleet import Fleet
from backproof.fleet.recovery_test_specs import RecoveryTestSpec
from backproof.operations.clock import Stopwatch
from backproof.operations.round_trip import Found
from backproof.records import Manifest, Proof, Target
from backproof.recovery.context import Surroundings
from backproof.recovery_test.application import StagedApplication
from backproof.recovery_test.naming import test_id
from backproof.recovery_test.production import ProductionState, Recorded
from backproof.recovery_test.record import Cited, Status, TableCompared, TestPoint
from backproof.runbook import Run
from backproof.runbook_trial import program

_GRAVITY: dict[Status, int] = {"pass": 0, "not run": 1, "fail": 2}

Runner = Callable[[Fleet], AbstractContextManager[Run]]


@dataclass
class Rehearsal:
    """A recovery test, until its record is made.

    Args:
        fleet: where its plan is found.
        plan: its name.
        around: what else it needs.
        by: who started it, or ``schedule``.
        backup: ``latest``, or an id.
        store: which copy; None: that of the store whose turn it is.
        runner: gives what runs ``backproof``, with a fleet, for the commands of the runbook.
    """

    fleet: Fleet
    plan: str
    around: Surroundings
    by: str = "schedule"
    backup: str = "latest"
    store: str | None = None
    runner: Runner = field(default=lambda fleet: program(fleet, {}))
    started_at: datetime = field(init=False)
    watch: Stopwatch = field(init=False)
    open: ExitStack = field(default_factory=ExitStack)
    """All that has to be gone in the end."""
    points: dict[str, TestPoint] = field(default_factory=dict)
    remedies: dict[str, str] = field(default_factory=dict)
    """What to do, by point."""
    done: set[str] = field(default_factory=set)
    """Steps that have ended well."""
    failed: dict[str, str] = field(default_factory=dict)
    """Steps that have not, and why."""
    counted: list[str] = field(default_factory=list)
    """Phases that a recovery has as well."""
    progress: Progress = field(init=False)
    """Told plain bytes as they are done."""
    moved: int | None = None
    """Bytes, of the step under way."""
    left: list[str] = field(default_factory=list)
    """What went wrong beside the checklists, such as what could not be removed in the end: a sentence each."""

    folder: Path | None = None
    manifest: Manifest | None = None
    copy_in: str | None = None
    """The store whose copy is brought back."""
    file: ArchiveReader | None = None
    """The archive as it was brought here."""
    target: Target | None = None
    staging: str = ""
    """What that is, in words."""
    left_out: list[str] = field(default_factory=list)
    found: Found = field(default_factory=Found)
    restored: Restored | None = None
    proof: Proof | None = None
    application: StagedApplication | None = None
    running: ExitStack = field(default_factory=ExitStack)
    """The application, while it runs."""
    production: ProductionState | None = None
    recorded: Recorded | None = None
    """The same, where it lies in the stores."""
    compared: tuple[TableCompared, ...] = ()
    cites: list[Cited] = field(default_factory=list)
    told: tuple[str, ...] = ()
    """Who was told that it begins."""

    def __post_init__(self) -> None:
        self.started_at = self.around.now()
        self.progress = self.around.progress
        self.watch = Stopwatch(self.around.now)

    @property
    def test(self) -> str:
        """Its id."""
        return test_id(self.started_at)

    @property
    def spec(self) -> RecoveryTestSpec:
        """What the plan says of it."""
        return self.fleet.plan(self.plan).recovery_test

    @property
    def engine(self) -> Engine:
        """Of the plan's database."""
        return self.fleet.engine(self.plan)

    def judge(self, point: str, status: Status, evidence: str, remedy: str = "") -> None:
        """Say how a point of the checklist stands. What was said first holds, but for what turns out worse."""
        before = self.points.get(point)
        if before is None or _GRAVITY[status] > _GRAVITY[before.status]:
            self.points[point] = TestPoint(name=point, status=status, evidence=evidence)
            self.remedies[point] = remedy
        elif before.status == status == "pass":
            told = f"{before.evidence.rstrip('.')}; {evidence}"
            self.points[point] = TestPoint(name=point, status=status, evidence=told)

    def backup_of_it(self) -> Manifest:
        """The manifest, once it was read."""
        if self.manifest is None:
            raise ValueError("no backup was chosen")
        return self.manifest

    def archive(self) -> ArchiveReader:
        """What was downloaded."""
        if self.file is None:
            raise ValueError("nothing was downloaded")
        return self.file

    def place(self) -> Target:
        """The staging database."""
        if self.target is None:
            raise ValueError("there is no staging database")
        return self.target
