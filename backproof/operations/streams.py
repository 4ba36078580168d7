"""Draw from several streams of pieces at once, without holding more than a few pieces in memory."""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence

from backproof.engines import Piece

_Item = Piece | BaseException | None


def interleave(streams: Sequence[Iterator[Piece]], depth: int = 1) -> Iterator[Piece]:
    """All pieces of all streams; those of one stream in their order.

    Each stream is drained by a thread of its own, at most ``depth`` pieces ahead. The first error of any stream is
    raised here; leaving early ends the threads.
    """
    if len(streams) <= 1:
        for stream in streams:
            yield from stream
        return
    waiting: queue.Queue[_Item] = queue.Queue(maxsize=depth * len(streams))
    stopped = threading.Event()
    threads = [threading.Thread(target=_drain, args=(stream, waiting, stopped), daemon=True) for stream in streams]
    for thread in threads:
        thread.start()
    try:
        running = len(threads)
        while running:
            item = waiting.get()
            if item is None:
                running -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                yield item
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def _drain(stream: Iterator[Piece], waiting: "queue.Queue[_Item]", stopped: threading.Event) -> None:
    last: BaseException | None = None
    try:
        for piece in stream:
            if not _put(waiting, piece, stopped):
                break
    except BaseException as error:  # handed to the reader, which raises it
        last = error
    finally:
        if isinstance(stream, Generator):
            stream.close()  # ends the dump process behind it when the reader left early
    _put(waiting, last, stopped)


def _put(waiting: "queue.Queue[_Item]", item: _Item, stopped: threading.Event) -> bool:
    while not stopped.is_set():
        try:
            waiting.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
