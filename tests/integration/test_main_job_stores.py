"""Stores that break while a backup is sealed or copied: an S3 server with moods, a store that is not there."""

import time
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from backproof import catalog
from backproof.errors import AccessDenied, BackproofError, NoSpace, Permanent, StoreUnavailable, Transient
from backproof.fleet import Fleet
from backproof.hosts import free_ports
from backproof.operations.copy import copy
from backproof.operations.preflight import preflight
from backproof.operations.prove import prove
from backproof.records import Target
from backproof.stores import Store
from backproof.stores.local import LocalStore
from backproof.stores.s3 import S3Store
from deployments.servers.seaweedfs import S3Server
from tests.support.aftermath import Holdings, expect_whole, unfinished_uploads
from tests.support.fault_fixtures import Past, Shop, shop_of
from tests.support.fleets import PLAN
from tests.support.proxy import Fault, Proxy
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY

# --- S3 behind a proxy


class Behind(Fleet):
    """A fleet whose S3 store ``far`` is reached as the test says."""

    far: S3Store

    def store(self, name: str) -> Store:
        return self.far if name == "far" else super().store(name)


class Far:
    """A shop with a store behind a proxy, and the way past it."""

    def __init__(self, shop: Shop, proxy: Proxy, server: S3Server) -> None:
        self.shop = shop
        self.proxy = proxy
        self.server = server
        self.prefix = f"faults-{token_hex(6)}"
        self.fleet = Behind(shop.fleet.spec)
        # It gives up within seconds: that an answer does not come is what these tests wait for.
        self.fleet.far = self.reached(proxy.url, connect_seconds=2, read_seconds=3, attempts=1)
        shop.fleet = self.fleet
        self.direct = self.reached(server.endpoint_url)

    def reached(self, url: str, **patience: Any) -> S3Store:
        return S3Store("far", BUCKET, REGIONS[0], self.prefix, url, ACCESS_KEY, SECRET_KEY, **patience)

    def mend(self) -> None:
        """Nothing breaks any more, and an answer may take its time: this machine has other work too."""
        self.proxy.clear()
        self.fleet.far = self.reached(self.proxy.url)

    def expect_nothing(self) -> None:
        assert unfinished_uploads(self.server, self.direct) == []
        assert [each.key for each in self.direct.list() if "manifest" in each.key] == []


def s3(url: str) -> dict[str, Any]:
    return {"type": "s3", "bucket": BUCKET, "region": REGIONS[0], "endpoint_url": url, "prefix": "unused"}


@pytest.fixture
def proxy(regions: tuple[S3Server, S3Server]) -> Iterator[Proxy]:
    with Proxy(regions[0].endpoint_url) as proxy:
        yield proxy


ARCHIVE, MANIFEST = r"\.sql\.gz\.enc", r"\.manifest\.json"
DENIED = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
ALWAYS = 99

FAULTS: dict[str, tuple[dict[str, Any], type[BackproofError]]] = {
    "503": ({"kind": "answer", "status": 503}, StoreUnavailable),
    "403": ({"kind": "answer", "status": 403, "body": DENIED}, AccessDenied),
    "reset": ({"kind": "reset", "after": 100, "side": "request"}, StoreUnavailable),
    "stall": ({"kind": "stall", "after": 100, "side": "request"}, StoreUnavailable),
}
PLACES = {
    "the beginning": ("POST", rf"{ARCHIVE}\?uploads"),
    "a part": ("PUT", rf"{ARCHIVE}.*partNumber=2"),
    "the completion": ("POST", rf"{ARCHIVE}.*uploadId=[^&]*$"),
    "the manifest": ("PUT", MANIFEST),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", FAULTS)
def test_s3_that_breaks_during_a_seal_is_told_in_time_and_nothing_half_is_left(
    past: Past, live: Target, tmp_path: Path, proxy: Proxy, regions: tuple[S3Server, S3Server], how: str, place: str
) -> None:
    only = {"far": s3(proxy.url)}
    shop = shop_of(past, live, tmp_path / "shop", only, credentials=(ACCESS_KEY, SECRET_KEY))
    shop.description["plans"][PLAN]["stores"] = ["far"]
    far = Far(shop.changed(), proxy, regions[0])
    settings, error = FAULTS[how]
    method, target = PLACES[place]
    if how in ("reset", "stall") and place == "the beginning":
        settings = settings | {"after": 0, "side": "response"}
    fault = proxy.inject(Fault(method=method, target=target, times=ALWAYS, **settings))
    began = time.monotonic()
    with pytest.raises(error) as raised:
        far.shop.seal()
    assert time.monotonic() - began < 30
    assert fault.fired
    assert raised.value.remedy
    assert issubclass(error, Transient) == isinstance(raised.value, Transient)
    assert SECRET_KEY not in str(raised.value)
    far.mend()
    if settings.get("side") != "response":  # S3 may have begun what it could not tell us: that is for the sweep
        far.expect_nothing()
    assert catalog.backups(far.shop.fleet, PLAN) == []
    far.shop.seal()
    assert expect_whole(far.shop.fleet, PLAN) == 1


@pytest.mark.parametrize("place", PLACES)
def test_s3_that_breaks_during_a_seal_sends_the_backup_to_the_next_store(
    past: Past, live: Target, tmp_path: Path, proxy: Proxy, regions: tuple[S3Server, S3Server], place: str
) -> None:
    shop = shop_of(past, live, tmp_path / "shop", {"far": s3(proxy.url)}, credentials=(ACCESS_KEY, SECRET_KEY))
    shop.description["plans"][PLAN]["stores"] = ["far", "near"]
    far = Far(shop.changed(), proxy, regions[0])
    method, target = PLACES[place]
    fault = proxy.inject(Fault("answer", method, target, times=ALWAYS, status=503))
    sealed = far.shop.seal()
    assert fault.fired
    assert sealed.store == "near"
    (told,) = sealed.degraded
    assert told.startswith("s3:PutObject on s3://")
    far.expect_nothing()
    assert expect_whole(shop.fleet, PLAN) == 2
    far.mend()
    copy(far.shop.fleet, PLAN, sealed.manifest.id, "near", "far")
    assert expect_whole(far.shop.fleet, PLAN) == 3


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", FAULTS)
def test_s3_that_breaks_during_a_copy_is_told_in_time_and_a_second_copy_succeeds(
    past: Past, live: Target, tmp_path: Path, proxy: Proxy, regions: tuple[S3Server, S3Server], how: str, place: str
) -> None:
    shop = shop_of(past, live, tmp_path / "shop", {"far": s3(proxy.url)}, credentials=(ACCESS_KEY, SECRET_KEY))
    far = Far(shop, proxy, regions[0])
    backup = shop.seal().manifest.id
    sealed = Holdings.of(shop.fleet, PLAN, ["near"])
    settings, error = FAULTS[how]
    method, target = PLACES[place]
    if how in ("reset", "stall") and place == "the beginning":
        settings = settings | {"after": 0, "side": "response"}
    proxy.inject(Fault(method=method, target=target, times=ALWAYS, **settings))
    began = time.monotonic()
    with pytest.raises(error):
        copy(shop.fleet, PLAN, backup, "near", "far")
    assert time.monotonic() - began < 30
    far.mend()
    if settings.get("side") != "response":
        far.expect_nothing()
    sealed.expect_nothing_new(shop.fleet, PLAN)
    copied = copy(shop.fleet, PLAN, backup, "near", "far")
    assert copied.existed == (place == "the manifest")
    assert expect_whole(shop.fleet, PLAN) == 3


@pytest.mark.parametrize("how", ["503", "403", "stall", "cut"])
def test_s3_that_breaks_while_it_is_read_makes_no_copy(
    past: Past, live: Target, tmp_path: Path, proxy: Proxy, regions: tuple[S3Server, S3Server], how: str
) -> None:
    shop = shop_of(past, live, tmp_path / "shop", {"far": s3(proxy.url)}, credentials=(ACCESS_KEY, SECRET_KEY))
    far = Far(shop, proxy, regions[0])
    backup = shop.seal().manifest.id
    copy(shop.fleet, PLAN, backup, "near", "far")
    for each in list(shop.fleet.store("near").list()):
        if backup in each.key:
            shop.fleet.store("near").delete(each.key)
    settings, error = FAULTS.get(how, ({"kind": "cut", "after": 100_000}, StoreUnavailable))
    settings = settings if "side" not in settings else {"kind": how, "after": 100_000}
    proxy.inject(Fault(method="GET", target=ARCHIVE, times=ALWAYS, **settings))
    with pytest.raises(error):
        copy(shop.fleet, PLAN, backup, "far", "near")
    far.mend()
    shop.expect_nothing_happened()
    copy(shop.fleet, PLAN, backup, "far", "near")
    assert expect_whole(shop.fleet, PLAN) == 3


# --- a store that is not there


def nobody_listens() -> str:
    return f"http://127.0.0.1:{free_ports(1)[0]}"


def test_a_seal_goes_past_stores_that_are_down_and_says_so(past: Past, live: Target, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    stores = {"gone": s3(nobody_listens()), "odd": {"type": "local", "path": str(tmp_path / "file")}}
    shop = shop_of(past, live, tmp_path / "shop", stores, credentials=(ACCESS_KEY, SECRET_KEY))
    shop.description["plans"][PLAN]["stores"] = ["gone", "odd", "near"]
    shop = shop.changed()
    warned = {each.check: each for each in preflight(shop.fleet, PLAN) if each.check.startswith("store")}
    assert [warned[f"store {name}"].status for name in ("gone", "odd", "near")] == ["warning", "warning", "ok"]
    sealed = shop.seal()
    assert sealed.store == "near"
    assert len(sealed.degraded) == 2
    assert "no connection" in sealed.degraded[0]
    assert str(tmp_path / "file") in sealed.degraded[1]
    found = catalog.listing(shop.fleet, PLAN)
    assert [backup.id for backup in found.backups] == [sealed.manifest.id, shop.earlier]
    assert [name for name, _ in found.unreachable] == ["gone", "odd"]
    proof = prove(shop.fleet, PLAN, sealed.manifest.id, "near")
    assert proof.verdict == "passed", proof.reason
    with pytest.raises(BackproofError):
        copy(shop.fleet, PLAN, sealed.manifest.id, "near", "gone")


def test_without_any_store_nothing_is_dumped(past: Past, live: Target, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    names = ["odd", "even"]
    stores = {name: {"type": "local", "path": str(tmp_path / "file")} for name in names}
    shop = shop_of(past, live, tmp_path / "shop", stores)
    before = Holdings.of(shop.fleet, PLAN, ["near"])
    for chosen, told in ((names, "no store of the plan can be written: .*; .*"), (names[:1], "^cannot write .*file")):
        shop.description["plans"][PLAN]["stores"] = chosen
        with pytest.raises(Permanent, match=told):
            shop.changed().seal(progress=lambda _: pytest.fail("something was dumped"))
    before.expect_nothing_new(shop.fleet, PLAN)


def test_an_archive_whose_manifest_finds_no_room_goes_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    put = LocalStore.put

    def full(self: LocalStore, name: str, chunks: Any, size_hint: int | None = None) -> Any:
        if name.endswith(".manifest.json"):
            raise NoSpace("no room for a manifest", "Make room.")
        return put(self, name, chunks, size_hint)

    monkeypatch.setattr(LocalStore, "put", full)
    with pytest.raises(NoSpace):
        shop.seal()
    monkeypatch.undo()
    shop.expect_nothing_happened()
    shop.expect_a_second_run_succeeds()
