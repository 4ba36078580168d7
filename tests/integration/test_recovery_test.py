"""The recovery test on real servers: a backup from a cloud region, a staging server, a small real application."""

from collections.abc import Iterator

import pytest

from backproof.fleet import Fleet
from deployments.servers.seaweedfs import S3Server
from tests.support.engine_harness import HARNESSES
from tests.support.fleets import PLAN
from tests.support.rehearsing import Rehearsed, rehearsed, statuses


@pytest.fixture(
    scope="module",
    params=[(harness, harness.servers[0]) for harness in HARNESSES],
    ids=lambda pair: pair[0].engine,
)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, regions: tuple[S3Server, S3Server]
) -> Iterator[Rehearsed]:
    harness, server = request.param
    folder = tmp_path_factory.mktemp("rehearsal")
    with rehearsed(harness, request.getfixturevalue(server), folder, regions) as made:
        fleet = made.fleet()
        made.backed_up(fleet)
        made.recorded(fleet)
        yield made


def documented(fleet: Fleet) -> dict[str, str]:
    return {"Documentation accurate": "not run"}


def test_a_whole_recovery_test(made: Rehearsed) -> None:
    fleet = made.fleet(staging={"masking": ["UPDATE parent SET name = 'masked'"]})
    test = made.tested(fleet)
    for point in (*test.checklist, *test.rollback_checklist):
        print(point)
    for each in test.phases:
        print(each.phase, each.elapsed_seconds)
    print(test.summary)
    print(test.model_dump_json(indent=1))
    assert statuses(test) == documented(fleet)
    assert PLAN
