"""A database server of a test's own that is killed and comes back at the same address, on a disk that can be filled."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from backproof.engines.mysql.server import private_server as start_mariadb
from backproof.engines.postgresql.server import private_server as start_postgresql
from backproof.records import Target
from backproof.scratch import workspace
from tests.support.engine_harness import MYSQL, POSTGRESQL, Harness
from tests.support.postgres_fixtures import PASSWORD
from tests.support.small_disks import fill, small_disk


def _postgresql(folder: Path, port: int) -> AbstractContextManager[Target]:
    settings = {"wal_level": "replica", "max_wal_senders": "4"}
    return start_postgresql(16, folder, port=port, password=PASSWORD, settings=settings, durable=True)


def _mariadb(folder: Path, port: int) -> AbstractContextManager[Target]:
    settings = {"innodb_log_file_size": "32M"}
    return start_mariadb(folder, port=port, password=PASSWORD, settings=settings, durable=True)


@dataclass(frozen=True)
class _Way:
    """How one kind is started, and ended as by a power cut."""

    start: Callable[[Path, int], AbstractContextManager[Target]]
    pid_file: str
    signal: int


_WAYS = {
    POSTGRESQL.engine: _Way(_postgresql, "postmaster.pid", signal.SIGQUIT),
    MYSQL.engine: _Way(_mariadb, "mysqld.pid", signal.SIGKILL),
}


@dataclass
class Server:
    """One of any kind."""

    harness: Harness
    folder: Path
    disk: Path
    target: Target
    _running: ExitStack
    _up: Event = field(default_factory=Event)

    def wait(self, _: float) -> None:
        """Until it is there again, for however long somebody meant to sleep."""
        assert self._up.wait(120), "the server does not come back"

    def restart(self) -> None:
        """Whoever is connected is cut off; what was committed is there."""
        way = _WAYS[self.harness.engine]
        self._up.clear()
        os.kill(int((self.folder / "data" / way.pid_file).read_text().split()[0]), way.signal)
        self.stop()
        self.start()

    def stop(self) -> None:
        """And leave what it has."""
        self._up.clear()
        self._running.pop_all().close()

    def start(self) -> None:
        """Where it was."""
        self._running.enter_context(_WAYS[self.harness.engine].start(self.folder, self.target.port))
        self._up.set()

    def settle(self) -> None:
        """Have all that was written lie on the disk."""
        self.harness.run(self.target, "CHECKPOINT" if self.harness is POSTGRESQL else "FLUSH TABLES")

    @contextmanager
    def filling(self) -> Iterator[Callable[[], None]]:
        """What fills its disk; there is room again when the context ends."""
        try:
            yield lambda: fill(self.disk)
        finally:
            (self.disk / "filler").unlink(missing_ok=True)


@contextmanager
def restartable(harness: Harness, size: str = "300m") -> Iterator[Server]:
    """One that lasts as long as the context.

    PostgreSQL's tables alone are on the disk: where there is no room for its log it stops for good, as MariaDB does
    where there is none for anything. That is no matter of ours.
    """
    with small_disk(size) as disk, workspace("test") as folder:
        where = folder / "own"
        with ExitStack() as running:
            made = Server(harness, where, disk, running.enter_context(_WAYS[harness.engine].start(where, 0)), running)
            if harness is POSTGRESQL:
                made.stop()
                tables = where / "data" / "base"
                subprocess.run(["cp", "-a", tables, disk / "base"], check=True)
                shutil.rmtree(tables)
                tables.symlink_to(disk / "base")
                made.start()
            yield made
