"""``python -m tests.zoo.mariadb FOLDER [--suites main,vcol,…] [--files WORD] [--jobs 2] [--to results.jsonl]``.

FOLDER is where Debian's packages mariadb-test and mariadb-test-data of the installed server's version are unpacked
(``dpkg -x``). Each of their test files is run in a schema of its own on a private server, what it drops is set aside
instead, and what remains is dumped, restored on a scratch server under another name, dumped again and compared, as a
proof does. Then the servers' own catalogues and checksums are compared, without our code: what differs there after we
said passed is printed as LOST.
"""

import argparse
import collections
import difflib
import itertools
import json
import multiprocessing
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pymysql

from backproof.engines.mysql import ENGINE, inventory, scratch
from backproof.engines.mysql.server import private_server
from backproof.errors import BackproofError
from backproof.records import Target
from backproof.scratch import make_folder, workspace
from tests.support.debian_samples import MARIADB_PLUGINS
from tests.support.mariadb_fixtures import connection, execute
from tests.support.round_trip import MemorySource, compared, taken
from tests.zoo import mariadb_inventory
from tests.zoo.mariadb_loading import SCHEMA, Loading

SUITES = (
    "main,funcs_1,gcol,vcol,versioning,period,json,sql_sequence,innodb_gis,innodb_fts,jp,parts,compat/oracle,heap,csv,"
    "archive,maria,roles,handler,innodb,plugins,binlog,engines/funcs"
)
PLUGINS = ("ha_archive", "ha_blackhole")
RESTORED = "restored"
LOAD_SECONDS = 10.0
TRIP_SECONDS = 120
_ALWAYS_SAID = ("Passwords of accounts", "Sequences go on after")
_LIVE = {
    "character_set_server": "latin1",
    "log_bin_trust_function_creators": "1",
    "local_infile": "0",
    "secure_file_priv": "/nonexistent",
    "innodb_file_per_table": "1",
    "query_cache_size": "0",
    "max_heap_table_size": "16M",
}


@dataclass
class Result:
    """What became of one test file's objects."""

    suite: str
    file: str
    verdict: str = "empty"
    """``empty``, ``passed``, ``named`` (passed, with findings), ``refused``, ``failed``, ``lost`` or ``broken``."""
    objects: int = 0
    seconds: float = 0.0
    reasons: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    unreadable: int = 0
    ran: int = 0
    files: int = 1


class _Overtime(Exception):
    pass


@contextmanager
def _within(seconds: int) -> Iterator[None]:
    def over(*_: object) -> None:
        raise _Overtime

    signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


class Worker:
    """A live server, a scratch server, and whatever goes wrong with them."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self._root = root
        self._stack = stack
        self._open: ExitStack | None = None
        self._live = self._scratch = Target(host="", port=1, database="", user="")

    def _start(self) -> None:
        if self._open is not None:
            self._open.close()
        self._open = self._stack.enter_context(ExitStack())
        folder = self._open.enter_context(workspace("zoo"))
        self._files = folder / "files"
        make_folder(self._files)
        self._files.chmod(0o777)
        plugins = _plugins(folder / "plugins")
        settings = {**_LIVE, **plugins}
        self._live = self._open.enter_context(private_server(folder / "live", settings=settings, time_zones=True))
        execute(
            self._live,
            [
                f"CREATE DATABASE {SCHEMA} CHARACTER SET latin1",
                f"CREATE EVENT {SCHEMA}.e ON SCHEDULE EVERY 1 DAY DISABLE DO DO 1",
            ],
        )
        manifest = taken(ENGINE, self._live.to(SCHEMA)).manifest
        place = self._open.enter_context(workspace("zoo"))
        with patch.dict(scratch._PURPOSELY, plugins):
            self._scratch = self._open.enter_context(ENGINE.scratch(manifest, place)).to(RESTORED)
        self._accounts = {each: self._users(each) for each in (self._live.host, self._scratch.host)}

    def _users(self, host: str) -> set[tuple[Any, ...]]:
        server = self._live if host == self._live.host else self._scratch
        return set(execute(server.to("mysql"), "SELECT User, Host, is_role FROM mysql.user"))

    def results(self, group: Sequence[tuple[str, Path]]) -> Iterator[Result]:
        """Of several test files in one schema; where anything is the matter, of each in one of its own."""
        if len(group) > 1:
            together = self.result(group[0][0], [path for _, path in group])
            if together.verdict in ("passed", "named", "empty") and not together.reasons:
                yield together
                return
        for suite, path in group:
            yield self.result(suite, [path])

    def result(self, suite: str, paths: Sequence[Path]) -> Result:
        """Of what some test files leave in one schema."""
        made, begun = Result(suite, " ".join(path.name for path in paths), files=len(paths)), time.monotonic()
        try:
            self._clear()
            made.ran = sum(self._load(path) for path in paths)
            made.unreadable = self._drop_unreadable()
            made.objects = mariadb_inventory.objects(self._live.to(SCHEMA))
            if made.objects:
                with _within(TRIP_SECONDS):
                    self._trip(made)
        except _Overtime:
            made.verdict, made.reasons = "broken", [f"no end after {TRIP_SECONDS} s"]
            self._open = self._close()
        except (ConnectionError, pymysql.Error, OSError) as error:
            made.verdict = "broken" if made.objects else "empty"
            made.reasons = [f"{type(error).__name__}: {str(error)[:200]}"]
            self._open = self._close()
        except Exception as error:
            made.verdict, made.reasons = "broken", [f"{type(error).__name__}: {str(error)[:300]}"]
            self._open = self._close()
        made.seconds = round(time.monotonic() - begun, 2)
        return made

    def _close(self) -> None:
        if self._open is not None:
            with suppress(BackproofError, OSError):
                self._open.close()

    def _clear(self) -> None:
        if self._open is None:
            self._start()
        for server in (self._live.to("mysql"), self._scratch.to("mysql")):
            kept = "'mysql','sys','information_schema','performance_schema'"
            names = execute(
                server, f"SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN ({kept})"
            )
            for (name,) in names:
                execute(server, f"DROP DATABASE `{name.replace('`', '``')}`")
            for user, host, is_role in self._users(server.host) - self._accounts[server.host]:
                account = f"'{user}'" if is_role == "Y" else f"'{user}'@'{host}'"
                with suppress(pymysql.Error):
                    execute(server, f"DROP {'ROLE' if is_role == 'Y' else 'USER'} {account}")
            for table in ("db", "tables_priv", "columns_priv", "procs_priv"):
                execute(server, f"DELETE FROM mysql.{table} WHERE Db IN ('{SCHEMA}', '{RESTORED}')")
            execute(server, "FLUSH PRIVILEGES")
        execute(self._live, f"CREATE DATABASE {SCHEMA} CHARACTER SET latin1")

    def _load(self, path: Path) -> int:
        loading = Loading(self._live, self._root, self._files, LOAD_SECONDS)
        try:
            loading.run(path)
            loading.set_all_aside()
        finally:
            loading.close()
        for (number,) in execute(self._live, "SELECT id FROM information_schema.PROCESSLIST WHERE db IS NOT NULL"):
            with suppress(pymysql.Error):
                execute(self._live, f"KILL {number}")
        return loading.ran

    def _drop_unreadable(self) -> int:
        """Views and tables that nobody can read; some only once others are gone."""
        live, dropped = self._live.to(SCHEMA), 0
        while True:
            found = 0
            names = execute(live, f"SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '{SCHEMA}'")
            with closing(connection(live)) as connected, connected.cursor() as cursor:
                for (name,) in names:
                    view = f"`{name.replace('`', '``')}`"
                    try:
                        cursor.execute(f"SHOW FIELDS FROM {view}")
                    except pymysql.Error:
                        cursor.execute(f"DROP VIEW {view}")
                        found += 1
                cursor.execute(
                    "SELECT TABLE_NAME FROM information_schema.TABLES"
                    f" WHERE TABLE_SCHEMA = '{SCHEMA}' AND TABLE_TYPE <> 'VIEW'"
                )
                for (name,) in cursor.fetchall():
                    table = f"`{name.replace('`', '``')}`"
                    try:
                        cursor.execute(f"SELECT 1 FROM {table} LIMIT 0")
                    except pymysql.Error:
                        cursor.execute(f"DROP TABLE {table}")
                        found += 1
            dropped += found
            if not found:
                return dropped

    def _trip(self, made: Result) -> None:
        live = self._live.to(SCHEMA)
        try:
            source = taken(ENGINE, live)
        except BackproofError as error:
            made.verdict, made.reasons = "refused", [f"seal: {type(error).__name__}: {error}"]
            return
        missing = [key for key in source.inventory.objects if key not in source.manifest.entries]
        rows = {table.name: table.rows for table in source.manifest.tables}
        if missing or rows != source.inventory.rows:
            odd = [
                name
                for name in rows.keys() | source.inventory.rows
                if rows.get(name) != source.inventory.rows.get(name)
            ]
            made.verdict, made.reasons = "refused", [f"seal: lacks {[*missing, *odd][:5]}"]
            return
        beside = self._scratch
        try:
            ENGINE.drop(beside)
            ENGINE.provide(beside, source.manifest, ENGINE.lacks(beside, source.manifest))
            ENGINE.create(beside, source.manifest)
            left_out = ENGINE.restore(source, beside, jobs=2, keep_order=True)
            left_out += ENGINE.apply_globals(beside, source.manifest)
            again = taken(ENGINE, beside)
            found = compared(ENGINE, source, again, beside)
        except BackproofError as error:
            made.verdict, made.reasons = "failed", [f"restore: {type(error).__name__}: {error}"]
            return
        if found:
            made.verdict, made.reasons = (
                "failed",
                [f"{each.object}: {each.what}{_changed(source, again, each.object)}" for each in found],
            )
            return
        made.named = [each for each in source.manifest.database.not_carried if not each.startswith(_ALWAYS_SAID)]
        made.named += left_out
        made.verdict, made.reasons = ("named" if made.named else "passed"), []
        inventories = [mariadb_inventory.take(each, (SCHEMA, RESTORED)) for each in (live, beside)]
        differing = [each for each in mariadb_inventory.different(*inventories) if not _same_rows(live, beside, each)]
        if differing:
            made.verdict, made.reasons = "lost", differing


def _plugins(folder: Path) -> dict[str, str]:
    """Settings of a server with further storage engines, which Debian packages with the server it starts."""
    make_folder(folder)
    for name in PLUGINS:
        shutil.copy(MARIADB_PLUGINS / f"{name}.so", folder)
    return {"plugin_dir": str(folder), "plugin_load_add": ";".join(PLUGINS)}


def _same_rows(live: Target, beside: Target, differing: str) -> bool:
    match = re.match(r"rows (.*): \d+ → \d+$", differing)
    return bool(match) and mariadb_inventory.content(live, match[1]) == mariadb_inventory.content(beside, match[1])


def _changed(source: MemorySource, again: MemorySource, key: str) -> str:
    """The lines of a definition that differ."""
    texts = []
    for each in (source, again):
        members = (each.texts[member.offset] for member in each.manifest.members if member.table is None)
        entries = (entry for text in members for entry in ENGINE.entries(text))
        found = next((ENGINE.canonical(entry) for entry in entries if entry.key == key), b"")
        texts.append(found.decode("utf-8", "replace").split("\n"))
    lines = [
        line for line in difflib.unified_diff(*texts, lineterm="", n=0) if not line.startswith(("---", "+++", "@@"))
    ]
    return (" | " + " | ".join(lines))[:600] if lines else ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it all, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.zoo.mariadb", description=__doc__)
    parser.add_argument("folder", type=Path, help="with the packages' files, or their mysql-test itself")
    parser.add_argument("--suites", default=SUITES, help=f"default: {SUITES}")
    parser.add_argument("--files", default="", help="a regular expression for names of test files")
    parser.add_argument("--every", type=int, default=1, help="only every N-th file")
    parser.add_argument("--together", type=int, default=6, help="test files to a schema (default: 6)")
    parser.add_argument("--jobs", type=int, default=2, help="pairs of servers (default: 2)")
    parser.add_argument("--to", type=Path, help="a file for all results, one JSON document a line")
    options = parser.parse_args(arguments)
    root = _root(options.folder)
    files = [each for suite in options.suites.split(",") for each in _files(root, suite)]
    files = [each for each in files if re.search(options.files, each[1].name)][:: options.every]
    groups = [list(batch) for batch in _batches(files, options.together)]
    results = list(_results(root, groups, options.jobs, options.to))
    print(table(results))


def _root(folder: Path) -> Path:
    found = [
        place
        for place in (folder, folder / "usr/share/mysql/mysql-test", folder / "usr/share/mariadb/mariadb-test")
        if (place / "main").is_dir()
    ]
    if not found:
        sys.exit(f"{folder} holds no test suite: unpack the packages mariadb-test and mariadb-test-data into it")
    return found[0].resolve()


def _files(root: Path, suite: str) -> list[tuple[str, Path]]:
    place = root / suite if suite == "main" else root / "suite" / suite
    place = place / "t" if (place / "t").is_dir() else place
    return [(suite, path) for path in sorted(place.glob("*.test"))]


def _batches(files: Sequence[tuple[str, Path]], size: int) -> Iterator[Sequence[tuple[str, Path]]]:
    for _, of in itertools.groupby(files, key=lambda each: each[0]):
        listed = list(of)
        yield from (listed[start : start + size] for start in range(0, len(listed), size))


def _results(root: Path, groups: list[list[tuple[str, Path]]], jobs: int, to: Path | None) -> Iterator[Result]:
    context = multiprocessing.get_context("spawn")
    waiting: Any = context.Queue()
    done: Any = context.Queue()
    for each in [*groups, *[None] * jobs]:
        waiting.put(each)
    processes = [context.Process(target=_work, args=(root, waiting, done)) for _ in range(jobs)]
    for process in processes:
        process.start()
    left = sum(len(group) for group in groups)
    while left:
        result: Result = done.get()
        left -= result.files
        if to:
            with to.open("a") as file:
                file.write(json.dumps(asdict(result)) + "\n")
        if result.verdict not in ("passed", "named", "empty"):
            print(f"{left} left: {result.suite}/{result.file} {result.verdict}: {result.reasons[:2]}", flush=True)
        yield result
    for process in processes:
        process.join()


def _work(root: Path, waiting: Any, done: Any) -> None:
    with ExitStack() as stack:
        # Nobody else changes these tables: no dump need wait until a change would show, for a second each.
        stack.enter_context(patch.object(inventory, "_SETTLED", timedelta(0)))
        worker = Worker(root, stack)
        while (each := waiting.get()) is not None:
            for result in worker.results(each):
                done.put(result)


def table(results: Sequence[Result]) -> str:
    """By suite: test files, databases, objects, verdicts."""
    words = ("passed", "named", "refused", "failed", "lost", "broken")
    lines = [f"| suite | files | databases | objects | {' | '.join(words)} |", "|---" * (4 + len(words)) + "|"]
    by_suite: dict[str, list[Result]] = collections.defaultdict(list)
    for result in results:
        if result.verdict != "empty":
            by_suite[result.suite].append(result)
            by_suite["all"].append(result)
    for suite, of in sorted(by_suite.items(), key=lambda item: (item[0] == "all", item[0])):
        counts = collections.Counter(result.verdict for result in of)
        objects = sum(result.objects for result in of)
        numbers = [sum(result.files for result in of), len(of), objects, *(counts[word] for word in words)]
        lines.append(f"| {suite} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
