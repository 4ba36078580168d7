"""What is compared with what, and what every kind of database's bench has: a folder, a fleet, two stores, the clock."""

import base64
import secrets
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from backproof.records import Target
from benchmarks.measure import Run, run
from deployments.servers.seaweedfs import S3Server, seaweedfs

REGION = "eu-west-1"


Step = Callable[[Any], Run]
"""Given the bench of its own kind."""


@dataclass(frozen=True)
class Case:
    """One thing to be done, our way and the peers'."""

    ours: "Step"
    peers: "Mapping[str, Step]"

    def run(self, bench: "Bench", who: str) -> Run:
        """Do it once."""
        return self.ours(bench) if who == "ours" else self.peers[who](bench)


@dataclass
class Bench(ABC):
    """A server with a generated database, and a fleet that backs it up."""

    name: str
    """Kind and version of the server."""
    folder: Path
    server: Target
    database_bytes: int
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the stock tools need to reach the server."""
    watched: bool = False
    """Whether what is run is watched for its memory, and so slowed."""

    @property
    @abstractmethod
    def versions(self) -> Mapping[str, str]:
        """The stock tools that are measured, each with its version."""

    @property
    @abstractmethod
    def cases(self) -> Mapping[str, Case]:
        """Name of a case to what it does."""

    @abstractmethod
    def empty(self, database: str) -> str:
        """A new database, without an old one of that name."""

    @abstractmethod
    def drop(self, database: str) -> None:
        """Remove a database where there is one, and let the server write what it holds back."""

    @property
    def fleet_file(self) -> Path:
        """The benchmark's fleet: one plan, a folder store and a region, encrypted."""
        return self.folder / "fleet.yaml"

    def ours(self, *arguments: str) -> Run:
        """Time one of our operations as a command."""
        argv = [sys.executable, "-m", "benchmarks.ours", str(self.fleet_file), *arguments]
        return run(argv, self.environment, self.watched)

    def shell(self, script: str) -> Run:
        """Time a stock pipe; ``pipefail``, since a failure in it would else look like speed."""
        return run(["bash", "-euo", "pipefail", "-c", script], self.environment, self.watched)

    def seal(self) -> Run:
        """A new backup, the only one in its store."""
        shutil.rmtree(self.folder / "backups", ignore_errors=True)
        return self.ours("seal")

    def stages(self) -> Run:
        """The same, which prints where its processor time went."""
        shutil.rmtree(self.folder / "backups", ignore_errors=True)
        return run([sys.executable, "-m", "benchmarks.stages", str(self.fleet_file)], self.environment)

    def sealed(self) -> None:
        """That there is one, in both stores."""
        if not any((self.folder / "backups").rglob("*.manifest.json")):
            self.ours("seal")
        if not (mark := self.folder / "backups" / "copied").exists():
            self.ours("copy", "region")
            mark.touch()

    def restore(self, *arguments: str) -> Run:
        """Our restore, into a database that is gone afterwards."""
        self.sealed()
        self.drop("restored")
        result = self.ours(*arguments)
        self.drop("restored")
        return result

    def write_fleet(self, engine: str, region: S3Server) -> None:
        """The fleet file; its secrets live as long as its servers."""
        assert self.server.password is not None
        fleet = {
            "fleet": "bench",
            "signing": {"private_key": _key()},
            "keys": {"main": {"aes256": _key()}},
            "credentials": {"s3": {"access_key_id": region.access_key, "secret_access_key": region.secret_key}},
            "stores": {
                "local": {"type": "local", "path": str(self.folder / "backups")},
                "region": {
                    "type": "s3",
                    "bucket": "bench",
                    "region": REGION,
                    "endpoint_url": region.endpoint_url,
                    "credentials": "s3",
                },
            },
            "databases": {
                "bench-db": {
                    "engine": engine,
                    "host": self.server.host,
                    "port": self.server.port,
                    "name": "bench",
                    "user": self.server.user,
                    "password": self.server.password.get_secret_value().replace("$", "$$"),
                }
            },
            "plans": {"bench": {"database": "bench-db", "stores": ["local", "region"], "key": "main"}},
            "scratch_folder": str(self.folder),
        }
        self.fleet_file.write_text(yaml.safe_dump(fleet))


@contextmanager
def region(folder: Path) -> Iterator[S3Server]:
    """An S3 server of the bench's own."""
    with seaweedfs(folder / "region", "bench", secrets.token_urlsafe(18), ["bench"]) as server:
        yield server


OURS: Mapping[str, Case] = {
    "restore-s3": Case(
        lambda bench: bench.restore("restore", "restored", "region"),
        {"ours, local": lambda bench: bench.restore("restore", "restored", "local")},
    ),
}
"""Cases that know no kind of database."""


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()
