"""Waiting for a server so that Ctrl-C is heard: a driver that waits in C keeps the main thread from any signal."""

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")

_PATIENCE_SECONDS = 5.0


def heard(work: Callable[[], T], cancel: Callable[[], object]) -> T:
    """Do something; in the main thread so that whatever is raised there meanwhile ends it.

    Args:
        work: waits for a server.
        cancel: makes it end; called from another thread than that in which it waits.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    done: list[T] = []
    errors: list[BaseException] = []
    context = copy_context()

    def run() -> None:
        try:
            done.append(context.run(work))
        except BaseException as error:
            errors.append(error)

    waiting = threading.Thread(target=run, name="statement", daemon=True)
    try:
        waiting.start()
        waiting.join()
    except BaseException:
        cancel()
        if waiting.ident is not None:
            waiting.join(_PATIENCE_SECONDS)
        raise
    if errors:
        raise errors.pop()
    return done[0]
