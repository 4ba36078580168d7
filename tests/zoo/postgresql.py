"""``python -m tests.zoo.postgresql SOURCE_FOLDER [--major 16] [--headers FOLDER] [--keep FOLDER]``.

Runs the regression tests of an unpacked PostgreSQL source (the core's and the contributed extensions') against a
private server, then seals, proves and restores every database that they leave behind, and prints what came of it.
"""

import argparse
import re
from collections import Counter
from pathlib import Path

from rich.console import Console

from backproof import subprocesses
from backproof.engines import find
from backproof.engines.postgresql import binaries
from backproof.engines.postgresql.pgdump import environment
from backproof.engines.postgresql.server import private_server
from backproof.records import Target
from backproof.scratch import workspace
from tests.support.postgres_fixtures import execute
from tests.zoo.passage import Dump, Journey, Passage, table_of
from tests.zoo.postgres_catalogue import facts
from tests.zoo.postgres_suites import build, fill, major_of, suites

SETTINGS = {"wal_level": "logical", "max_prepared_transactions": "10", "max_replication_slots": "20"}

ACCEPTED: dict[str, str] = {}
"""Objects that a proof finds to differ, with pg_dump's bug as the reason: none so far."""

EXPLAINED = {
    r"amop|amproc|(function|operator) of access method": "added to a system's operator family: pg_dump leaves it out",
    r"operator .* code - |operator public\.!==|operator .*!==": "an operator without a function: pg_dump leaves it out",
    r"object table constraint |constraint n |table constraint \S+ on \S+ on table column": "an inherited"
    " constraint comes back under its parent's name",
    r"on transform for ": "made after the transform now, so the server notes that it may use it",
    r"column .*\.\S+idx ": "an index's column keeps the name its table's column had when it was made",
    r"postgres_fdw_abs|===\(integer|dictionary (intdict|xsyn)": "changed by hand in an extension: said",
}
"""What a catalogue's fact is about, to why it is no loss that nobody was told of."""

_TOKEN = re.compile(rb"^\\(?:un)?restrict .*\n", re.MULTILINE)


def main() -> None:
    """Fill, send through, print."""
    options = _options()
    source, console = options.source.resolve(), Console()
    major = options.major or major_of(source)
    installation = next(each for each in binaries.folders() if each.major == major)
    with workspace("zoo") as folder:
        place = options.keep or folder
        libraries = build(source, installation, place / "lib", options.headers)
        with private_server(major, place / "server", port=0, password="zoo", settings=SETTINGS) as server:
            chosen = [suite for suite in suites(source, installation) if suite.name in (options.suites or [suite.name])]
            for suite in chosen:
                if suite.database not in _databases(server):
                    said = fill(suite, server, installation, libraries, place / "results" / suite.name, options.without)
                    console.print(f"{suite.name}: {said}", highlight=False)
            if options.then:
                execute(server.to("regression"), options.then)
            journey = Journey(
                find("postgresql"), stock_dump(major), catalogue, folder / "stores", ACCEPTED, options.singly
            )
            databases = [each for each in _databases(server) if each in {suite.database for suite in chosen}]
            passages = [_told(journey.travel(server.to(database)), console) for database in databases]
    console.print(table_of(f"source {source.name}, server {installation.version}", passages))


def _options() -> argparse.Namespace:
    def names(listed: str) -> list[str]:
        return listed.split(",")

    parser = argparse.ArgumentParser(prog="python -m tests.zoo.postgresql", description=__doc__)
    parser.add_argument("source", type=Path, help="an unpacked PostgreSQL source")
    parser.add_argument("--major", type=int, help="of the server (default: the source's)")
    parser.add_argument("--headers", type=Path, help="where postgres.h is (default: where pg_config says)")
    parser.add_argument("--suites", type=names, help="just these, such as regress,hstore")
    parser.add_argument("--without", type=names, default=[], help="tests to leave out, if one crashes the server")
    parser.add_argument("--then", help="SQL for the database regression, once its tests have run")
    parser.add_argument("--singly", type=int, help="about how many tables of each to restore alone (default: all)")
    parser.add_argument("--keep", type=Path, help="work here and keep all of it, to be used again")
    return parser.parse_args()


def _databases(server: Target) -> list[str]:
    query = "SELECT datname FROM pg_database WHERE datallowconn AND datname !~ '^(template|postgres$)' ORDER BY 1"
    return [name for (name,) in execute(server, query)]


def stock_dump(major: int) -> Dump:
    """The stock pg_dump of a version, all of a database as text without its one-time tokens."""
    program = binaries.find("pg_dump", major)

    def dump(target: Target) -> bytes:
        with environment(target) as variables:
            ran = subprocesses.run([str(program)], deadline_seconds=600, env=variables)
        return _TOKEN.sub(b"", ran.stdout) if ran.returncode == 0 else f"pg_dump: {ran.stderr}".encode()

    return dump


def catalogue(database: Target) -> Counter[str]:
    """All facts of the catalogue."""
    return Counter(f"{kind} {fact}" for kind, found in facts(database).items() for fact in found.elements())


def _told(passage: Passage, console: Console) -> Passage:
    """Print what is to be looked at; what is explained only as a number."""
    explained: Counter[str] = Counter()
    console.print(f"{passage.name}: {passage.verdict}", highlight=False)
    for line in passage.trouble():
        reason = next((why for what, why in EXPLAINED.items() if line[0] in "-+" and re.search(what, line)), None)
        if reason:
            explained[reason] += 1
        else:
            console.print(f"    {line[:600]}", highlight=False, markup=False, soft_wrap=True)
    for reason, number in explained.items():
        console.print(f"    {number} facts: {reason}", highlight=False, soft_wrap=True)
    return passage


if __name__ == "__main__":
    main()
