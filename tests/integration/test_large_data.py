"""What is large: a table among others that comes alone from S3, and one row of 100 MB."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backproof import catalog
from backproof.operations.prove import prove
from backproof.operations.restore import restore
from backproof.operations.seal import seal
from backproof.records import Target
from deployments.servers.seaweedfs import S3Server
from tests.support import mariadb_fixtures, postgres_fixtures
from tests.support.fleets import PLAN, fleet_of
from tests.support.proxy import Proxy
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY

BODY = "SELECT id, length(body), md5(body) FROM big"


@dataclass(frozen=True)
class Kind:
    """A kind of database."""

    engine: str
    fresh: Callable[[str], Target]
    rows: Callable[[Target, str], list[Any]]
    noise: str
    """A query of 100,000 numbers, each with text that does not pack well."""
    row_of_100_mb: str


@pytest.fixture
def postgresql(postgres16: Target) -> Iterator[Kind]:
    with postgres_fixtures.databases() as fresh:
        yield Kind(
            "postgresql",
            lambda script: fresh(postgres16, script),
            postgres_fixtures.execute,
            "SELECT n, md5(n::text) || md5((n * 7)::text) FROM generate_series(1, 100000) AS n",
            "CREATE TABLE big (id int PRIMARY KEY, body bytea);"
            "INSERT INTO big VALUES (1, decode(repeat('00ff5c27', 25000000), 'hex'))",
        )


@pytest.fixture
def mariadb() -> Iterator[Kind]:
    settings = {"max_allowed_packet": "256M", "innodb_log_file_size": "2G"}
    with mariadb_fixtures.server(settings=settings) as server, mariadb_fixtures.schemas() as fresh:
        yield Kind(
            "mariadb",
            lambda script: fresh(server, script),
            mariadb_fixtures.execute,
            "SELECT seq, concat(md5(seq), md5(seq * 7)) FROM seq_1_to_100000",
            "CREATE TABLE big (id int PRIMARY KEY, body longblob);"
            "INSERT INTO big VALUES (1, repeat(x'00ff5c27', 25000000))",
        )


@pytest.fixture(params=["postgresql", "mariadb"])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.getfixturevalue(request.param)
    return found


def test_one_table_comes_from_s3_with_little_more_than_its_own_bytes(
    kind: Kind, tmp_path: Path, regions: tuple[S3Server, S3Server]
) -> None:
    tables = ("one", "two", "three")
    live = kind.fresh(
        "".join(f"CREATE TABLE {name} (n int PRIMARY KEY, t text); INSERT INTO {name} {kind.noise};" for name in tables)
    )
    with Proxy(regions[0].endpoint_url) as proxy:
        region = {
            "type": "s3",
            "bucket": BUCKET,
            "region": REGIONS[0],
            "endpoint_url": proxy.url,
            "prefix": kind.engine,
        }
        fleet = fleet_of(live, tmp_path, {"region": region}, credentials=(ACCESS_KEY, SECRET_KEY), engine=kind.engine)
        manifest = seal(fleet, PLAN, "manual").manifest
        beside = live.to(f"{live.database}_beside")
        proxy.bytes_forwarded = 0
        restore(fleet, PLAN, manifest.id, beside.database, tables=["two"])
        read = proxy.bytes_forwarded
    stored = sum(member.length for member in manifest.members if member.table and member.table.endswith("two"))
    assert 3 * stored < manifest.stored_bytes * 1.1
    assert stored < read <= 1.1 * stored + len(fleet.signer.sign(manifest))
    count = "SELECT count(*), max(t) FROM two"
    assert kind.rows(beside, count) == kind.rows(live, count)
    fleet.engine(PLAN).drop(beside)


def test_a_row_of_100_mb_comes_back(kind: Kind, tmp_path: Path) -> None:
    live = kind.fresh(kind.row_of_100_mb)
    fleet = fleet_of(live, tmp_path, engine=kind.engine)
    manifest = seal(fleet, PLAN, "manual").manifest
    proof = prove(fleet, PLAN, manifest.id, "near")
    assert proof.verdict == "passed", proof.reason
    beside = live.to(f"{live.database}_beside")
    restore(fleet, PLAN, manifest.id, beside.database)
    assert kind.rows(beside, BODY) == kind.rows(live, BODY)
    assert catalog.backups(fleet, PLAN)[0].proven_at
    fleet.engine(PLAN).drop(beside)
