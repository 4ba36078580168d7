"""Rows on a bare socket: whole messages, however little it takes at once; and an end to waiting."""

import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

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


def notice(words: bytes) -> bytes:
    return b"N" + struct.pack(">I", 4 + len(words)) + words


def test_what_a_server_says_meanwhile_is_thrown_away_until_libpq_needs_it(
    ends: tuple[socket.socket, socket.socket], stopped: threading.Event
) -> None:
    """It takes no rows until it has got rid of its messages, which are more than there is room for."""
    ours, server = ends
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    read = begun(rows_of(LARGE, stopped, ours))
    for words in [b"", b"words " * 3, b"many words " * 40_000] * 3:
        server.sendall(notice(words))
    with ThreadPoolExecutor(1) as pool:
        server.sendall(b"E" + struct.pack(">I", 9) + b"error")
        messages = pool.submit(received, server)
        assert read.result(30) == b""
        ours.shutdown(socket.SHUT_WR)
        assert b"".join(messages.result(30)) == LARGE
    said = ours.recv(65536)
    while said.startswith(b"N"):  # those for which there was room
        (length,) = struct.unpack(">I", said[1:5])
        said = said[1 + length :]
    assert said == b"E" + struct.pack(">I", 9) + b"error"


def test_a_message_that_is_half_thrown_away_is_so_to_its_end(
    ends: tuple[socket.socket, socket.socket], stopped: threading.Event
) -> None:
    ours, server = ends
    read = begun(rows_of(LARGE, stopped, ours))
    half, rest = (text := notice(b"words " * 10))[:20], text[20:]
    server.sendall(half)
    with pytest.raises(TimeoutError):
        read.result(1)
    with ThreadPoolExecutor(1) as pool:
        messages = pool.submit(received, server)
        with pytest.raises(TimeoutError):
            read.result(1)
        server.sendall(rest + b"C")
        assert read.result(30) == b""
        ours.shutdown(socket.SHUT_WR)
        assert b"".join(messages.result(30)) == LARGE
    assert ours.recv(9) == b"C"


def test_a_slow_server_is_waited_for(ends: tuple[socket.socket, socket.socket], stopped: threading.Event) -> None:
    ours, server = ends
    read = begun(rows_of(LARGE, stopped, ours))
    with pytest.raises(TimeoutError):
        read.result(2)
    with ThreadPoolExecutor(1) as pool:
        messages = pool.submit(received, server)
        assert read.result(30) == b""
        ours.shutdown(socket.SHUT_WR)
        assert b"".join(messages.result(30)) == LARGE
