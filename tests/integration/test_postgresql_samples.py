"""The round trip on databases that nobody here designed: of well-known programs, loaded with stock psql."""

import subprocess
from pathlib import Path

import pytest

from backproof.engines import find
from backproof.engines.postgresql.pgdump import environment
from backproof.records import Target
from tests.support.debian_samples import POSTGRESQL, script
from tests.support.postgres_fixtures import FreshDatabase
from tests.zoo.passage import Journey
from tests.zoo.postgresql import catalogue, stock_dump


def loaded(sample: str, database: Target) -> Target:
    """Fill a database with a sample."""
    command = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"]
    with environment(database) as variables:
        subprocess.run(
            command,
            env={**variables, "PATH": "/usr/bin:/bin"},
            input=script(POSTGRESQL[sample]),
            check=True,
            capture_output=True,
        )
    return database


@pytest.mark.parametrize(("sample", "major"), [("zabbix", 15), ("icinga", 16), ("powerdns", 18)])
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
