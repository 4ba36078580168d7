"""What must survive the round trip, a kind at a time, on real servers: dump, restore, dump again, compare."""

import pytest

from backproof.engines import Engine, find
from backproof.records import Target
from tests.support.postgres_fixtures import FreshDatabase, execute
from tests.support.postgres_zoo import ZOO, Specimen
from tests.support.round_trip import expect_complete, round_trip


@pytest.fixture(scope="module")
def engine() -> Engine:
    return find("postgresql")


def filled(fresh_database: FreshDatabase, server: Target, script: str) -> Target:
    """A database made by a script, in which ``\\gexec`` runs what a query returns."""
    database = fresh_database(server)
    for part in script.split("\\gexec"):
        for row in execute(database, part) if part.strip() else ():
            if isinstance(row[0], str) and row[0].startswith("CREATE"):
                execute(database, row[0])
    return database


@pytest.mark.parametrize("specimen", ZOO, ids=str)
def test_it_comes_back_as_it_was(
    engine: Engine, postgres: Target, fresh_database: FreshDatabase, specimen: Specimen
) -> None:
    [[major]] = execute(postgres, "SELECT current_setting('server_version_num')::int / 10000")
    script = specimen.script if major >= specimen.since else "CREATE TABLE t (a int)"
    probe = specimen.probe if major >= specimen.since else "SELECT count(*) FROM t"
    live = filled(fresh_database, postgres, script)
    with round_trip(engine, live, live.to(f"{live.database} beside")) as returned:
        assert returned.differences == ()
        assert [sentence for sentence in returned.left_out if "subscription" not in sentence.lower()] == []
        expect_complete(returned.source)
        rows = execute(returned.target, probe)
        assert rows
        assert rows == execute(live, probe)
    engine.drop(live)  # a subscription would keep a plain DROP DATABASE from working
