"""What keeps a store from being used is told apart, on both engines: one store less is a warning, none is the end."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.auth
import pytest

from backproof.errors import Permanent, Transient
from backproof.records import Target
from deployments.servers.seaweedfs import S3Server
from tests.support.doctor import Description, examine, refusal, same
from tests.support.fleets import described
from tests.support.mariadb_fixtures import FreshSchema
from tests.support.postgres_fixtures import FreshDatabase
from tests.support.proxy import Fault, Proxy
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY

ALWAYS = 10**6


@pytest.fixture(params=["postgresql", "mysql"])
def database(request: pytest.FixtureRequest) -> tuple[str, Target]:
    if request.param == "postgresql":
        fresh: FreshDatabase = request.getfixturevalue("fresh_database")
        return "postgresql", fresh(request.getfixturevalue("postgres18"))
    schema: FreshSchema = request.getfixturevalue("fresh_schema")
    return "mysql", schema(request.getfixturevalue("mariadb_plain"))


class Fleet:
    """A fleet whose only store is an S3 bucket, or has a good folder beside it."""

    def __init__(self, database: tuple[str, Target], folder: Path, endpoint_url: str) -> None:
        self._engine, self._target = database
        self._folder = folder
        self._store = {
            "type": "s3",
            "bucket": BUCKET,
            "region": REGIONS[0],
            "prefix": "doctor",
            "endpoint_url": endpoint_url,
        }

    def _described(self, beside: bool, credentials: tuple[str, str], **store: Any) -> Description:
        stores = {"folder": {"type": "local", "path": str(self._folder / "near")}} if beside else {}
        stores["bucket"] = self._store | store
        return described(self._target, self._folder, stores, credentials, self._engine)

    def told(self, credentials: tuple[str, str] = (ACCESS_KEY, SECRET_KEY), **store: Any) -> tuple[str, type[Any]]:
        """How the store failed, and the kind of error that a backup into nothing else ends with."""
        alone = self._described(False, credentials, **store)
        finding = examine(alone, self._folder)["store bucket"]
        assert finding.status == "failed"
        error = refusal(alone, self._folder)
        assert error is not None
        assert same(error.fact) == same(f"store bucket: {finding.found}")
        beside = self._described(True, credentials, **store)
        found = examine(beside, self._folder)
        assert found["store folder"].status == "ok"
        assert found["store bucket"].status == "warning"
        assert same(found["store bucket"].found) == same(f"{finding.found}; backups will lack this copy")
        assert refusal(beside, self._folder) is None
        return f"{finding.found}. {finding.remedy}", type(error)


@pytest.fixture
def fleet(database: tuple[str, Target], tmp_path: Path, regions: tuple[S3Server, S3Server]) -> Fleet:
    return Fleet(database, tmp_path, regions[0].endpoint_url)


@pytest.fixture
def behind(
    database: tuple[str, Target], tmp_path: Path, regions: tuple[S3Server, S3Server]
) -> Iterator[tuple[Fleet, Proxy]]:
    """The same behind a proxy, for what only Amazon answers."""
    with Proxy(regions[0].endpoint_url) as proxy:
        yield Fleet(database, tmp_path, proxy.url), proxy


def test_a_store_that_can_not_be_reached_may_come_back(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    told, kind = fleet.told(endpoint_url="http://127.0.0.1:1")
    assert "no connection" in told
    assert "Try again later" in told
    assert kind is Transient


def test_a_wrong_secret_is_for_a_person(fleet: Fleet) -> None:
    told, kind = fleet.told((ACCESS_KEY, "another canary"))
    assert "SignatureDoesNotMatch" in told
    assert "Correct the access key and its secret" in told
    assert kind is Permanent


def test_a_bucket_that_is_not_there_is_named(fleet: Fleet) -> None:
    told, kind = fleet.told(bucket="nowhere")
    assert "s3://nowhere/" in told
    assert "Create the bucket" in told
    assert kind is Permanent


def test_what_is_forbidden_is_named_with_the_right_that_lacks(behind: tuple[Fleet, Proxy]) -> None:
    fleet, proxy = behind
    denied = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    proxy.inject(Fault("answer", "PUT", "probe-", status=403, body=denied, times=ALWAYS))
    told, kind = fleet.told()
    assert "AccessDenied" in told
    assert "needs s3:PutObject on s3://" in told
    assert kind is Permanent


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (301, b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>", True),
        (400, b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>us-east-1</Region></Error>", False),
    ],
)
def test_a_bucket_in_another_region_is_named_with_its_region_and_not_followed_there(
    behind: tuple[Fleet, Proxy], status: int, body: bytes, headers: bool
) -> None:
    """The library that speaks to S3 would follow, and two copies of three might lie in the same region."""
    fleet, proxy = behind
    extra = {"x-amz-bucket-region": "us-east-1"} if headers else {}
    proxy.inject(Fault("answer", status=status, body=body, headers=extra, times=ALWAYS))
    told, kind = fleet.told()
    assert "The bucket is in us-east-1: correct the store's `region`" in told
    assert kind is Permanent


def test_a_clock_that_is_wrong_is_named(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    right = botocore.auth.get_current_datetime

    def wrong(*arguments: Any, **more: Any) -> datetime:
        return right(*arguments, **more) - timedelta(hours=1)

    monkeypatch.setattr(botocore.auth, "get_current_datetime", wrong)
    told, kind = fleet.told()
    assert "RequestTimeTooSkewed" in told
    assert "clock is wrong" in told
    assert kind is Permanent
