"""The round trip on databases that nobody here designed: public samples, loaded with stock psql."""

import lzma
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from backproof.engines import find
from backproof.engines.postgresql.pgdump import environment
from backproof.records import Target
from tests.support.postgres_fixtures import FreshDatabase
from tests.zoo.passage import Journey
from tests.zoo.postgresql import catalogue, stock_dump

SAMPLES = Path(__file__).parents[1] / "samples" / "postgresql"

SERVERS: Mapping[str, tuple[int, ...]] = {
    "pagila": (15,),
    "pagila_schema": (18,),
    "chinook": (16,),
    "northwind": (15,),
    "happiness_index": (16,),
}
"""Which server versions each of them visits."""

OWN_DATABASE = (b"DROP DATABASE", b"CREATE DATABASE", b"\\c ")
"""How a script makes a database of its own; here it has another name."""


def loaded(sample: str, database: Target) -> Target:
    """Fill a database with a sample."""
    script = lzma.decompress((SAMPLES / f"{sample}.sql.xz").read_bytes())
    kept = b"".join(line for line in script.splitlines(keepends=True) if not line.startswith(OWN_DATABASE))
    command = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"]
    with environment(database) as variables:
        subprocess.run(command, env={**variables, "PATH": "/usr/bin:/bin"}, input=kept, check=True, capture_output=True)
    return database


def test_every_sample_visits_a_server() -> None:
    assert sorted(SERVERS) == sorted(path.name.removesuffix(".sql.xz") for path in SAMPLES.glob("*.sql.xz"))


@pytest.mark.parametrize(("sample", "major"), [(sample, major) for sample in SERVERS for major in SERVERS[sample]])
def test_a_sample_comes_back_whole_and_table_by_table(
    request: pytest.FixtureRequest, fresh_database: FreshDatabase, tmp_path: Path, sample: str, major: int
) -> None:
    server: Target = request.getfixturevalue(f"postgres{major}")
    live = loaded(sample, fresh_database(server, name=sample))
    journey = Journey(find("postgresql"), stock_dump(major), catalogue, tmp_path, {}, single_tables=2)
    passage = journey.travel(live)
    assert (passage.verdict, passage.differences) == ("passed", ()), passage.reason
    assert passage.left_out == ()
    assert passage.stock == "equal"
    assert passage.facts == []
    assert passage.single == {}
    assert passage.tables > 0
