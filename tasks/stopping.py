"""How a run stops: cancelled, interrupted or failing, it leaves no child and no thread at work.

Cancel and SIGTERM raise in the main thread alone; a submitted task in its thread never hears of them. So the flow's
body kills every child process, whose threads then see their pipes close, and a thread that has no child finds out the
next time it reports progress or asks for the time. One that waits for a network that stalled would find out late: where
the process is the run's own, it ends without it, and what that leaves is swept by the next run.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

from backproof import subprocesses
from backproof.operations.clock import utc_now


class Stopped(BaseException):
    """The run was told to stop. No ``Exception``: nobody between here and the clean-up may take it for a result."""


LEAVE_AFTER_SECONDS = 15.0
"""Long enough to abort an upload and to remove a scratch folder, shorter than a worker's patience."""

own_process = False
"""Whether this process lives for one run only: the command line says so; a worker's is known by its environment."""

_told: ContextVar[threading.Event] = ContextVar("told_to_stop")


@contextmanager
def stopping_cleanly() -> Iterator[None]:
    """Around a flow's body: whatever leaves it stops all that the run has started. Submitted tasks inherit it."""
    told = threading.Event()
    token = _told.set(told)
    others = subprocesses.live()  # of this process, but not of this run
    try:
        yield
    except BaseException as error:
        told.set()  # first: a task whose child dies must neither try again nor take it for a verdict
        if not isinstance(error, Exception) and (own_process or "PREFECT__FLOW_RUN_ID" in os.environ):
            _leave_soon()
        subprocesses.kill_all(spare=others)
        raise
    finally:
        _told.reset(token)


def told() -> threading.Event:
    """What is set when the run that this thread works for is ending; for threads that do not inherit it."""
    return _told.get(None) or threading.Event()


def check(told_to_stop: threading.Event | None = None) -> None:
    """Go on only while the run goes on.

    Raises:
        Stopped: it was told to stop.
    """
    if (told_to_stop or told()).is_set():
        raise Stopped


def now() -> datetime:
    """The clock that operations are given. After the run was told to stop there is no time left for a verdict."""
    check()
    return utc_now()


def _leave_soon() -> None:
    """End the process in a while, whatever its threads still wait for."""
    leaving = threading.Timer(LEAVE_AFTER_SECONDS, os._exit, (1,))
    leaving.daemon = True
    leaving.start()
