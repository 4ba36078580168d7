"""Kill -9 of a whole run, at moments spread over all it does: nothing is lost, left or taken for whole.

A handful of moments; ``make sweep`` tries as many as one likes.
"""

from collections.abc import Iterator
from contextlib import closing
from secrets import token_hex
from typing import Any

import pytest

from deployments.servers.seaweedfs import S3Server
from tests.support.fleets import described
from tests.support.killing import Moment, Victim, moments
from tests.support.kinds import MARIADB, POSTGRESQL
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY

RUNS = {
    "a seal into a folder": (POSTGRESQL, "seal", ["near"]),
    "a seal into S3": (POSTGRESQL, "seal", ["far"]),
    "a copy to S3": (POSTGRESQL, "copy", ["near", "far"]),
    "a copy from S3 to a folder": (POSTGRESQL, "copy", ["far", "near"]),
    "a proof": (POSTGRESQL, "proof", ["near"]),
    "a restore": (POSTGRESQL, "restore", ["near"]),
    "a seal of MariaDB": (MARIADB, "seal", ["near"]),
    "a proof of MariaDB": (MARIADB, "proof", ["near"]),
    "a restore into MariaDB": (MARIADB, "restore", ["near"]),
}
"""A copy knows no kind of database."""


@pytest.fixture(scope="module", params=RUNS)
def victim(
    request: pytest.FixtureRequest, regions: tuple[S3Server, S3Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Victim]:
    kind, operation, names = RUNS[request.param]
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
    with kind.fresh() as fresh:
        shop = fresh(request.getfixturevalue(kind.server), kind.shop.replace("20000", "200") + kind.files)
        stores = {name: places[name] for name in names}
        described_shop = described(shop, folder, stores, credentials=(ACCESS_KEY, SECRET_KEY), engine=kind.engine)
        with closing(Victim(kind, described_shop, folder, operation, {"far": regions[0]})) as victim:
            yield victim


@pytest.mark.slow
@pytest.mark.parametrize("moment", moments(4), ids=str)
def test_a_killed_run_loses_nothing_leaves_nothing_and_can_be_run_again(victim: Victim, moment: Moment) -> None:
    victim.kill(moment)
