"""MariaDB beside mariadb-dump, gzip, mariadb, mydumper and myloader, on a durable server with default settings."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backproof import subprocesses
from backproof.engines.mysql.connect import connect
from backproof.engines.mysql.server import private_server
from backproof.records import Target
from backproof.subprocesses import secret_file
from benchmarks import data
from benchmarks.bench import OURS, Bench, Case, region
from benchmarks.measure import Run


@dataclass
class MariaBench(Bench):
    """The stock tools are those on the PATH; mydumper and myloader are left out where they are not installed."""

    defaults: str = ""
    """The option file with address and password."""

    @property
    def versions(self) -> Mapping[str, str]:
        """As the tools say."""
        tools = ["mariadb-dump", "mariadb", *(["mydumper", "myloader"] if _has_mydumper() else [])]
        return {tool: _version(tool) for tool in tools}

    @property
    def cases(self) -> Mapping[str, Case]:
        """Name of a case to what it does."""
        found = {**CASES, **OURS}
        if _has_mydumper():
            return found
        return {
            name: Case(case.ours, {peer: step for peer, step in case.peers.items() if not peer.startswith("my")})
            for name, case in found.items()
        }

    def empty(self, database: str) -> str:
        """A new schema."""
        self.drop(database)
        _sql(self.server, f"CREATE DATABASE `{database}`")
        return database

    def drop(self, database: str) -> None:
        """Remove a schema, and wait until its pages are written: the next run must not pay for it."""
        _sql(self.server, f"DROP DATABASE IF EXISTS `{database}`")
        _sql(self.server, "SET GLOBAL innodb_max_dirty_pages_pct = 0, GLOBAL innodb_max_dirty_pages_pct_lwm = 0")
        while _sql(self.server, _DIRTY) > _CLEAN_PAGES:
            pass
        _sql(self.server, "SET GLOBAL innodb_max_dirty_pages_pct = DEFAULT, GLOBAL innodb_max_dirty_pages_pct_lwm = 0")

    def plain(self) -> Path:
        """The stock plain dump, made once: what ``gunzip|mariadb`` restores."""
        made = self.folder / "plain.sql.gz"
        if not made.exists():
            self.shell(f"{self.dump} | gzip -1 > {made}")
        return made

    def directory(self) -> Path:
        """mydumper's directory, made once: what ``myloader`` restores."""
        made = self.folder / "directory"
        if not made.exists():
            self.shell(f"mydumper --defaults-file={self.defaults} -t 2 -c -B bench -o {made}")
        return made

    @property
    def dump(self) -> str:
        """The stock command."""
        return f"mariadb-dump --defaults-extra-file={self.defaults} --single-transaction --quick --hex-blob bench"


_CLEAN_PAGES = 200
_DIRTY = (
    "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'Innodb_buffer_pool_pages_dirty'"
)


@contextmanager
def started(folder: Path, size_mb: int, say: Callable[[str], None]) -> Iterator[Bench]:
    """The server with default settings, durable, as a production server is."""
    with private_server(folder / "server", port=0, durable=True) as server, region(folder) as s3:
        assert server.password is not None
        _sql(server, "CREATE DATABASE bench")
        say(f"filling a database of about {size_mb} MB on MariaDB …")
        for statement in data.mariadb(size_mb):
            _sql(server.to("bench"), statement)
        _sql(server.to("bench"), "ANALYZE TABLE customer, product, purchase, line, event")
        size = _sql(
            server,
            "SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_schema = 'bench'",
        )
        content = (
            f"[client]\nhost=127.0.0.1\nport={server.port}\nuser={server.user}\n"
            f'password="{server.password.get_secret_value()}"\n'
        )
        with secret_file(content, folder) as options:
            version = _version("mariadbd").partition("-")[0]
            bench = MariaBench(f"mariadb {version}", folder, server, size, defaults=str(options))
            bench.write_fleet("mariadb", s3)
            yield bench


def _dump_gzip(bench: MariaBench) -> Run:
    return bench.shell(f"{bench.dump} | gzip > {bench.folder}/timed.sql.gz")


def _mydumper(bench: MariaBench) -> Run:
    return bench.shell(
        f"rm -rf {bench.folder}/timed; "
        f"mydumper --defaults-file={bench.defaults} -t 2 -c -B bench -o {bench.folder}/timed"
    )


def _analyze(bench: MariaBench) -> str:
    tables = "customer, product, purchase, line, event"
    return f"mariadb --defaults-extra-file={bench.defaults} restored -e 'ANALYZE TABLE {tables}' > /dev/null"


def _restore_client(bench: MariaBench) -> Run:
    source, database = bench.plain(), bench.empty("restored")
    client = f"mariadb --defaults-extra-file={bench.defaults} {database}"
    result = bench.shell(f"gunzip -c {source} | {client} && {_analyze(bench)}")
    bench.drop(database)
    return result


def _myloader(bench: MariaBench) -> Run:
    source, database = bench.directory(), bench.empty("restored")
    result = bench.shell(
        f"myloader --defaults-file={bench.defaults} -t 2 -s bench -B {database} -d {source} && {_analyze(bench)}"
    )
    bench.drop(database)
    return result


def _verify(bench: Bench) -> Run:
    bench.sealed()
    return bench.ours("verify")


CASES: Mapping[str, Case] = {
    "seal": Case(Bench.seal, {"mariadb-dump|gzip": _dump_gzip, "mydumper -t2": _mydumper}),
    "restore": Case(
        lambda bench: bench.restore("restore", "restored"),
        {"gunzip|mariadb": _restore_client, "myloader -t2": _myloader},
    ),
    "verify": Case(_verify, {"gunzip|mariadb": _restore_client}),
    "restore-table": Case(lambda bench: bench.restore("restore-table", "restored", "event"), {}),
}


def _has_mydumper() -> bool:
    return shutil.which("mydumper") is not None and shutil.which("myloader") is not None


def _version(program: str) -> str:
    said = subprocesses.run([program, "--version"], deadline_seconds=20).stdout.decode()
    words = said.replace(",", " ").split()
    return next(word for word in words if word[:1].isdigit() and word.count(".") >= 2)


def _sql(target: Target, statement: str) -> int:
    connection = connect(target)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return int((cursor.fetchone() or [0])[0] or 0) if cursor.description and statement[:6] == "SELECT" else 0
    finally:
        connection.close()
