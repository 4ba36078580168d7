"""TLS before a PostgreSQL server that was built without it."""

import asyncio
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue


@contextmanager
def tls(port: int, certificate: Path, key: Path) -> Iterator[int]:
    """The port on 127.0.0.1 of one that speaks TLS to clients that ask for it, and plainly to the server behind."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def carry(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await client.readexactly(8)  # SSLRequest
            to_client.write(b"S")
            await to_client.drain()
            await to_client.start_tls(context)
            server, to_server = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_pass_on(client, to_server), _pass_on(server, to_client))

    ports: Queue[int] = Queue()
    over = asyncio.Event()

    async def serve() -> None:
        async with await asyncio.start_server(carry, "127.0.0.1", 0) as server:
            ports.put(server.sockets[0].getsockname()[1])
            await over.wait()

    with asyncio.Runner() as runner, ThreadPoolExecutor(1) as pool:
        pool.submit(runner.run, serve())
        try:
            yield ports.get(timeout=30)
        finally:
            runner.get_loop().call_soon_threadsafe(over.set)


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while received := await source.read(65536):
            target.write(received)
            await target.drain()
    target.close()
    with suppress(OSError):
        await target.wait_closed()
