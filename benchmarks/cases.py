"""What is compared with what, and the private server, folder and fleet that all of it runs on."""

import base64
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from backproof.engines.postgresql import binaries
from backproof.engines.postgresql.connect import connect
from backproof.engines.postgresql.server import private_server
from backproof.records import Target
from backproof.subprocesses import secret_file
from benchmarks.data import statements
from benchmarks.measure import Run, run

_AFTER = "ANALYZE"
"""Every restore ends with it: a database without statistics is not back in service."""


@dataclass
class Bench:
    """A server with a generated database, and a fleet that backs it up."""

    major: int
    folder: Path
    server: Target
    programs: Path
    environment: Mapping[str, str]
    database_bytes: int

    @classmethod
    @contextmanager
    def started(cls, folder: Path, major: int, size_mb: int, say: Callable[[str], None]) -> Iterator["Bench"]:
        """The server with default settings, durable, as a production server is."""
        with private_server(major, folder / "server", port=0, durable=True) as server:
            assert server.password is not None
            _sql(server, "CREATE DATABASE bench")
            say(f"filling a database of about {size_mb} MB on PostgreSQL {major} …")
            for statement in statements(size_mb).split(";\n"):
                if statement.strip():
                    _sql(server.to("bench"), statement)
            size = _sql(server, "SELECT pg_database_size('bench')")
            line = f"127.0.0.1:{server.port}:*:{server.user}:{server.password.get_secret_value()}\n"
            with secret_file(line, folder) as passwords:
                environment = {
                    "PGHOST": "127.0.0.1",
                    "PGPORT": str(server.port),
                    "PGUSER": server.user,
                    "PGPASSFILE": str(passwords),
                }
                programs = binaries.find("pg_dump", major).parent
                bench = cls(major, folder, server, programs, environment, size)
                bench.fleet_file.write_text(bench._fleet())
                yield bench

    @property
    def fleet_file(self) -> Path:
        """The benchmark's fleet: one plan, one folder store, encrypted."""
        return self.folder / "fleet.yaml"

    def program(self, name: str) -> str:
        """A stock tool, of the server's own version."""
        return str(self.programs / name)

    def ours(self, *arguments: str) -> Run:
        """Time one of our operations as a command."""
        return run([sys.executable, "-m", "benchmarks.ours", str(self.fleet_file), *arguments], self.environment)

    def shell(self, script: str) -> Run:
        """Time a stock pipe; ``pipefail``, since a failure in it would else look like speed."""
        return run(["bash", "-euo", "pipefail", "-c", script], self.environment)

    def empty(self, database: str) -> str:
        """A new database, without an old one of that name."""
        self.drop(database)
        _sql(self.server, f'CREATE DATABASE "{database}" TEMPLATE template0')
        return database

    def drop(self, database: str) -> None:
        """Remove a database where there is one, and let the server write what it holds back."""
        _sql(self.server, f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        _sql(self.server, "CHECKPOINT")

    def _fleet(self) -> str:
        key = lambda: base64.b64encode(secrets.token_bytes(32)).decode()  # noqa: E731
        assert self.server.password is not None
        return yaml.safe_dump(
            {
                "fleet": "bench",
                "signing": {"private_key": key()},
                "keys": {"main": {"aes256": key()}},
                "stores": {"local": {"type": "local", "path": str(self.folder / "backups")}},
                "databases": {
                    "bench-db": {
                        "engine": "postgresql",
                        "host": "127.0.0.1",
                        "port": self.server.port,
                        "name": "bench",
                        "user": self.server.user,
                        "password": self.server.password.get_secret_value().replace("$", "$$"),
                    }
                },
                "plans": {"bench": {"database": "bench-db", "stores": ["local"], "key": "main"}},
                "scratch_folder": str(self.folder),
            }
        )


@dataclass(frozen=True)
class Case:
    """One thing to be done, our way and the peers'."""

    ours: Callable[[Bench], Run]
    peers: Mapping[str, Callable[[Bench], Run]]

    def run(self, bench: Bench, who: str) -> Run:
        """Do it once."""
        return self.ours(bench) if who == "ours" else self.peers[who](bench)


def _seal(bench: Bench) -> Run:
    shutil.rmtree(bench.folder / "backups", ignore_errors=True)
    return bench.ours("seal")


def _plain(bench: Bench) -> Path:
    """The stock plain dump, made once: what ``gunzip|psql`` restores."""
    made = bench.folder / "plain.sql.gz"
    if not made.exists():
        bench.shell(f"{bench.program('pg_dump')} bench | gzip -1 > {made}")
    return made


def _directory(bench: Bench) -> Path:
    made = bench.folder / "directory"
    if not made.exists():
        bench.shell(f"{bench.program('pg_dump')} -Fd -j2 -Z1 -f {made} bench")
    return made


def _sealed(bench: Bench) -> None:
    if not any((bench.folder / "backups").rglob("*.manifest.json")):
        bench.ours("seal")


def _dump_gzip(bench: Bench) -> Run:
    return bench.shell(f"{bench.program('pg_dump')} bench | gzip > {bench.folder}/timed.sql.gz")


def _dump_directory(bench: Bench) -> Run:
    shutil.rmtree(bench.folder / "timed", ignore_errors=True)
    return bench.shell(f"{bench.program('pg_dump')} -Fd -j2 -Z1 -f {bench.folder}/timed bench")


def _restore(bench: Bench) -> Run:
    _sealed(bench)
    bench.drop("restored")
    result = bench.ours("restore", "restored")
    bench.drop("restored")
    return result


def _restore_psql(bench: Bench) -> Run:
    source, database = _plain(bench), bench.empty("restored")
    psql = f"{bench.program('psql')} -qX -v ON_ERROR_STOP=1 -d {database} -o /dev/null"
    result = bench.shell(f"gunzip -c {source} | {psql} && {psql} -c {_AFTER}")
    bench.drop(database)
    return result


def _restore_pg_restore(bench: Bench, options: str = "") -> Run:
    source, database = _directory(bench), bench.empty("restored")
    analyze = f"{bench.program('psql')} -qX -d {database} -c {_AFTER}"
    result = bench.shell(
        f"{bench.program('pg_restore')} --exit-on-error -j2 {options} -d {database} {source} && {analyze}"
    )
    bench.drop(database)
    return result


def _restore_table(bench: Bench) -> Run:
    _sealed(bench)
    bench.drop("restored")
    result = bench.ours("restore-table", "restored", "event")
    bench.drop("restored")
    return result


def _restore_table_pg_restore(bench: Bench) -> Run:
    """It leaves out keys and indexes of the table; ours brings them."""
    return _restore_pg_restore(bench, "-t event")


def _verify(bench: Bench) -> Run:
    _sealed(bench)
    return bench.ours("verify")


CASES: Mapping[str, Case] = {
    "seal": Case(_seal, {"pg_dump|gzip": _dump_gzip, "pg_dump -Fd -j2": _dump_directory}),
    "restore": Case(_restore, {"gunzip|psql": _restore_psql, "pg_restore -j2": _restore_pg_restore}),
    "verify": Case(_verify, {"gunzip|psql": _restore_psql}),
    "restore-table": Case(_restore_table, {"pg_restore -j2": _restore_table_pg_restore}),
}


def _sql(target: Target, statement: str) -> int:
    connection = connect(target, autocommit=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return int(cursor.fetchone()[0]) if cursor.description else 0
    finally:
        connection.close()
