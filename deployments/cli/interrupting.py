"""Ctrl-C in a recovery: what was begun is ended in good order, and whoever pressed it hears what there is and goes on.

Pressed again, it does not cut that short: half ended, it would leave programs at work and a database that is closed.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from deployments.cli import exits, speaking

if TYPE_CHECKING:
    from backproof.recovery.context import Recovery

LEAVE_AFTER_SECONDS = 15.0
"""So long it may take to end what was begun, such as where a server answers no more; then the process ends all the
same."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The last is that of a terminal that is gone."""


@contextmanager
def interruptible() -> Iterator["Callable[[Recovery], None]"]:
    """Around a recovery, from its choice to its report; gives what is to be told the recovery once there is one."""
    from backproof.errors import Busy

    begun: list[Recovery] = []
    with _heard_once(lambda: _say_what_is_left(begun)):
        try:
            yield begun.append
        except Busy:
            raise
        except Exception:
            if begun and begun[0].journal.closed is None:
                _say_what_is_left(begun)
            raise
        except BaseException:
            _say_what_is_left(begun)
            raise


def _say_what_is_left(begun: "list[Recovery]") -> None:
    from backproof.recovery.interrupted import left

    speaking.warn(left(begun[0]) if begun else "nothing was changed")


@contextmanager
def _heard_once(last_words: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = threading.Event()

    def hear(*_: object) -> None:
        if heard.is_set():
            _write(f"what was begun is being ended: {LEAVE_AFTER_SECONDS:.0f} seconds at most")
            return
        heard.set()
        leaving = threading.Timer(LEAVE_AFTER_SECONDS, _leave, (last_words,))
        leaving.daemon = True
        leaving.start()
        _write("stopping")
        raise KeyboardInterrupt

    heeded = [number for number in _SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, hear) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            # The process is about to end, and no second one changes how: an interpreter that ends forgets its handlers.
            signal.signal(number, signal.SIG_IGN if heard.is_set() else handler)


def _leave(last_words: Callable[[], None]) -> NoReturn:
    from backproof import subprocesses

    subprocesses.kill_all()
    last_words()
    click.echo("stopped", err=True)
    os._exit(exits.INTERRUPTED)


def _write(line: str) -> None:
    # Past the stream, which may be amidst a line of its own.
    try:
        os.write(2, f"{line}\n".encode())
    except OSError:
        return  # the terminal is gone
