"""PostgreSQL beside pg_dump, gzip, psql and pg_restore, on a durable server with default settings."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from backproof.engines.postgresql import binaries
from backproof.engines.postgresql.connect import connect
from backproof.engines.postgresql.server import private_server
from backproof.records import Target
from backproof.subprocesses import secret_file
from benchmarks import data
from benchmarks.bench import OURS, Bench, Case, region
from benchmarks.measure import Run

MAJOR = 16


@dataclass
class PostgresBench(Bench):
    """The programs are of the server's own version."""

    programs: Path = field(default_factory=Path)

    @property
    def versions(self) -> Mapping[str, str]:
        """All PostgreSQL's own."""
        return {"pg_dump, psql, pg_restore": self.name}

    @property
    def cases(self) -> Mapping[str, Case]:
        """Name of a case to what it does."""
        return {**CASES, **OURS}

    def program(self, name: str) -> str:
        """A stock tool."""
        return str(self.programs / name)

    def empty(self, database: str) -> str:
        """A new database."""
        self.drop(database)
        _sql(self.server, f'CREATE DATABASE "{database}" TEMPLATE template0')
        return database

    def drop(self, database: str) -> None:
        """Remove a database."""
        _sql(self.server, f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        _sql(self.server, "CHECKPOINT")

    def plain(self) -> Path:
        """The stock plain dump, made once: what ``gunzip|psql`` restores."""
        made = self.folder / "plain.sql.gz"
        if not made.exists():
            self.shell(f"{self.program('pg_dump')} bench | gzip -1 > {made}")
        return made

    def directory(self) -> Path:
        """The stock directory dump, made once: what ``pg_restore`` restores."""
        made = self.folder / "directory"
        if not made.exists():
            self.shell(f"{self.program('pg_dump')} -Fd -j2 -Z1 -f {made} bench")
        return made


@contextmanager
def started(folder: Path, size_mb: int, say: Callable[[str], None]) -> Iterator[Bench]:
    """The server with default settings, durable, as a production server is."""
    with private_server(MAJOR, folder / "server", port=0, durable=True) as server, region(folder) as s3:
        assert server.password is not None
        _sql(server, "CREATE DATABASE bench")
        say(f"filling a database of about {size_mb} MB on PostgreSQL {MAJOR} …")
        for statement in data.postgresql(size_mb):
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
            programs = binaries.find("pg_dump", MAJOR).parent
            version = next(each.version for each in binaries.folders() if each.bin == programs)
            bench = PostgresBench(f"postgresql {version}", folder, server, size, environment, programs=programs)
            bench.write_fleet("postgresql", s3)
            yield bench


def _dump_gzip(bench: PostgresBench) -> Run:
    return bench.shell(f"{bench.program('pg_dump')} bench | gzip > {bench.folder}/timed.sql.gz")


def _dump_directory(bench: PostgresBench) -> Run:
    return bench.shell(
        f"rm -rf {bench.folder}/timed; {bench.program('pg_dump')} -Fd -j2 -Z1 -f {bench.folder}/timed bench"
    )


def _restore_psql(bench: PostgresBench) -> Run:
    source, database = bench.plain(), bench.empty("restored")
    psql = f"{bench.program('psql')} -qX -v ON_ERROR_STOP=1 -d {database} -o /dev/null"
    result = bench.shell(f"gunzip -c {source} | {psql} && {psql} -c ANALYZE")
    bench.drop(database)
    return result


def _restore_pg_restore(bench: PostgresBench, options: str = "") -> Run:
    source, database = bench.directory(), bench.empty("restored")
    analyze = f"{bench.program('psql')} -qX -d {database} -c ANALYZE"
    result = bench.shell(
        f"{bench.program('pg_restore')} --exit-on-error -j2 {options} -d {database} {source} && {analyze}"
    )
    bench.drop(database)
    return result


def _restore_table_pg_restore(bench: PostgresBench) -> Run:
    """It leaves out keys and indexes of the table; ours brings them."""
    return _restore_pg_restore(bench, "-t event")


def _verify(bench: Bench) -> Run:
    bench.sealed()
    return bench.ours("verify")


CASES: Mapping[str, Case] = {
    "seal": Case(Bench.seal, {"pg_dump|gzip": _dump_gzip, "pg_dump -Fd -j2": _dump_directory}),
    "restore": Case(
        lambda bench: bench.restore("restore", "restored"),
        {"gunzip|psql": _restore_psql, "pg_restore -j2": _restore_pg_restore},
    ),
    "verify": Case(_verify, {"gunzip|psql": _restore_psql}),
    "restore-table": Case(
        lambda bench: bench.restore("restore-table", "restored", "event"),
        {"pg_restore -j2": _restore_table_pg_restore},
    ),
}


def _sql(target: Target, statement: str) -> int:
    connection = connect(target, autocommit=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return int(cursor.fetchone()[0]) if cursor.description else 0
    finally:
        connection.close()
