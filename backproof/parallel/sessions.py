"""Several connections that fill one database together: the first error ends them all, promptly."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, Protocol, TypeVar

C = TypeVar("C")

_PATIENCE_SECONDS = 5.0


class Stopped(BaseException):
    """Another session failed; says nothing of its own. Never leaves this module."""


class Driver(Protocol[C]):
    """How an engine opens, interrupts and closes a connection."""

    def open(self) -> C:
        """A new connection, without settings yet."""

    def prepare(self, connection: C) -> None:
        """Give it the dump's session settings."""

    def cancel(self, connection: C) -> None:
        """Interrupt what the server does on it; from any thread; raises nothing."""

    def close(self, connection: C) -> None:
        """End it; raises nothing."""


class Sessions(Generic[C]):
    """Connections to one target, each with the dump's session settings; closed, and cancelled, at the end.

    Args:
        driver: of the engine, bound to the database to fill.
    """

    def __init__(self, driver: Driver[C]) -> None:
        self._driver = driver
        self._idle: list[C] = []
        self._open: list[C] = []
        self._lock = threading.Lock()
        self.stopped = threading.Event()

    def __enter__(self) -> "Sessions[C]":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self.stop()
        for connection in self._open:
            self._driver.close(connection)

    @contextmanager
    def one(self) -> Iterator[C]:
        """A connection of one's own for a while; opened where none is idle."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._connect()
        yield connection
        with self._lock:
            self._idle.append(connection)

    def together(self, workers: Sequence[Callable[[C], None]]) -> None:
        """Run each worker in a thread with a connection of its own; the first error stops and replaces all others."""
        errors: list[BaseException] = []
        threads = [threading.Thread(target=self._run, args=(work, errors), daemon=True) for work in workers]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException:
            # Ctrl-C or a cancelled run: what the threads wait for ends with their statements.
            self.stop()
            for thread in threads:
                if thread.ident is not None:
                    thread.join(_PATIENCE_SECONDS)
            raise
        if errors:
            raise errors[0]

    def stop(self) -> None:
        """Cancel what the server is doing for us, on every connection; from any thread."""
        self.stopped.set()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            self._driver.cancel(connection)

    def check(self) -> None:
        """Leave, where another session has failed."""
        if self.stopped.is_set():
            raise Stopped

    def _run(self, work: Callable[[C], None], errors: list[BaseException]) -> None:
        try:
            with self.one() as connection:
                work(connection)
        except Stopped:
            pass
        except BaseException as error:
            with self._lock:
                first = not self.stopped.is_set()
                self.stopped.set()
                if first:
                    errors.append(error)
            self.stop()

    def _connect(self) -> C:
        connection = self._driver.open()
        with self._lock:
            self._open.append(connection)
        self.check()
        self._driver.prepare(connection)
        return connection
