"""``resume``, of every store: what was interrupted goes on, and what was kept is held against the source."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_bytes

import pytest

from backproof.errors import AlreadyExists, Busy, Damaged, StoreUnavailable
from backproof.stores.local import LocalStore
from tests.contracts.test_stores import Place, in_pieces, place, read  # noqa: F401
from tests.support.writers import writer

MIB = 1024 * 1024
CHECKOUT = Path(__file__).parents[2]
KEY = "shop/daily/a"

# moto says that every upload began in 2010.
pytestmark = pytest.mark.parametrize("place", ["folder", "seaweedfs"], indirect=True)


def broken(content: bytes, after: int, error: BaseException) -> Iterator[bytes]:
    yield from in_pieces(content[:after])
    raise error


def interrupt(place: Place, content: bytes, after: int) -> None:  # noqa: F811
    with pytest.raises(StoreUnavailable):
        place.store.resume(KEY, broken(content, after, StoreUnavailable("the source went away")), len(content))


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 20 * MIB + 3])
def test_uninterrupted_it_is_a_put(place: Place, size: int) -> None:  # noqa: F811
    content = token_bytes(size)
    vouched = place.store.resume(KEY, in_pieces(content), len(content))
    assert vouched is not isinstance(place.store, LocalStore)
    assert read(place.store, KEY) == content
    assert place.unfinished() == []
    with pytest.raises(AlreadyExists):
        place.store.resume(KEY, in_pieces(content), len(content))


@pytest.mark.parametrize("after", [1, 9 * MIB, 20 * MIB])
def test_what_was_interrupted_goes_on_and_is_invisible_until_it_is_whole(place: Place, after: int) -> None:  # noqa: F811
    content = token_bytes(20 * MIB + 3)
    interrupt(place, content, after)
    assert place.store.head(KEY) is None
    assert list(place.store.list()) == []
    assert len(place.unfinished()) == (after > 16 * MIB or isinstance(place.store, LocalStore))
    place.store.resume(KEY, in_pieces(content), len(content))
    assert read(place.store, KEY) == content
    assert place.unfinished() == []


@pytest.mark.parametrize("length", [12 * MIB, 20 * MIB + 3, 28 * MIB])
def test_what_was_kept_counts_only_where_it_is_the_same(place: Place, length: int) -> None:  # noqa: F811
    """Another archive, shorter, as long, or longer than the one that was begun."""
    begun, wanted = token_bytes(20 * MIB + 3), token_bytes(length)
    begun = wanted[: 9 * MIB] + begun[9 * MIB :]
    interrupt(place, begun, 20 * MIB)
    place.store.resume(KEY, in_pieces(wanted), len(wanted))
    assert read(place.store, KEY) == wanted
    assert place.unfinished() == []


@pytest.mark.parametrize("error", [Damaged("the source is bad"), ValueError("a mistake")])
def test_after_an_error_that_does_not_pass_nothing_is_kept(place: Place, error: Exception) -> None:  # noqa: F811
    content = token_bytes(20 * MIB)
    with pytest.raises(type(error)) as raised:
        place.store.resume(KEY, broken(content, 18 * MIB, error), len(content))
    assert raised.value is error
    assert place.unfinished() == []
    assert list(place.store.list()) == []


def test_an_existing_object_is_never_overwritten_by_what_was_kept(place: Place) -> None:  # noqa: F811
    content, other = token_bytes(20 * MIB), token_bytes(10)
    interrupt(place, content, 18 * MIB)

    def chunks() -> Iterator[bytes]:
        yield from in_pieces(content)
        place.store.put(KEY, [other])

    with pytest.raises(AlreadyExists):
        place.store.resume(KEY, chunks(), len(content))
    assert read(place.store, KEY) == other
    assert place.unfinished() == []


def test_a_sweep_keeps_what_was_left_until_it_is_old(place: Place) -> None:  # noqa: F811
    content = token_bytes(20 * MIB)
    interrupt(place, content, 18 * MIB)
    assert list(place.store.sweep(datetime.now(UTC) - timedelta(hours=1))) == []
    assert len(place.unfinished()) == 1
    (removed,) = place.store.sweep(datetime.now(UTC) + timedelta(hours=1))
    assert place.store.location("shop/daily/") in removed
    assert place.unfinished() == []


KILLED = """
import sys
from backproof.stores.local import LocalStore
from backproof.stores.s3 import S3Store

def chunks():
    for _ in range(18):
        yield b"x" * 2**20
    print("sent", flush=True)
    sys.stdin.read()

{made}.resume({key!r}, chunks(), 20 * 2**20)
"""


def test_a_killed_writer_leaves_what_the_next_one_goes_on_with(place: Place) -> None:  # noqa: F811
    script = KILLED.format(made=place.made, key=KEY)
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "sent\n"
        if isinstance(place.store, LocalStore):
            with pytest.raises(Busy, match="is being written by another run"):
                place.store.resume(KEY, [], 0)
        os.kill(writer.pid, signal.SIGKILL)
    assert list(place.store.sweep(datetime.now(UTC) - timedelta(hours=1))) == []
    assert len(place.unfinished()) == 1
    content = b"x" * (20 * MIB)
    place.store.resume(KEY, in_pieces(content), len(content))
    assert read(place.store, KEY) == content
    assert place.unfinished() == []


def test_what_another_writer_is_at_is_left_to_it(place: Place) -> None:  # noqa: F811
    content = token_bytes(20 * MIB)
    with writer(place.made):
        assert len(place.unfinished()) == 1
        place.store.resume(KEY, in_pieces(content), len(content))
        assert len(place.unfinished()) == 1
    assert read(place.store, KEY) == content
    assert len(place.store.sweep(datetime.now(UTC) - timedelta(hours=1))) == 1
    assert place.unfinished() == []
