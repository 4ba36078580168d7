"""What Object Lock holds is kept, whole and visible, until its lock ends; and that is no error."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import boto3
import pytest

from backproof import catalog
from backproof.fleet import Fleet
from backproof.naming import ENCRYPTED, Name, key
from backproof.operations.prune import prune
from deployments.servers.seaweedfs import S3Server
from tests.support.aftermath import expect_soon
from tests.support.fleets import PLAN, built, described
from tests.support.histories import NOWHERE, days_ago, held, ids, put
from tests.support.s3_fixtures import ACCESS_KEY, REGIONS, SECRET_KEY

REASON = "far: locked (governance) until "


class Locked:
    """A fleet with a folder and a bucket that has Object Lock, and what Amazon's console would do to the bucket."""

    def __init__(self, url: str, folder: Path) -> None:
        self.client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=REGIONS[0],
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
        self.bucket = f"locked-{token_hex(4)}"
        where = {"LocationConstraint": REGIONS[0]}
        self.client.create_bucket(
            Bucket=self.bucket,
            ObjectLockEnabledForBucket=True,
            CreateBucketConfiguration=where,  # type: ignore[arg-type]
        )
        stores = {
            "near": {"type": "local", "path": str(folder / "near")},
            "far": {"type": "s3", "bucket": self.bucket, "region": REGIONS[0], "endpoint_url": url},
        }
        description: dict[str, Any] = described(NOWHERE, folder, stores, (ACCESS_KEY, SECRET_KEY), minimum_proven=1)
        self.fleet: Fleet = built(description, folder)
        put(self.fleet, days_ago(1))

    def lock(self, name: str, seconds: int) -> None:
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        self.client.put_object_retention(
            Bucket=self.bucket,
            Key=name,
            Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until},
            BypassGovernanceRetention=True,
        )

    def hold(self, name: str, status: Any) -> None:
        self.client.put_object_legal_hold(Bucket=self.bucket, Key=name, LegalHold={"Status": status})

    def markers(self) -> int:
        """How many objects are hidden, and still there."""
        return len(self.client.list_object_versions(Bucket=self.bucket).get("DeleteMarkers", ()))


@pytest.fixture(params=["moto", "seaweedfs"])
def locked(request: pytest.FixtureRequest, tmp_path: Path) -> Locked:
    if request.param == "moto":
        return Locked(request.getfixturevalue("moto_url"), tmp_path)
    region: S3Server = request.getfixturevalue("regions")[0]
    return Locked(region.endpoint_url, tmp_path)


def parts(locked: Locked, name: Name) -> list[str]:
    return sorted(each.key for each in locked.fleet.store("far").list(f"{PLAN}/") if name.id in each.key)


def test_what_is_locked_is_kept_told_and_no_error_and_goes_when_the_lock_has_ended(locked: Locked) -> None:
    name = put(locked.fleet, days_ago(40))
    before = parts(locked, name)
    for each in before:
        locked.lock(each, seconds=86400)
    for _ in range(2):
        pruned = prune(locked.fleet, PLAN)
        assert pruned.problems == ()
        (told,) = pruned.removed
        assert [each[: len(REASON)] for each in told.kept] == [REASON]
        assert parts(locked, name) == before
        assert name.id not in ids(locked.fleet, "near")
    assert told.stores == ()
    assert name.id in [backup.id for backup in catalog.backups(locked.fleet, PLAN)], "it is listed as what it is"
    assert locked.markers() == 0, "nothing was hidden"
    for each in before:
        locked.lock(each, seconds=3)
    store = locked.fleet.store("far")
    expect_soon(lambda: not any(map(store.lock, before)), 60, "the locks have not ended")
    assert prune(locked.fleet, PLAN).removed[0].stores == ("far",)
    assert parts(locked, name) == []


def test_a_hold_on_the_archive_alone_keeps_its_manifest_too(locked: Locked) -> None:
    name = put(locked.fleet, days_ago(40))
    archive = key(name.with_part(ENCRYPTED))
    locked.hold(archive, "ON")
    pruned = prune(locked.fleet, PLAN, dry_run=True)
    assert pruned.removed[0].kept == ("far: under a legal hold",)
    assert prune(locked.fleet, PLAN).removed[0].kept == ("far: under a legal hold",)
    assert len(parts(locked, name)) == 3
    locked.hold(archive, "OFF")
    prune(locked.fleet, PLAN)
    assert name.id not in held(locked.fleet, "far")


def test_a_bucket_that_locks_all_it_is_given_works_as_a_store(locked: Locked) -> None:
    """Probes, seals and marks come and go; what retention can't delete stays visible."""
    rule: Any = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    store = locked.fleet.store("far")
    for each in list(store.list()):
        locked.client.delete_object(Bucket=locked.bucket, Key=each.key)
    for version in locked.client.list_object_versions(Bucket=locked.bucket).get("Versions", ()):
        locked.client.delete_object(Bucket=locked.bucket, Key=version["Key"], VersionId=version["VersionId"])
    for marker in locked.client.list_object_versions(Bucket=locked.bucket).get("DeleteMarkers", ()):
        locked.client.delete_object(Bucket=locked.bucket, Key=marker["Key"], VersionId=marker["VersionId"])
    locked.client.put_object_lock_configuration(Bucket=locked.bucket, ObjectLockConfiguration=rule)
    store.probe()
    name = put(locked.fleet, days_ago(40))
    pruned = prune(locked.fleet, PLAN)
    assert pruned.problems == ()
    assert len(parts(locked, name)) == 3
    assert name.id not in ids(locked.fleet, "near")
