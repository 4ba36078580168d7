"""Cutting a stream of bytes anew: exact lengths on the way in, handy chunks on the way out."""

from collections.abc import Iterable, Iterator

from backproof.errors import Damaged

CHUNK_BYTES = 1024 * 1024


class Exactly:
    """Takes exact lengths from a stream of chunks, copying only what spans two of them."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._pending = memoryview(b"")

    def take(self, length: int) -> memoryview:
        """The next bytes.

        Raises:
            Damaged: the stream ended before.
        """
        if len(self._pending) < length:
            return self._gathered(length)
        taken, self._pending = self._pending[:length], self._pending[length:]
        return taken

    def ended(self) -> bool:
        """Whether nothing follows; reads ahead to know it."""
        while not self._pending:
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._pending = memoryview(chunk)
        return False

    def _gathered(self, length: int) -> memoryview:
        parts = [self._pending] if self._pending else []
        missing = length - len(self._pending)
        while missing > 0:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise Damaged(f"the bytes end {missing} too early", "The file is cut: use another copy of this backup.")
            whole = memoryview(chunk)
            parts.append(whole[:missing])
            self._pending = whole[missing:]
            missing -= len(parts[-1])
        return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))


def evenly(chunks: Iterable[bytes], size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The same bytes in chunks of at least ``size`` and less than twice that; the last may be shorter."""
    held: list[bytes | memoryview] = []
    length = 0
    for chunk in chunks:
        rest = memoryview(chunk)
        while length + len(rest) >= 2 * size:
            cut = size - length
            yield b"".join((*held, rest[:cut]))
            held, length, rest = [], 0, rest[cut:]
        held.append(rest)
        length += len(rest)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    if length:
        yield b"".join(held)
