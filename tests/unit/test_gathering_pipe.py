"""Reading by much at a time what is written by little."""

import io
import os
import threading
from collections.abc import Iterator

import pytest

from backproof.subprocesses import gathering
from backproof.subprocesses.gathering import GatheringPipe

PAGE = bytes(range(256)) * 16


class _Counted(io.FileIO):
    """A pipe that knows how often it was read."""

    reads = 0

    def readinto(self, buffer: memoryview, /) -> int | None:  # type: ignore[override]
        self.reads += 1
        return super().readinto(buffer)


@pytest.fixture
def pipe() -> Iterator[tuple[io.BufferedReader, _Counted, int]]:
    reading, writing = os.pipe()
    raw = _Counted(reading, "rb")
    with io.BufferedReader(raw) as buffered:
        yield buffered, raw, writing


def _read(pipe: GatheringPipe, size: int) -> bytes:
    buffer = bytearray(size)
    return bytes(buffer[: pipe.readinto(memoryview(buffer))])


def test_after_a_page_it_lets_more_gather(
    pipe: tuple[io.BufferedReader, _Counted, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    buffered, raw, writing = pipe
    coming = [PAGE * 4, PAGE * 6]

    def gather(_seconds: float) -> None:
        if coming:
            os.write(writing, coming.pop(0))

    monkeypatch.setattr(gathering.time, "sleep", gather)
    os.write(writing, PAGE)
    assert _read(GatheringPipe(buffered), 11 * len(PAGE)) == PAGE * 11
    assert raw.reads == 3
    os.close(writing)
    assert _read(GatheringPipe(buffered), 10) == b""


def test_it_does_not_wait_once_enough_is_there(
    pipe: tuple[io.BufferedReader, _Counted, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    buffered, _, writing = pipe
    monkeypatch.setattr(gathering.time, "sleep", lambda _: pytest.fail("it waited"))
    monkeypatch.setattr(gathering, "_LITTLE_BYTES", len(PAGE))
    os.write(writing, PAGE * 3)
    assert _read(GatheringPipe(buffered), 100) == PAGE[:100]
    # What was looked at before, as a dump's first bytes are, comes first.
    assert buffered.peek(1).startswith(PAGE[100:110])
    os.close(writing)
    monkeypatch.undo()
    assert _read(GatheringPipe(buffered), 4 * len(PAGE)) == (PAGE * 3)[100:]


def test_a_writer_of_pages_is_read_whole(pipe: tuple[io.BufferedReader, _Counted, int]) -> None:
    buffered, _, writing = pipe
    pages = 2000

    def write() -> None:
        for _ in range(pages):
            os.write(writing, PAGE)
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    gathered, found = GatheringPipe(buffered), []
    while part := _read(gathered, 1_000_003):
        found.append(part)
    writer.join()
    assert b"".join(found) == PAGE * pages
    assert all(len(part) == 1_000_003 for part in found[:-1])
