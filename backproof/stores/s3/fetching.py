"""Having S3 fetch an object from another of its buckets by itself: no byte of it passes through us.

It is an upload of parts that S3 reads elsewhere, since only an upload is completed under ``If-None-Match: *``. Up to 5
GiB it is a single part, and the SHA-256 that S3 tells of it is that of the whole object: it is held against the one
wanted before anything becomes visible. Beyond that there are several, and only reading shows whether all is well.
"""

from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from backproof.errors import ConfigurationError, Damaged, Transient
from backproof.stores.s3.errors import told
from backproof.stores.s3.parts import MIB
from backproof.stores.s3.resumption import Resumption
from backproof.stores.s3.upload import THREADS, Part, composite

WHOLE_BYTES = 5 * 1024 * MIB
"""The largest part that S3 takes."""
PART_BYTES = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Fetch(Resumption):
    """One object on its way between two buckets.

    Args:
        origin: ``Bucket`` and ``Key`` to read.
        etag: of what lies there: no other object is taken.
    """

    origin: dict[str, str] = field(default_factory=dict)
    etag: str = ""

    def fetch(self, length: int, sha256: str) -> bool:
        """Fetch all of it. Returns whether S3 has told that SHA-256 of what it holds is the one given.

        Raises:
            Damaged: what lies at the origin has another one.
        """
        upload = self._begin(None) if self.left is None else self.target | {"UploadId": self.left}
        try:
            if self.left is not None:
                self.kept.update(self._listed(upload))
            with ThreadPoolExecutor(THREADS, "backproof-fetch") as threads:
                parts = list(threads.map(lambda each: self._fetch_part(upload, *each), _ranges(length)))
            if len(parts) == 1 and parts[0].digest.hex() != sha256:
                raise Damaged("the archive was changed: its SHA-256 is not the one written", "Use another copy.")
            self._join(upload, parts)
        except Exception as error:
            if not isinstance(error, Transient):
                self._abort(upload, error)
            raise
        return self._confirm(length, composite(parts)) and len(parts) == 1

    def _fetch_part(self, upload: dict[str, str], number: int, start: int, length: int, whole: bool) -> Part:
        there = self.kept.get(number, {})
        if there.get("Size") == length and there.get("ChecksumSHA256"):
            return Part(number, length, b64decode(there["ChecksumSHA256"]), there["ETag"])
        asked = {} if whole else {"CopySourceRange": f"bytes={start}-{start + length - 1}"}
        with told("s3:GetObject", self.place):
            answer = self.client.upload_part_copy(
                **upload, PartNumber=number, CopySource=self.origin, CopySourceIfMatch=self.etag, **asked
            )["CopyPartResult"]
        if not answer.get("ChecksumSHA256"):
            raise ConfigurationError(f"the store does not tell SHA-256 of what it fetched for {self.place}")
        return Part(number, length, b64decode(answer["ChecksumSHA256"]), answer["ETag"])


def _ranges(length: int) -> Iterator[tuple[int, int, int, bool]]:
    """Number, start and length of each part, and whether it is all there is."""
    if length <= WHOLE_BYTES:
        yield 1, 0, length, True
        return
    size = max(PART_BYTES, -(-length // 10_000))
    for number, start in enumerate(range(0, length, size), 1):
        yield number, start, min(size, length - start), False
