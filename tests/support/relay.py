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
        self._hold_after: int | None = None
        self._together = False
        self._answered = 0
        self._go_on = threading.Event()
        self.cuts = 0
        """How many connections were cut: none, and a test has shown nothing."""
        self.holding = threading.Event()
        """Set once an answer is held."""

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
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

    def mend(self) -> None:
        """Carry again, for whoever connects from now on."""
        with self._lock:
            self._is_cut = False

    def hold(self, after: int, together: bool = False) -> None:
        """Once the server has said more than so many bytes, its next ones wait until ``release``.

        Args:
            after: so many.
            together: on all connections from now on; else on one connection, from its beginning.
        """
        self._go_on.clear()
        self.holding.clear()
        self._together, self._answered = together, 0
        self._hold_after = after

    def release(self) -> None:
        """Let through what is held, and hold nothing more."""
        self._hold_after = None
        self._go_on.set()

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
                for source, target, answers in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._carry, args=(source, target, answers), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        carried = 0
        try:
            while received := source.recv(65536):
                carried += len(received)
                if answers and self._held(carried, len(received)):
                    self.holding.set()
                    self._go_on.wait()
                target.sendall(received)
            target.shutdown(socket.SHUT_WR)
        except OSError:  # one of them is gone: the other need not wait for it
            if not self._is_cut:
                for end in (source, target):
                    with suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)

    def _held(self, carried: int, received: int) -> bool:
        with self._lock:
            self._answered += received
            counted = self._answered if self._together else carried
            return self._hold_after is not None and counted > self._hold_after


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # What waits in recv holds the socket open: it is woken first.
        end.shutdown(socket.SHUT_RD)
    end.close()
