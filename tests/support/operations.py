"""Stand-ins for the library's operations, for tests of the order, the retries and the end of a flow alone.

The operations themselves are tested on real servers; a flow only calls them. Each stand-in keeps its contract: what it
takes, what it returns, what it raises, and that it reports progress.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from backproof.errors import NotFound
from backproof.operations import copy, preflight, prove, seal, sweep
from backproof.operations.copy import Copied
from backproof.operations.seal import Sealed
from backproof.records import Finding, Proof, Timing, Verdict
from tests.support.manifests import TAKEN_AT, manifest_of

BACKUP = "backup_2025-11-07_020000"


def timing(phase: str) -> Timing:
    return Timing(phase=phase, started_at=TAKEN_AT, elapsed_seconds=1.5, bytes=3_000_000)


@dataclass
class Operations:
    """What a flow called, in order; ``fail`` makes a call raise what it is given, so many times."""

    calls: list[str] = field(default_factory=list)
    failures: dict[str, list[BaseException]] = field(default_factory=dict)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    verdict: Verdict = "passed"
    sealed_into: str = "local"
    _lock: Any = field(default_factory=threading.Lock)

    def fail(self, call: str, error: BaseException, times: int = 1) -> None:
        self.failures[call] = [error] * times

    def called(self, call: str) -> int:
        return self.calls.count(call)

    def _enter(self, call: str) -> None:
        if call in self.before:
            self.before[call]()
        with self._lock:
            self.calls.append(call)
            waiting = self.failures.get(call)
            error = waiting.pop() if waiting else None
        if error is not None:
            raise error

    def sweep(self, fleet: Any, plan: str, now: Any) -> list[str]:
        self._enter("sweep")
        return []

    def preflight(self, fleet: Any, plan: str) -> list[Finding]:
        self._enter("preflight")
        return self.findings

    def seal(self, fleet: Any, plan: str, kind: Any, now: Any, progress: Any) -> Sealed:
        self._enter("seal")
        progress(5_000_000)
        manifest = manifest_of(plan=plan, kind=kind, stored_bytes=3_000_000, plain_bytes=5_000_000)
        return Sealed(manifest=manifest.model_copy(update={"timings": (timing("seal"),)}), store=self.sealed_into)

    def copy(self, fleet: Any, plan: str, backup: str, source: str, target: str, progress: Any, now: Any) -> Copied:
        self._enter(f"copy {source} {target}")
        progress(3_000_000)
        return Copied(store=target, stored_bytes=3_000_000, existed=False, timing=timing(f"copy to {target}"))

    def prove(self, fleet: Any, plan: str, backup: str, store: str, now: Any, progress: Any) -> Proof:
        self._enter(f"prove {store}")
        progress(10_000_000)
        moment = datetime.now(UTC)
        return Proof(
            plan=plan,
            backup=backup,
            store=store,
            verdict=self.verdict,
            reason={"passed": "all came back", "failed": "1 objects differ", "could-not-run": "no binaries"}[
                self.verdict
            ],
            started_at=moment,
            finished_at=moment,
            stored_sha256="0" * 64,
            backproof_version="0.1.0",
            proven_on="scratch",
            server_version="16.14",
            timings=(timing("restore"), timing("dump again")),
        )

    def manifest(self, fleet: Any, plan: str, backup: str = "latest", store: str | None = None) -> Any:
        if backup not in ("latest", BACKUP):
            raise NotFound(f"no backup {backup}")
        return manifest_of(plan=plan, plain_bytes=5_000_000), store or "local"


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch) -> Operations:
    """The stand-ins, in place of the library's."""
    from backproof import catalog

    stand_ins = Operations()
    for module, name in ((sweep, "sweep"), (preflight, "preflight"), (seal, "seal"), (copy, "copy"), (prove, "prove")):
        monkeypatch.setattr(module, name, getattr(stand_ins, name))
    monkeypatch.setattr(catalog, "manifest", stand_ins.manifest)
    return stand_ins
