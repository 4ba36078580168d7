"""Kill -9 of a whole run, at moments spread over all it does: nothing is lost, and nothing is left after a sweep."""

from collections.abc import Iterator
from secrets import token_hex
from typing import Any

import pytest

from backproof.records import Target
from deployments.servers.seaweedfs import S3Server
from tests.support.fleets import described
from tests.support.killing import Victim, moments
from tests.support.postgres_fixtures import databases
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY

SHOP = """
CREATE TABLE orders (id serial PRIMARY KEY, note text, blob bytea);
INSERT INTO orders (note, blob) SELECT 'note ' || n, decode((
    SELECT string_agg(md5(n::text || i::text), '') FROM generate_series(1, 256) i), 'hex')
    FROM generate_series(1, 2500) n;
CREATE INDEX ON orders (note);
CREATE VIEW notes AS SELECT note FROM orders;
"""
"""Ten megabytes that don't compress: S3 takes their archive in parts."""

RUNS = {
    "a seal into a folder": ("seal", ["near"]),
    "a seal into S3": ("seal", ["far"]),
    "a copy to S3": ("copy", ["near", "far"]),
    "a copy from S3 to a folder": ("copy", ["far", "near"]),
    "a proof": ("prove", ["near"]),
}


@pytest.fixture(scope="module")
def shop(postgres18: Target) -> Iterator[Target]:
    with databases() as fresh:
        yield fresh(postgres18, SHOP)


@pytest.fixture(scope="module", params=RUNS)
def victim(
    request: pytest.FixtureRequest,
    shop: Target,
    regions: tuple[S3Server, S3Server],
    tmp_path_factory: pytest.TempPathFactory,
) -> Victim:
    operation, names = RUNS[request.param]
    folder = tmp_path_factory.mktemp("victim")
    places: dict[str, dict[str, Any]] = {
        "near": {"type": "local", "path": str(folder / "near")},
        "far": {
            "type": "s3",
            "bucket": BUCKET,
            "region": REGIONS[0],
            "prefix": f"killed-{token_hex(6)}",
            "endpoint_url": regions[0].endpoint_url,
        },
    }
    stores = {name: places[name] for name in names}
    description = described(shop, folder, stores, credentials=(ACCESS_KEY, SECRET_KEY))
    return Victim(description, folder, operation, {"far": regions[0]})


@pytest.mark.slow
@pytest.mark.parametrize("moment", moments(12), ids=lambda moment: f"{moment:.0%}")
def test_a_killed_run_loses_nothing_leaves_nothing_and_can_be_run_again(victim: Victim, moment: float) -> None:
    victim.kill(moment)
