"""Draw from several streams of pieces at once, without holding more than a few pieces in memory."""

import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

from backproof.engines import Piece

HELD_BYTES = 24 * 1024 * 1024
"""Of all streams. Pieces of a table that come in a row are read back at once, from S3 by one request."""


@dataclass(slots=True)
class _Stream:
    """What waits of one stream."""

    pieces: deque[Piece] = field(default_factory=deque)
    held_bytes: int = 0
    full: bool = False
    """Its thread waits for room."""
    ended: bool = False


def interleave(streams: Sequence[Iterator[Piece]], held_bytes: int = HELD_BYTES) -> Iterator[Piece]:
    """All pieces of all streams; those of one stream in their order, and several of them in a row.

    Each stream is drained by a thread of its own, its share of ``held_bytes`` ahead, or one piece that is longer. After
    as many bytes another stream has its turn; sooner where one can't go on, and this one has nothing. The first error
    of any stream is raised here; leaving early ends the threads.
    """
    if len(streams) <= 1:
        for stream in streams:
            yield from stream
        return
    waiting = _Waiting(len(streams), held_bytes // len(streams))
    threads = [
        threading.Thread(target=_drain, args=(stream, number, waiting), daemon=True)
        for number, stream in enumerate(streams)
    ]
    for thread in threads:
        thread.start()
    try:
        while (piece := waiting.take()) is not None:
            yield piece
    finally:
        waiting.stop()
        for thread in threads:
            thread.join()


def _drain(stream: Iterator[Piece], number: int, waiting: "_Waiting") -> None:
    error: BaseException | None = None
    try:
        for piece in stream:
            if not waiting.put(number, piece):
                break
    except BaseException as raised:  # handed to the reader, which raises it
        error = raised
    finally:
        if isinstance(stream, Generator):
            stream.close()  # ends the dump process behind it when the reader left early
    waiting.end(number, error)


class _Waiting:
    """The pieces between the threads that drain the streams and whoever draws."""

    def __init__(self, streams: int, burst_bytes: int) -> None:
        self._streams = [_Stream() for _ in range(streams)]
        self._burst_bytes = burst_bytes
        self._changed = threading.Condition()
        self._stopped = False
        self._error: BaseException | None = None
        self._current = self._streams[0]
        self._drawn_bytes = 0
        """Of the current stream, in a row."""

    def put(self, number: int, piece: Piece) -> bool:
        """Hand a piece over, once there is room; whether anybody still wants it."""
        stream, size = self._streams[number], _size(piece)
        with self._changed:
            while not self._stopped and stream.pieces and stream.held_bytes + size > self._burst_bytes:
                stream.full = True
                self._changed.notify_all()
                self._changed.wait()
            stream.full = False
            stream.pieces.append(piece)
            stream.held_bytes += size
            self._changed.notify_all()
            return not self._stopped

    def end(self, number: int, error: BaseException | None) -> None:
        """Nothing more comes of a stream."""
        with self._changed:
            self._streams[number].ended = True
            self._error = self._error or error
            self._changed.notify_all()

    def stop(self) -> None:
        """Nothing more is wanted."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def take(self) -> Piece | None:
        """The next piece; None when all streams have ended."""
        with self._changed:
            while (stream := self._next()) is None:
                if all(each.ended and not each.pieces for each in self._streams):
                    return None
                self._changed.wait()
            if stream is not self._current:
                self._current, self._drawn_bytes = stream, 0
            piece = stream.pieces.popleft()
            stream.held_bytes -= _size(piece)
            self._drawn_bytes += _size(piece)
            self._changed.notify_all()
            return piece

    def _next(self) -> _Stream | None:
        """The stream to draw from; None where it is better to wait."""
        if self._error is not None:
            raise self._error
        current = self._current
        others = [each for each in self._streams if each is not current and each.pieces]
        fullest = max(others, key=lambda each: (each.full, each.held_bytes), default=None)
        if current.pieces and (fullest is None or not self._turn_of(fullest)):
            return current
        if fullest is not None and (fullest.full or fullest.ended or current.pieces or current.ended):
            return fullest
        return None

    def _turn_of(self, other: _Stream) -> bool:
        """Whether to leave the current stream, which could go on, for another one that has pieces.

        Not before its burst is drawn, unless hardly anything waits here while the other one stands still.
        """
        return self._drawn_bytes >= self._burst_bytes or (
            other.full and self._current.held_bytes * 4 < self._burst_bytes
        )


def _size(piece: Piece) -> int:
    return len(piece.head) + len(piece.body) + len(piece.tail)
