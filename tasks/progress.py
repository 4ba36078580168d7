"""A progress artifact with rate and time left, kept by a thread of its own: the work never waits for Prefect's API."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException

from tasks import stopping, words

EVERY_SECONDS = 2.0
API_ERRORS = (httpx.HTTPError, PrefectException, OSError, RuntimeError)
"""What Prefect's client raises when its server is away or unwell."""


class Progress:
    """Bytes done so far; may be told from several threads. Raises ``Stopped`` when the run is ending."""

    def __init__(self, what: str, total: int | None) -> None:
        self.what = what
        self.total = total
        self._told = threading.Lock()
        self.finished = False
        self._done = 0
        self._began = time.monotonic()
        self._stopping = stopping.told()

    def __call__(self, count: int) -> None:
        stopping.check(self._stopping)
        with self._told:
            self._done += count

    @property
    def percent(self) -> float:
        """Of the expected total; it may turn out larger than expected, so never the whole before the end."""
        if self.finished:
            return 100.0
        return min(99.0, 100 * self._done / self.total) if self.total else 0.0

    def describe(self) -> str:
        """``sealing shop: 120.3 MB of 265.0 MB, 48.1 MB/s, 3.0 s left``."""
        done, seconds = self._done, time.monotonic() - self._began
        parts = [f"{words.size(done)} of {words.size(self.total)}" if self.total else words.size(done)]
        if speed := words.rate(done, seconds):
            parts.append(speed)
        if self.total and 0 < done < self.total:
            parts.append(f"{words.duration((self.total - done) * seconds / done)} left")
        return f"{self.what}: {', '.join(parts)}"


@contextmanager
def progress(key: str, what: str, total: int | None = None) -> Iterator[Progress]:
    """Report while the context lasts.

    Args:
        key: of the artifact: lower-case letters, digits, hyphens; its history stays under it.
        what: ``sealing shop``.
        total: expected bytes, where they are known.
    """
    reported = Progress(what, total)
    over = threading.Event()
    # The copied context ties the artifact to this task's run.
    reporter = threading.Thread(target=copy_context().run, args=(_report, key, reported, over), daemon=True)
    reporter.start()
    try:
        yield reported
        reported.finished = True
    finally:
        over.set()
        reporter.join(timeout=EVERY_SECONDS)


def _report(key: str, reported: Progress, over: threading.Event) -> None:
    artifact: UUID | None = None
    while not over.wait(EVERY_SECONDS if artifact else 0.5):
        artifact = _put(key, artifact, reported.percent, reported.describe())
    _put(key, artifact, reported.percent, reported.describe())


def _put(key: str, artifact: UUID | None, percent: float, description: str) -> UUID | None:
    try:
        if artifact is None:
            created = create_progress_artifact(percent, key=key, description=description)
            return created if isinstance(created, UUID) else None
        update_progress_artifact(artifact, percent, description=description)
    except API_ERRORS:
        pass  # progress is a courtesy; the next update may get through
    return artifact
