"""The recovery test under attack: a live server by another name, what does not end, what floods: never a false pass."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backproof.fleet import Fleet
from backproof.recovery_test import environment
from backproof.recovery_test.context import Rehearsal
from backproof.recovery_test.record import RecoveryTest
from backproof.recovery_test.run import carry_out
from deployments.servers.seaweedfs import S3Server
from tests.support import fleets
from tests.support.engine_harness import POSTGRESQL, WORLDS
from tests.support.fleets import PLAN
from tests.support.rehearsing import Rehearsed, all_work, on_postgresql, rehearsed


@pytest.fixture(scope="module", params=WORLDS, ids=lambda pair: pair[0].engine)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, regions: tuple[S3Server, S3Server]
) -> Iterator[Rehearsed]:
    harness, server = request.param
    folder = tmp_path_factory.mktemp("attacked")
    with rehearsed(harness, request.getfixturevalue(server), folder, regions) as made:
        fleet = made.fleet()
        made.backed_up(fleet)
        made.recorded(fleet)
        yield made


def point(test: RecoveryTest, name: str) -> tuple[str, str]:
    """How it stands, and its evidence."""
    return next(
        (each.status, each.evidence) for each in (*test.checklist, *test.rollback_checklist) if each.name == name
    )


def around_at(made: Rehearsed, at: datetime, **more: Any) -> Rehearsal:
    """A recovery test on a machine whose clock says so."""
    fleet = made.fleet()
    return Rehearsal(fleet, PLAN, made.around(now=lambda: at), by="tester", runner=all_work, **more)


@on_postgresql
def test_a_backup_that_would_be_from_the_future_is_no_fresh_download(made: Rehearsed) -> None:
    test = carry_out(around_at(made, datetime.now(UTC) - timedelta(days=3)))
    status, evidence = point(test, "File downloads")
    assert (status, "it would be from the future, by 2 d 23 h" in evidence, test.verdict) == ("fail", True, "failed"), (
        evidence
    )


def staged_by_another_name(made: Rehearsed, **live: Any) -> Fleet:
    """The plan's own server as staging server, called otherwise."""
    described = json.loads(json.dumps(made.described(staging={"database": "staging"})))
    assert described["databases"]["shop-db"]["host"] == "127.0.0.1"
    described["databases"]["staging"] = described["databases"]["shop-db"] | {"host": "localhost"}
    described["databases"]["shop-db"] |= live
    return fleets.built(described, made.folder)


def test_a_live_server_is_no_staging_server_by_another_name(made: Rehearsed) -> None:
    before = set(made.harness.run(made.target, made.harness.databases))
    fleet = staged_by_another_name(made)
    test = made.tested(fleet)
    status, evidence = point(test, "Restore")
    assert (status, test.staging) == ("not run", ""), evidence
    assert "is the live server of plan shop, 127.0.0.1" in evidence
    found = next(each for each in environment.look(fleet, PLAN, datetime.now(UTC)) if each.check == "staging")
    assert (found.status, "is the live server of plan shop" in found.found) == ("failed", True)
    assert set(made.harness.run(made.target, made.harness.databases)) == before


def test_a_server_is_known_by_its_socket_and_told_from_another(made: Rehearsed, request: pytest.FixtureRequest) -> None:
    engine = made.fleet().engine(PLAN)
    asked = "SHOW unix_socket_directories" if made.harness is POSTGRESQL else "SELECT @@socket"
    ((place,),) = made.harness.run(made.target, asked)
    socket = str(place).strip('"') if made.harness is POSTGRESQL else str(Path(str(place)).parent)
    assert engine.same_server(made.target, made.target.model_copy(update={"host": socket}).to("not_there"))
    assert not engine.same_server(made.target, request.getfixturevalue(made.harness.servers[1]))


def test_a_live_server_that_can_not_be_asked_is_known_by_its_backup(made: Rehearsed) -> None:
    status, evidence = point(made.tested(staged_by_another_name(made, user="nobody_at_all")), "Restore")
    assert (status, "is the live server of plan shop" in evidence) == ("not run", True), evidence
