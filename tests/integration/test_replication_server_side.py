"""Copies that an S3 service makes by itself: no byte passes through us, and what it holds is checked all the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import pytest

from backproof.stores.s3 import fetching
from deployments.servers import seaweedfs
from deployments.servers.seaweedfs import S3Server
from tests.support.proxy import Fault, Proxy
from tests.support.replicas import Replicas, archive, folder, path_of, region
from tests.support.s3_fixtures import BUCKET

MIB = 1024 * 1024


@contextmanager
def of_one_service(server: S3Server, place: Path) -> Iterator[tuple[Replicas, Proxy]]:
    """Two stores of one S3 service, both seen through a proxy, and the first holds an archive."""
    with Proxy(server.endpoint_url) as proxy:
        prefix = f"s-{token_hex(6)}"
        stores = {name: region(server, f"{prefix}/{name}", endpoint_url=proxy.url) for name in ("one", "two")}
        replicas = Replicas(stores, place)
        replicas.lay("one", archive(0, megabytes=20))
        proxy.requests.clear()
        proxy.bytes_forwarded = 0
        yield replicas, proxy


def unfinished(server: S3Server, replicas: Replicas) -> list[str]:
    prefix = replicas.description["stores"]["two"]["prefix"]
    found = seaweedfs.client(server).list_multipart_uploads(Bucket=BUCKET, Prefix=prefix)
    return [each["Key"] for each in found.get("Uploads", ())]


def test_no_byte_passes_through_us(regions: tuple[S3Server, S3Server], tmp_path: Path) -> None:
    with of_one_service(regions[0], tmp_path) as (replicas, proxy):
        (brought,) = replicas.replicate()
        assert (brought.source, brought.server_side) == ("one", True)
        assert proxy.bytes_forwarded < MIB
        replicas.expect_equal()


def test_more_than_one_part_is_read_once_to_know_it(
    regions: tuple[S3Server, S3Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "WHOLE_BYTES", 5 * MIB)
    monkeypatch.setattr(fetching, "PART_BYTES", 6 * MIB)
    with of_one_service(regions[0], tmp_path) as (replicas, proxy):
        (brought,) = replicas.replicate()
        assert brought.server_side
        length = len(archive(0, megabytes=20).stored)
        assert length <= proxy.bytes_forwarded < length + MIB
        assert sum("partNumber" in request for request in proxy.requests) == 4
        replicas.expect_equal()


def test_a_damaged_source_becomes_no_copy(regions: tuple[S3Server, S3Server], tmp_path: Path) -> None:
    laid = archive(0, megabytes=20)
    with of_one_service(regions[0], tmp_path) as (replicas, _):
        place = replicas.fleet.store("one")
        place.delete(path_of(laid))
        place.put(path_of(laid), [laid.stored[:-1], bytes([laid.stored[-1] ^ 1])])
        (brought,) = replicas.replicate()
        assert (brought.source, brought.manifest) == (None, False)
        assert [(alarm.what, alarm.stores) for alarm in brought.alarms] == [("damaged", ("one",))]
        assert replicas.held("two") == {}
        assert unfinished(regions[0], replicas) == []


@pytest.mark.parametrize("status", [403, 501, 503])
def test_what_the_service_refuses_passes_through_us(
    regions: tuple[S3Server, S3Server], tmp_path: Path, status: int
) -> None:
    times = 4 if status == 503 else 1  # a request is sent four times
    with of_one_service(regions[0], tmp_path) as (replicas, proxy):
        refused = proxy.inject(Fault("answer", "PUT", "partNumber=1(&|$)", times=times, status=status))
        (brought,) = replicas.replicate()
        assert refused.fired == times
        assert (brought.source, brought.server_side) == ("one", False)
        assert unfinished(regions[0], replicas) == []
        proxy.clear()
        replicas.expect_equal()


def test_a_folder_and_a_region_or_two_services_have_no_such_way(
    regions: tuple[S3Server, S3Server], tmp_path: Path
) -> None:
    prefix = f"s-{token_hex(6)}"
    replicas = Replicas(
        {"near": folder(tmp_path / "near"), "one": region(regions[0], prefix), "two": region(regions[1], prefix, 1)},
        tmp_path,
    )
    replicas.lay("one", archive())
    assert [brought.server_side for brought in replicas.replicate()] == [False, False]
    replicas.expect_equal()
