"""Writing one object to S3 whose bytes are the same each time, going on with an upload that was interrupted.

S3 keeps the parts of an upload until it is completed or aborted, and lists them with their digests. A part is sent
again unless S3 has one of the same number, length and digest: SHA-256 where it lists that, else the MD5 that its ETag
is. All parts are named with their SHA-256 when the upload is completed, and S3 checks them once more.

Nobody marks such an upload as theirs: whoever comes next may go on with it, from another machine too. Two at once send
the same parts; one of them completes it and the other finds the object there. A sweep aborts one that has become old.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import md5, sha256
from itertools import chain
from typing import Any

from backproof.errors import AccessDenied, ConfigurationError, Transient
from backproof.stores.s3.errors import told
from backproof.stores.s3.parts import cut, part_sizes
from backproof.stores.s3.upload import Part, Upload, composite


@dataclass(frozen=True, slots=True)
class Resumption(Upload):
    """As ``Upload``, but what may pass on its own leaves the parts that S3 has.

    Args:
        left: the id of the upload to go on with; None begins one.
    """

    left: str | None = None
    kept: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What S3 lists of each part it has."""

    def resume(self, chunks: Iterable[bytes], length: int) -> bool:
        """Write all chunks and check what lies there. Returns whether S3 keeps SHA-256 of it."""
        parts = cut(chunks, part_sizes(length))
        first = next(parts, b"")
        second = next(parts, None)
        if second is None:
            return self._send_whole(first)
        return self._resume_in_parts(chain((first, second), parts))

    def _resume_in_parts(self, contents: Iterator[bytes]) -> bool:
        upload = self._begin(None) if self.left is None else self.target | {"UploadId": self.left}
        try:
            if self.left is not None:
                self.kept.update(self._listed(upload))
            parts = self._fly(upload, contents)
            self._join(upload, parts)
        except Exception as error:
            if not isinstance(error, Transient):
                self._abort(upload, error)
            raise
        return self._confirm(sum(part.length for part in parts), composite(parts))

    def _send_part(self, upload: dict[str, str], number: int, content: bytes) -> Part:
        digest = sha256(content).digest()
        if (there := self.kept.get(number)) and _same(there, content, digest):
            return Part(number, len(content), digest, there["ETag"])
        return super(Resumption, self)._send_part(upload, number, content)

    def _listed(self, upload: dict[str, str]) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        after: dict[str, int] = {}
        while True:
            try:
                with told("s3:ListMultipartUploadParts", self.place):
                    page = self.client.list_parts(**upload, **after)
            except (AccessDenied, ConfigurationError):
                return {}  # whoever may write and not list sends all of them again
            found |= {part["PartNumber"]: part for part in page.get("Parts", ())}
            if not page.get("IsTruncated") or not page.get("NextPartNumberMarker"):
                return found
            after = {"PartNumberMarker": page["NextPartNumberMarker"]}

    def _confirm(self, length: int, checksum: str) -> bool:
        """As ``Upload._confirm``, but whoever began the upload, and whoever completed it: the bytes decide."""
        with told("s3:GetObject", self.place):
            found = self.client.head_object(**self.target, ChecksumMode="ENABLED")
        kept = found.get("ChecksumSHA256", checksum).partition("-")[0]
        if (found["ContentLength"], kept) == (length, checksum):
            return "ChecksumSHA256" in found
        return super(Resumption, self)._confirm(length, checksum)


def _same(there: dict[str, Any], content: bytes, digest: bytes) -> bool:
    if there.get("Size") != len(content):
        return False
    if listed := there.get("ChecksumSHA256"):
        return bool(listed == b64encode(digest).decode())
    return bool(there.get("ETag", "").strip('"') == md5(content, usedforsecurity=False).hexdigest())
