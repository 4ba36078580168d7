"""An S3 store that goes away amidst a recovery: nothing changes, or what it should have taken is made up for."""

import json
from collections.abc import Iterator
from secrets import token_hex

import pytest

from backproof.operations.copy import copy
from backproof.recovery.context import Recovery
from backproof.recovery.run import carry_out, perform
from backproof.recovery.steps import Step
from backproof.stores.local import LocalStore
from backproof.stores.s3 import S3Store
from deployments.servers.seaweedfs import S3Server
from tests.support.engine_harness import POSTGRESQL
from tests.support.fleets import PLAN, built
from tests.support.proxy import Fault, Proxy
from tests.support.recovering import Live, World, steps_done, world
from tests.support.replicas import region
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY

ARCHIVE = r"\.sql\.gz\.enc"
ALWAYS = 10**6


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(POSTGRESQL, request.getfixturevalue("postgres15"), tmp_path_factory.mktemp("recovery")) as made:
        yield made


@pytest.fixture
def proxy(regions: tuple[S3Server, S3Server]) -> Iterator[Proxy]:
    with Proxy(regions[0].endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def live(made: World, proxy: Proxy, regions: tuple[S3Server, S3Server]) -> Iterator[Live]:
    """Its only store is in S3, behind the proxy."""
    found = made.live(verify_on="server")
    prefix = f"recovery-{token_hex(6)}"
    description = json.loads(found.file.read_text())
    description["credentials"] = {"s3": {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}}
    description["stores"]["far"] = {**region(regions[0], prefix), "credentials": "s3"}
    copy(built(description, found.file.parent), PLAN, made.backup, "near", "far")
    description["plans"][PLAN]["stores"] = ["far"]
    found.fleet = built(description, found.file.parent)
    hasty = {"connect_seconds": 2, "read_seconds": 5, "attempts": 1}
    found.fleet._stores["far"] = S3Store("far", BUCKET, REGIONS[0], prefix, proxy.url, ACCESS_KEY, SECRET_KEY, **hasty)
    found.run("UPDATE parent SET name = 'gone'")
    yield found
    made.clean()


def test_s3_that_is_lost_during_the_restore_changes_nothing(live: Live, proxy: Proxy) -> None:
    before, databases = live.content(), live.world.databases()

    def run_step(recovery: Recovery, step: Step) -> None:
        if step.name == "restore":
            proxy.inject(Fault("cut", "GET", ARCHIVE, times=ALWAYS, after=1000))
        perform(recovery, step)

    outcome = carry_out(live.begin(), run_step)
    assert outcome.result == "nothing changed"
    assert live.content() == before
    assert live.world.databases() == databases
    assert "on" not in live.application.told
    assert "nothing has changed" in live.messages[-1].subject
    proxy.clear()
    assert live.recover()[1].result == "recovered"


def test_s3_that_is_lost_after_the_exchange_is_told_and_made_up_for_later(live: Live, proxy: Proxy) -> None:
    lost = Fault("reset", times=ALWAYS)

    def run_step(recovery: Recovery, step: Step) -> None:
        perform(recovery, step)
        if step.name == "exchange":
            proxy.inject(lost)

    recovery = live.begin()
    outcome = carry_out(recovery, run_step)
    assert lost.fired
    assert outcome.result == "recovered"
    assert "set aside" in outcome.problems[0]
    assert "keep" not in steps_done(recovery)
    assert live.run("SELECT count(*) FROM parent WHERE name = 'gone'") == [(0,)]
    assert live.application.told[-1] == "off", "the application is up"
    assert any("could not be written to far" in each for each in recovery.journal.doubts)
    proxy.clear()
    elsewhere = LocalStore("another machine", live.file.parent / "elsewhere")
    outcome = carry_out(live.again(recovery.journal.recovery))
    assert (outcome.result, outcome.problems) == ("recovered", ())
    other = live.again(recovery.journal.recovery, local=elsewhere)
    assert other.journal.entries == live.again(recovery.journal.recovery).journal.entries
