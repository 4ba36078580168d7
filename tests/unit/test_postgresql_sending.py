"""Rows on a bare socket: whole messages, however little it takes at once; and an end to waiting."""

import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from backproof.engines.postgresql import sending
from backproof.engines.postgresql.sending import MESSAGE_BYTES, Rows

HEAD, TAIL = b"COPY t FROM stdin;\n", b"\\.\n"
LARGE = b"a row of some length\n" * 400_000


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, server = socket.socketpair()
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with ours, server:
        yield ours, server


@pytest.fixture
def stopped() -> threading.Event:
    return threading.Event()


def rows_of(content: bytes, stopped: threading.Event, bare: "socket.socket | None") -> Rows:
    plain = HEAD + content + TAIL
    return Rows(plain, len(HEAD), len(HEAD) + len(content), stopped, None if bare is None else bare.fileno())


def received(server: socket.socket) -> list[bytes]:
    """The rows of each CopyData message until the other end closes."""
    stream, found = server.makefile("rb"), []
    while kind := stream.read(1):
        assert kind == b"d"
        (length,) = struct.unpack(">I", stream.read(4))
        found.append(stream.read(length - 4))
    return found


def begun(rows: Rows) -> "Future[bytes]":
    pool = ThreadPoolExecutor(1)
    read = pool.submit(rows.read, MESSAGE_BYTES)
    pool.shutdown(wait=False)
    return read


@pytest.mark.parametrize("content", [b"", b"1\n", b"x" * MESSAGE_BYTES, b"y" * (MESSAGE_BYTES + 1), LARGE])
def test_all_rows_go_past_libpq(
    ends: tuple[socket.socket, socket.socket], stopped: threading.Event, content: bytes
) -> None:
    ours, server = ends
    rows = rows_of(content, stopped, ours)
    read = begun(rows)
    with ThreadPoolExecutor(1) as pool:
        messages = pool.submit(received, server)
        assert read.result(30) == b""
        assert rows.read(MESSAGE_BYTES) == b""
        ours.shutdown(socket.SHUT_WR)
        assert b"".join(found := messages.result(30)) == content
    assert all(0 < len(each) <= MESSAGE_BYTES for each in found)


def test_without_a_bare_socket_libpq_gets_them(stopped: threading.Event) -> None:
    rows = rows_of(LARGE, stopped, None)
    found = list(iter(lambda: rows.read(MESSAGE_BYTES), b""))
    assert b"".join(found) == LARGE
    assert all(len(each) <= MESSAGE_BYTES for each in found)


def test_another_session_s_failure_ends_it_and_the_connection(
    ends: tuple[socket.socket, socket.socket], stopped: threading.Event
) -> None:
    ours, server = ends
    read = begun(rows_of(LARGE, stopped, ours))
    assert server.recv(1) == b"d"
    stopped.set()
    with pytest.raises(InterruptedError):
        read.result(30)
    while server.recv(65536):
        pass  # what had been sent; and then the end
    with pytest.raises(BrokenPipeError):
        ours.send(b"c\0\0\0\4")  # libpq can't say that it is done


def test_a_server_that_goes_away_is_left_to_libpq_to_find(
    ends: tuple[socket.socket, socket.socket], stopped: threading.Event
) -> None:
    ours, server = ends
    rows = rows_of(LARGE, stopped, ours)
    read = begun(rows)
    assert server.recv(1) == b"d"
    server.send(b"its last words")
    server.close()
    assert read.result(30) == b""
    assert rows.failure is None


@pytest.mark.parametrize("unread", [0, 20_000])
def test_a_server_that_waits_for_us_to_read_is_told_and_a_slow_one_waited_for(
    ends: tuple[socket.socket, socket.socket], stopped: threading.Event, monkeypatch: pytest.MonkeyPatch, unread: int
) -> None:
    ours, server = ends
    monkeypatch.setattr(sending, "_STALLED_SECONDS", 1.0)
    server.sendall(b"N" * unread)
    rows = rows_of(LARGE, stopped, ours)
    read = begun(rows)
    if unread:
        with pytest.raises(InterruptedError):
            read.result(30)
        assert "takes no rows" in str(rows.failure)
    else:
        with pytest.raises(TimeoutError):
            read.result(3)
        threading.Thread(target=received, args=[server]).start()
        assert read.result(30) == b""
        ours.shutdown(socket.SHUT_WR)
