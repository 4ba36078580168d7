"""Every store is held to the text of ``backproof.stores``: the folder, S3 as moto and S3 as SeaweedFS have it."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Any
from unittest.mock import Mock

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backproof.errors import AlreadyExists, BackproofError, ConfigurationError, Damaged, NotFound, StoreUnavailable
from backproof.stores import Store
from backproof.stores.local import LocalStore
from backproof.stores.s3 import S3Store
from deployments.servers import seaweedfs
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY
from tests.support.writers import writer

MIB = 1024 * 1024
SIZES = (0, 1, MIB, 8 * MIB, 8 * MIB + 1, 20 * MIB + 3)
"""Around a chunk, and around the size from which S3 takes an object in parts."""
NO_KEYS = ("", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a/./b", "a b", "a\n", "ä", "a\\b", "~a", "a\0b", "a*")


@dataclass
class Place:
    """A store under test, and what can be seen and done behind its back."""

    store: Store
    plant: Callable[[str], None]
    """Put one byte under a name, valid or not."""
    unfinished: Callable[[], list[str]]
    """What unfinished writes have left."""
    made: str
    """An expression that makes the store in another process."""


@pytest.fixture(params=["folder", "moto", "seaweedfs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """The stores, one after the other."""
    if request.param == "folder":
        return folder(tmp_path / "store")
    if request.param == "moto":
        return bucket(_moto_client(request.getfixturevalue("moto_url")), f"moto-{token_hex(4)}", "")
    region = request.getfixturevalue("regions")[0]
    return bucket(seaweedfs.client(region), BUCKET, f"contract-{token_hex(4)}")


@pytest.fixture
def store(place: Place) -> Store:
    """For tests that need no more."""
    return place.store


real_servers = pytest.mark.parametrize("place", ["folder", "seaweedfs"], indirect=True)


def folder(root: Path) -> Place:
    def plant(name: str) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"?")

    made = f"LocalStore('local', {str(root)!r})"
    return Place(LocalStore("local", root), plant, lambda: [str(each) for each in root.rglob("~*")], made)


def bucket(client: Any, name: str, prefix: str) -> Place:
    if name not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=name)
    below = f"{prefix}/" if prefix else ""

    def unfinished() -> list[str]:
        return [each["Key"] for each in client.list_multipart_uploads(Bucket=name, Prefix=below).get("Uploads", ())]

    where = ("s3", name, REGIONS[0], prefix, client.meta.endpoint_url, ACCESS_KEY, SECRET_KEY)
    store = S3Store(*where, storage_class="STANDARD_IA")
    made = f"S3Store(*{where!r})"
    return Place(store, lambda key: client.put_object(Bucket=name, Key=below + key, Body=b"?"), unfinished, made)


def _moto_client(url: str) -> Any:
    return boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY
    )


def in_pieces(content: bytes, size: int = 700_001) -> Iterator[bytes]:
    """Cut so that no piece ends where a part or chunk does."""
    return (content[at : at + size] for at in range(0, len(content), size))


def read(store: Store, key: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join(store.read(key, start, length))


@pytest.mark.parametrize(("size", "hint"), [*((size, None) for size in SIZES), (SIZES[-1], SIZES[-1]), (SIZES[-1], 1)])
def test_what_was_put_is_read_back(store: Store, size: int, hint: int | None) -> None:
    content = token_bytes(size)
    began = datetime.now(UTC) - timedelta(seconds=2)  # S3 writes whole seconds
    stored = store.put("shop/daily/a.gz", in_pieces(content), hint)
    assert (stored.key, stored.length) == ("shop/daily/a.gz", size)
    assert began <= stored.modified_at <= datetime.now(UTC) + timedelta(seconds=2)
    assert stored.modified_at.tzinfo is UTC
    assert store.head("shop/daily/a.gz") == stored
    assert list(store.list()) == [stored]
    assert read(store, "shop/daily/a.gz") == content


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(max_size=2000), max_size=8), data=st.data())
def test_any_bytes_in_any_pieces_come_back_by_any_range(store: Store, pieces: list[bytes], data: st.DataObject) -> None:
    key, content = f"any/{token_hex(8)}", b"".join(pieces)
    store.put(key, pieces)
    start = data.draw(st.integers(0, len(content)))
    length = data.draw(st.none() | st.integers(0, len(content) - start))
    assert read(store, key, start, length) == content[start : None if length is None else start + length]


@pytest.mark.parametrize(("start", "length"), [(11, None), (0, 11), (10, 1), (11, 0), (5, 6), (-1, None), (0, -1)])
def test_a_range_beyond_the_end_is_damaged(store: Store, start: int, length: int | None) -> None:
    store.put("a", [b"0123456789"])
    with pytest.raises(Damaged, match=r"it has 10$"):
        read(store, "a", start, length)


def test_reading_hands_over_pieces_of_about_one_mebibyte(store: Store) -> None:
    store.put("a", [bytes(5 * MIB)])
    assert max(map(len, store.read("a"))) <= 2 * MIB


def test_a_missing_key_is_not_found(store: Store) -> None:
    store.put("there", [b"x"])
    assert store.head("missing") is None
    assert store.head("missing/there") is None
    for range_ in ((0, None), (0, 0), (3, 4)):
        with pytest.raises(NotFound) as raised:
            read(store, "missing", *range_)
        assert store.location("missing") in raised.value.fact


def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert list(store.list()) == []
    assert store.head("a") is None


@pytest.mark.parametrize("size", [10, 9 * MIB])
def test_an_existing_key_is_never_overwritten(place: Place, size: int) -> None:
    first, second = token_bytes(size), token_bytes(size)
    place.store.put("a", [first])
    with pytest.raises(AlreadyExists) as raised:
        place.store.put("a", [second])
    assert place.store.location("a") in raised.value.fact
    assert read(place.store, "a") == first
    assert place.unfinished() == []


@pytest.mark.parametrize("size", [10, 9 * MIB])
def test_a_key_written_meanwhile_is_never_overwritten(place: Place, size: int) -> None:
    first, second = token_bytes(size), token_bytes(size)

    def chunks() -> Iterator[bytes]:
        yield second
        place.store.put("a", [first])

    with pytest.raises(AlreadyExists):
        place.store.put("a", chunks())
    assert read(place.store, "a") == first
    assert place.unfinished() == []


@real_servers  # moto looks and writes in two steps: there two can win
@pytest.mark.parametrize(("size", "writers"), [(10, 8), (9 * MIB, 3)])
def test_of_concurrent_puts_exactly_one_wins(place: Place, size: int, writers: int) -> None:
    contents = [token_bytes(size) for _ in range(writers)]
    together = threading.Barrier(writers)

    def chunks(content: bytes) -> Iterator[bytes]:
        together.wait(60)
        yield content

    def put(content: bytes) -> bool:
        try:
            place.store.put("shop/daily/a", chunks(content))
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(writers) as threads:
        won = list(threads.map(put, contents))
    assert won.count(True) == 1
    assert read(place.store, "shop/daily/a") == contents[won.index(True)]
    assert place.unfinished() == []


@pytest.mark.parametrize("size", [10, 20 * MIB])
def test_an_object_is_invisible_until_it_is_whole(store: Store, size: int) -> None:
    seen: list[object] = []

    def chunks() -> Iterator[bytes]:
        for piece in in_pieces(bytes(size)):
            yield piece
            seen.extend([store.head("shop/a"), *store.list(), *store.list("shop/")])

    store.put("shop/a", chunks())
    assert seen
    assert set(seen) == {None}


@pytest.mark.parametrize("error", [OSError, ValueError, StoreUnavailable, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("size", [10, 9 * MIB])
def test_chunks_that_raise_are_heard_and_leave_nothing(place: Place, size: int, error: type[BaseException]) -> None:
    raised = error("in the middle")

    def chunks() -> Iterator[bytes]:
        yield from in_pieces(bytes(size))
        raise raised

    with pytest.raises(error) as caught:
        place.store.put("shop/a", chunks())
    assert caught.value is raised
    assert place.store.head("shop/a") is None
    assert list(place.store.list()) == []
    assert place.unfinished() == []
    place.store.put("shop/a", [b"a second try"])
    assert read(place.store, "shop/a") == b"a second try"


@pytest.mark.parametrize("key", NO_KEYS)
def test_what_is_no_key_is_refused_by_every_method(place: Place, key: str) -> None:
    def never() -> Iterator[bytes]:
        pytest.fail("the store asked for the bytes")
        yield b""

    for refuse in (
        lambda: place.store.put(key, never()),
        lambda: read(place.store, key),
        lambda: place.store.head(key),
        lambda: place.store.delete(key),
    ):
        with pytest.raises(ConfigurationError, match="is no key of a store"):
            refuse()


@pytest.mark.parametrize("prefix", ["/", "../", "a//", "a b", "a/../b", "./"])
def test_a_prefix_that_begins_no_key_is_refused(store: Store, prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="no key begins with"):
        list(store.list(prefix))


def test_listing_is_by_key_and_by_prefix(store: Store) -> None:
    keys = ["a-b/x", "a.b", "a/x", "a/x-y/z", "a/x.y", "a/y", "a0", "ab/c", "b", "shop/daily/a", "shop/monthly/a"]
    for key in reversed(keys):
        store.put(key, [key.encode()])
    assert [each.key for each in store.list()] == sorted(keys)
    for prefix in ("a", "a/", "a/x", "a/x-y/", "a/x-y/z", "shop/", "shop/d", "b", "c", "nothing/here/", "."):
        assert [each.key for each in store.list(prefix)] == sorted(key for key in keys if key.startswith(prefix))
    assert {each.length for each in store.list("shop/daily/")} == {len("shop/daily/a")}


def test_listing_more_than_a_page_is_complete(place: Place) -> None:
    keys = sorted(f"shop/daily/{number}" for number in range(1010))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(place.plant, keys))
    assert [each.key for each in place.store.list("shop/")] == keys


def test_names_that_are_no_keys_are_not_listed(place: Place) -> None:
    for name in ("a b", "shop/a*b", "shop/~a", "lost+found/x", "good"):
        place.plant(name)
    assert [each.key for each in place.store.list()] == ["good"]


def test_deleting_removes_one_object_and_a_missing_one_is_no_error(store: Store) -> None:
    for key in ("shop/a", "shop/a.b", "shop/ab"):
        store.put(key, [b"x"])
    store.delete("shop/a")
    store.delete("shop/a")
    store.delete("never/was")
    store.delete("shop")
    assert [each.key for each in store.list()] == ["shop/a.b", "shop/ab"]
    store.put("shop/a", [b"again"])
    assert read(store, "shop/a") == b"again"


def test_a_store_tells_its_time_and_what_is_locked(store: Store) -> None:
    began = datetime.now(UTC) - timedelta(seconds=2)
    assert began <= store.clock() <= datetime.now(UTC) + timedelta(seconds=2)
    stored = store.put("shop/a", [b"x"])
    assert abs(store.clock() - stored.modified_at) < timedelta(minutes=1)
    assert store.clock().tzinfo is UTC
    assert store.lock("shop/a") is None
    assert store.lock("never/was") is None
    assert [each.key for each in store.list()] == ["shop/a"]


def test_a_probe_leaves_nothing(place: Place) -> None:
    place.store.probe()
    assert list(place.store.list()) == []
    assert place.unfinished() == []


@real_servers
def test_a_sweep_removes_what_a_killed_probe_left_and_nothing_that_looks_like_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ["probe-1", "probe-x/0123456789abcdef", "shop/probe-0123456789abcdef"]
    for key in kept:
        place.store.put(key, [b"x"])
    with monkeypatch.context() as killed:
        killed.setattr(type(place.store), "delete", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            place.store.probe()
    assert len(list(place.store.list())) == len(kept) + 1
    now = datetime.now(UTC)
    assert list(place.store.sweep(now - timedelta(hours=1))) == []
    (removed,) = place.store.sweep(now + timedelta(hours=1))
    assert place.store.location("probe-") in removed
    assert sorted(each.key for each in place.store.list()) == kept


@real_servers  # moto says that every upload began in 2010
def test_a_sweep_spares_what_is_finished_or_begun_later(place: Place) -> None:
    place.store.put("shop/a", [bytes(9 * MIB)])
    swept: list[str] = []

    def chunks() -> Iterator[bytes]:
        yield from in_pieces(bytes(20 * MIB))
        swept.extend(place.store.sweep(datetime.now(UTC) - timedelta(hours=1)))

    place.store.put("shop/b", chunks())
    assert swept == []
    assert place.store.sweep(datetime.now(UTC) + timedelta(hours=1)) == []
    assert [each.key for each in place.store.list()] == ["shop/a", "shop/b"]


@real_servers
def test_a_sweep_removes_at_once_what_a_killed_writer_left_and_spares_a_living_one_whatever_its_age(
    place: Place,
) -> None:
    place.store.put("shop/daily/earlier", [b"x"])
    long_ago, to_come = (datetime.now(UTC) + hours for hours in (timedelta(hours=-1), timedelta(hours=1)))
    with writer(place.made):
        assert len(place.unfinished()) == 1
        for before in (long_ago, to_come):
            assert list(place.store.sweep(before)) == []
        assert len(place.unfinished()) == 1
    assert place.store.head("shop/daily/a") is None
    (removed,) = place.store.sweep(long_ago)
    assert place.store.location("shop/daily/") in removed
    assert place.unfinished() == []
    assert list(place.store.sweep(long_ago)) == []
    assert [each.key for each in place.store.list()] == ["shop/daily/earlier"]
    place.store.put("shop/daily/a", [b"a second run"])


def test_every_method_may_be_called_from_several_threads(store: Store) -> None:
    def work(number: int) -> bytes:
        store.put(f"shop/{number}", [b"%d" % number])
        assert f"shop/{number}" in [each.key for each in store.list("shop/")]
        content = read(store, f"shop/{number}")
        store.delete(f"shop/{number}")
        return content

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(24))) == [b"%d" % number for number in range(24)]
    assert list(store.list()) == []


def test_a_location_reads_like_a_path_and_free_room_is_told_where_there_is_a_limit(store: Store) -> None:
    assert store.location("shop/daily/a").startswith(("/", "s3://"))
    assert store.location("shop/daily/a").endswith("/shop/daily/a")
    room = store.free_bytes()
    assert room is None if isinstance(store, S3Store) else room and room > 0


def test_no_secret_shows_in_a_store_or_its_errors(store: Store) -> None:
    with pytest.raises(BackproofError) as raised:
        read(store, "missing")
    shown: Iterable[object] = (repr(store), store.__dict__, raised.value, raised.value.__cause__)
    assert SECRET_KEY not in " ".join(map(repr, shown))
