"""Reading one object from S3: a range of it, whole or an error, however often the connection breaks."""

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from backproof.errors import Damaged, StoreUnavailable
from backproof.stores.s3.errors import status, told

CHUNK_BYTES = 1024 * 1024
RESUMES = 5
"""How often one reading goes on where it broke off."""
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


@dataclass(frozen=True, slots=True)
class Download:
    """One object to be read.

    Args:
        client: of boto3.
        target: ``Bucket`` and ``Key``.
        place: where it lies, for messages.
    """

    client: Any
    target: dict[str, str]
    place: str

    def read(self, start: int, length: int | None) -> Iterator[bytes]:
        """The bytes ``start:start+length``, in chunks.

        Raises:
            Damaged: the object has no such bytes, or was exchanged while it was read.
            StoreUnavailable: the connection broke more than ``RESUMES`` times.
        """
        if start < 0 or (length is not None and length <= 0):  # S3 knows no empty range
            self._check(start, length)
            return
        position, end, etag = start, None if length is None else start + length, None
        for _ in range(RESUMES + 1):
            if (answer := self._get(position, end, etag)) is None:
                self._check(start, length)
                return
            end, etag = self._end(answer, position, end), answer["ETag"]
            try:
                with closing(answer["Body"]) as body:
                    for chunk in body.iter_chunks(CHUNK_BYTES):
                        position += len(chunk)
                        yield chunk
            except (BotoCoreError, OSError):
                continue
            if position == end:
                return
        raise StoreUnavailable(
            f"s3:GetObject on {self.place} broke off {RESUMES + 1} times, last at byte {position} of {end}",
            "Look at the connection to the store, and try again.",
        )

    def _get(self, position: int, end: int | None, etag: str | None) -> Any:
        """S3's answer, or None when the object has no byte at ``position``."""
        asked = self.target | ({"IfMatch": etag} if etag else {})
        if position or end is not None:
            asked["Range"] = f"bytes={position}-{'' if end is None else end - 1}"
        with told("s3:GetObject", self.place):
            try:
                return self.client.get_object(**asked)
            except ClientError as error:
                if status(error) == 412:
                    raise Damaged(f"{self.place} was exchanged while it was read") from error
                if status(error) != 416:
                    raise
                return None

    def _end(self, answer: Any, position: int, end: int | None) -> int:
        """Where the reading ends, once S3 has said how much there is."""
        match = _RANGE.fullmatch(answer.get("ContentRange", ""))
        first, total = (int(match[1]), int(match[2])) if match else (0, answer["ContentLength"])
        if first != position or (not match and end is not None):
            raise StoreUnavailable(f"s3:GetObject on {self.place} answered with other bytes than were asked for")
        if end is not None and end > total:
            raise self._beyond(position, end, total)
        return total if end is None else end

    def _check(self, start: int, length: int | None) -> None:
        with told("s3:GetObject", self.place):
            total = self.client.head_object(**self.target)["ContentLength"]
        end = start if length is None else start + length
        if not 0 <= start <= end <= total:
            raise self._beyond(start, end, total)

    def _beyond(self, start: int, end: int, total: int) -> Damaged:
        return Damaged(f"bytes {start} to {end} of {self.place} were asked for, and it has {total}")
