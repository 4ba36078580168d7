"""A relay before a server that carries bytes until it is cut, as a firewall or a cable would be."""

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class Relay:
    """``with Relay(port) as relay: … relay.port … relay.cut()``; carries to 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self._is_cut = False
        self.cuts = 0
        """How many connections were cut: none, and a test has shown nothing."""

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut(self) -> None:
        """Reset every connection, in both directions, and every later one."""
        with self._lock:
            self._is_cut = True
            ends, self._ends = self._ends, []
        self.cuts += len(ends) // 2
        for end in ends:
            _reset(end)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with self._lock:
                    if self._is_cut:
                        _reset(client)
                        continue
                    server = socket.create_connection(("127.0.0.1", self._upstream))
                    self._ends += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=_carry, args=(source, target), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while received := source.recv(65536):
            target.sendall(received)
        target.shutdown(socket.SHUT_WR)


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # What waits in recv holds the socket open: it is woken first.
        end.shutdown(socket.SHUT_RD)
    end.close()
