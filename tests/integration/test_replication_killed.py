"""Kill -9 of a replication, at moments spread over all it does: the next run converges.

A handful of moments; ``make sweep`` tries as many as one likes, each step of it for one.
"""

from collections.abc import Iterator
from contextlib import closing
from secrets import token_hex

import pytest

from deployments.servers.seaweedfs import S3Server
from tests.support.killing import Moment, moments
from tests.support.killing_replication import ReplicationVictim
from tests.support.replicas import folder, region


@pytest.fixture(scope="module")
def victim(regions: tuple[S3Server, S3Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicationVictim]:
    place, prefix = tmp_path_factory.mktemp("replicas"), f"killed-{token_hex(6)}"
    stores = {
        "near": folder(place / "near"),
        "one": region(regions[0], prefix),
        "two": region(regions[1], prefix, 1),
    }
    servers = dict(zip(("one", "two"), regions, strict=True))
    with closing(ReplicationVictim(stores, place, servers)) as victim:
        yield victim


@pytest.mark.parametrize("moment", moments(5), ids=str)
def test_a_killed_replication_loses_nothing_and_the_next_one_converges(
    victim: ReplicationVictim, moment: Moment
) -> None:
    victim.kill(moment)
