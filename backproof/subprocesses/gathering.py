"""Reading what a program writes by much at a time, though it writes by little.

Dump tools write pages of 4 KiB. A reader that waits for more is woken by each of them, tens of thousands of times for a
GB, and all that time no other program has the processor: a tenth of what a dump costs the machine.
"""

import time
from io import BufferedReader

_LITTLE_BYTES = 256 * 1024
"""A quarter of the pipe: who brings less is slower than the reader."""

_GATHER_SECONDS = 0.002
"""How long to let it gather. A program that fills a pipe of 1 MiB in it would write 500 MB a second."""


class GatheringPipe:
    """What a program writes; see ``subprocesses.stream``."""

    def __init__(self, pipe: BufferedReader) -> None:
        self._pipe = pipe

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill it, and say with how many bytes; fewer only at the end."""
        length = 0
        while read := self._pipe.readinto1(buffer[length:]):
            length += read
            if read < _LITTLE_BYTES and length < len(buffer):
                time.sleep(_GATHER_SECONDS)
        return length
