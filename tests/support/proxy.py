"""A proxy before an S3 server that does one bad thing at a chosen request, and proves that it did.

It forwards bytes untouched (the client signed the ``Host`` header) and knows just enough HTTP to tell requests apart.
Leaving the context with a fault that never fired is an ``AssertionError``: such a test would have shown nothing.
"""

import asyncio
import re
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

PIECE = 64 * 1024
_ERROR_IN_200 = b'<?xml version="1.0"?>\n<Error><Code>InternalError</Code><Message>later</Message></Error>'


@dataclass
class Fault:
    """What goes wrong, and at which requests.

    ``answer``: the proxy answers itself, and the server never hears of it. ``lose-reply``: the server does what it was
    asked, and its answer is dropped with the connection. ``cut``, ``reset``, ``stall`` and ``flip`` happen after so
    many bytes of a body; where ``after`` is 0, before the answer's first byte.
    """

    kind: Literal["answer", "lose-reply", "cut", "reset", "stall", "flip"]
    method: str = "[A-Z]+"
    target: str = ""
    """A pattern that is searched in path and query."""
    times: int = 1
    skip: int = 0
    """Matching requests that are let through first."""
    after: int = 0
    side: Literal["request", "response"] = "response"
    status: int = 503
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    fired: int = 0

    def fits(self, method: str, target: str) -> bool:
        """Whether this request is one to spoil; counts those that are let through."""
        if self.fired >= self.times or not re.fullmatch(self.method, method) or not re.search(self.target, target):
            return False
        self.skip -= 1
        return self.skip < 0


def error_in_200() -> Fault:
    """What S3 can answer to CompleteMultipartUpload: all is well, and then that nothing is."""
    return Fault("answer", "POST", "uploadId=", status=200, body=_ERROR_IN_200, times=100)


class _Ended(Exception):
    """The connection is of no use any more."""


@dataclass(frozen=True)
class _Wire:
    """One side of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


@dataclass
class Proxy:
    """``with Proxy(server.endpoint_url) as proxy: … proxy.url``."""

    upstream_url: str
    requests: list[str] = field(default_factory=list)
    """``METHOD /path?query``, in order of arrival."""
    starts: list[int] = field(default_factory=list)
    """The first byte that each request for a range asked for."""
    bytes_forwarded: int = 0
    faults: list[Fault] = field(default_factory=list)

    def inject(self, fault: Fault) -> Fault:
        """Arrange for one fault; of several that fit a request, the first is taken."""
        self.faults.append(fault)
        return fault

    def clear(self) -> None:
        """Behave from now on."""
        self.faults.clear()

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if kind is None:
            assert all(fault.fired for fault in self.faults), f"a fault never fired: {self.faults}"

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = urlsplit(self.upstream_url)
        client, server = _Wire(reader, writer), None
        try:
            server = _Wire(*await asyncio.open_connection(address.hostname, address.port))
            while True:
                await self._exchange(client, server)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, _Ended):
            pass  # either side went away, or a fault made it
        finally:
            client.writer.close()
            if server is not None:
                server.writer.close()

    async def _exchange(self, client: _Wire, server: _Wire) -> None:
        head = await client.head()
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        self.requests.append(f"{method} {target}")
        self.starts += map(int, re.findall(rb"(?i)\r\nrange: *bytes=(\d+)-", head))
        fault = next((each for each in self.faults if each.fits(method, target)), None)
        if fault and fault.kind == "answer":
            await self._answer(client, method, fault)
        await server.send(head)
        if re.search(rb"(?i)\r\nexpect: 100-continue\r\n", head):
            interim = await server.head()
            await client.send(interim)
            if b" 100 " not in interim.split(b"\r\n", 1)[0]:
                raise _Ended  # refused before its body was sent
        on_request = fault if fault and fault.side == "request" else None
        await self._forward(client, server, _length(head), on_request)
        await self._reply(client, server, method, None if on_request else fault)

    async def _answer(self, client: _Wire, method: str, fault: Fault) -> None:
        fault.fired += 1
        headers = {"Content-Length": str(len(fault.body)), "Connection": "close", **fault.headers}
        lines = [f"HTTP/1.1 {fault.status} No", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        head = "\r\n".join(lines)
        await client.send(head.encode() + (b"" if method == "HEAD" else fault.body))
        raise _Ended

    async def _reply(self, client: _Wire, server: _Wire, method: str, fault: Fault | None) -> None:
        head = await server.head()
        if fault and (fault.kind == "lose-reply" or (fault.after == 0 and fault.kind != "flip")):
            await self._spoil(client, fault)
        await client.send(head)
        if method == "HEAD":
            return
        if re.search(rb"(?i)\r\ntransfer-encoding: chunked\r\n", head):
            await _forward_chunks(client, server)
        else:
            await self._forward(server, client, _length(head), fault)

    async def _forward(self, source: _Wire, sink: _Wire, length: int, fault: Fault | None) -> None:
        done = 0
        while done < length:
            stop = fault.after if fault and done < fault.after else length
            if fault and done == fault.after:
                if fault.kind != "flip":
                    await self._spoil(sink if fault.side == "response" else source, fault)
                fault.fired += 1
                byte = await source.reader.readexactly(1)
                piece = bytes([byte[0] ^ 1])
                fault = None
            else:
                piece = await source.reader.read(min(PIECE, stop - done))
            if not piece:
                raise _Ended
            self.bytes_forwarded += len(piece)  # before whoever gets it may look
            await sink.send(piece)
            done += len(piece)

    async def _spoil(self, client: _Wire, fault: Fault) -> None:
        fault.fired += 1
        if fault.kind == "stall":
            await client.reader.read()  # until the client has had enough
        if fault.kind == "reset":
            client.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            client.writer.transport.abort()
        raise _Ended


async def _forward_chunks(client: _Wire, server: _Wire) -> None:
    size = -1
    while size:
        line = await server.reader.readline()
        size = int(line, 16)
        await client.send(line + await server.reader.readexactly(size + 2))


def _length(head: bytes) -> int:
    match = re.search(rb"(?i)\r\ncontent-length: *(\d+)\r\n", head)
    return int(match[1]) if match else 0
