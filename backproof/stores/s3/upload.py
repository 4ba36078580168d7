"""Writing one object to S3, once, and knowing afterwards whether it is there.

Each upload bears a token of its own in the object's metadata. A reply can get lost after the object was made; the next
attempt is then refused, because "somebody" wrote the key. The token tells whether that was us.

An upload of several parts is ours to end: it is completed, or aborted whatever went wrong, be it an interrupt. It is
aborted after the last of its parts has stopped flying, since a part that lands later would stay. A note on this machine
(``stores.s3.notes``) stands for it meanwhile, so that a sweep can abort it at once when we are killed.
"""

from base64 import b64encode
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain
from secrets import token_hex
from typing import Any

from backproof.errors import AlreadyExists, Permanent, StoreUnavailable
from backproof.stores.s3 import notes
from backproof.stores.s3.errors import S3_ERRORS, already_there, told
from backproof.stores.s3.parts import MIB, cut, part_sizes

THREADS = 3
FLYING_BYTES = 64 * MIB
"""Parts on their way at a time: as many as fit, at least one."""
NOT_TO_BE_TRUSTED = "Try again; if it stays, the store is not to be trusted."
_WRITER = "backproof-writer"
_SUMMED: dict[str, Any] = {"ChecksumAlgorithm": "SHA256"}
"""A bucket with Object Lock takes no object without this, though the sum itself goes with it."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part that S3 has taken and checked."""

    number: int
    length: int
    digest: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Upload:
    """One object on its way.

    Args:
        client: of boto3.
        hurried: the same with less patience, for what is done after a failure.
        target: ``Bucket`` and ``Key``.
        options: what a new object asks for: encryption, storage class.
        place: where it will lie, for messages.
    """

    client: Any
    hurried: Any
    target: dict[str, str]
    options: dict[str, str]
    place: str
    token: str = field(default_factory=lambda: token_hex(16))

    def send(self, chunks: Iterable[bytes], size_hint: int | None) -> None:
        """Write all chunks and check what lies there, or leave nothing."""
        parts = cut(chunks, part_sizes(size_hint))
        first = next(parts, b"")
        second = next(parts, None)
        if second is None:
            self._send_whole(first)
        else:
            self._send_in_parts(chain((first, second), parts))

    def _send_whole(self, content: bytes) -> bool:
        checksum = _base64(sha256(content).digest())
        try:
            with told("s3:PutObject", self.place):
                self.client.put_object(
                    **self.target, **self._new(), **_SUMMED, Body=content, ChecksumSHA256=checksum, IfNoneMatch="*"
                )
        except (AlreadyExists, StoreUnavailable):
            if not self._is_ours():
                raise
        return self._confirm(len(content), checksum)

    def _send_in_parts(self, contents: Iterator[bytes]) -> None:
        note = notes.begin(self.client.meta.endpoint_url, self.target["Bucket"], self.target["Key"])
        upload: dict[str, str] = {}
        settled = True
        try:
            upload = self._begin(note)
            parts = self._fly(upload, contents)
            self._complete(upload, parts)
        except BaseException as error:
            # Without an answer it may have begun all the same.
            settled = self._abort(upload, error) if upload else isinstance(error, Permanent)
            raise
        finally:
            if note and settled:
                note.settle()
        self._confirm(sum(part.length for part in parts), composite(parts))

    def _begin(self, note: notes.Note | None) -> dict[str, str]:
        with told("s3:PutObject", self.place):
            begun = self.client.create_multipart_upload(**self.target, **self._new(), **_SUMMED)
        if note:
            note.write(begun["UploadId"])
        return self.target | {"UploadId": begun["UploadId"]}

    def _fly(self, upload: dict[str, str], contents: Iterator[bytes]) -> list[Part]:
        flying: deque[Future[Part]] = deque()
        landed: list[Part] = []
        with ThreadPoolExecutor(THREADS, "backproof-upload") as threads:
            for number, content in enumerate(contents, 1):
                while len(flying) >= max(1, min(THREADS, FLYING_BYTES // len(content))):
                    landed.append(flying.popleft().result())
                flying.append(threads.submit(self._send_part, upload, number, content))
            landed.extend(future.result() for future in flying)
        return landed

    def _send_part(self, upload: dict[str, str], number: int, content: bytes) -> Part:
        digest = sha256(content).digest()
        with told("s3:PutObject", self.place):
            answer = self.client.upload_part(
                **upload, **_SUMMED, PartNumber=number, Body=content, ChecksumSHA256=_base64(digest)
            )
        return Part(number, len(content), digest, answer["ETag"])

    def _complete(self, upload: dict[str, str], parts: list[Part]) -> None:
        try:
            self._join(upload, parts)
        except (AlreadyExists, StoreUnavailable) as error:
            self._abort(upload, error)  # first: what is still being completed is settled by this
            if not self._is_ours():
                raise

    def _join(self, upload: dict[str, str], parts: list[Part]) -> None:
        listed = [
            {"PartNumber": part.number, "ETag": part.etag, "ChecksumSHA256": _base64(part.digest)} for part in parts
        ]
        with told("s3:PutObject", self.place):
            self.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": listed}, IfNoneMatch="*")

    def _confirm(self, length: int, checksum: str) -> bool:
        """Whether S3 keeps SHA-256 of it; raises where what lies there is not what was sent."""
        with told("s3:GetObject", self.place):
            found = self.client.head_object(**self.target, ChecksumMode="ENABLED")
        # Of parts it reads DIGEST-NUMBER. A store that keeps none has still checked each part against the one sent.
        kept = found.get("ChecksumSHA256", checksum).partition("-")[0]
        if found["Metadata"].get(_WRITER, self.token) != self.token:
            # SeaweedFS looks and completes in two steps: of two uploads that end together the later one stays.
            raise already_there(self.place)
        if (found["ContentLength"], kept) == (length, checksum):
            return "ChecksumSHA256" in found
        with told("s3:DeleteObject", self.place):
            self.client.delete_object(**self.target)
        raise StoreUnavailable(
            f"{self.place} was stored with {found['ContentLength']} bytes of {length}, or with others, and was removed",
            NOT_TO_BE_TRUSTED,
        )

    def _is_ours(self) -> bool:
        try:
            return bool(self.hurried.head_object(**self.target)["Metadata"].get(_WRITER) == self.token)
        except S3_ERRORS:
            return False

    def _abort(self, upload: dict[str, str], reason: BaseException) -> bool:
        """Whether it is known to be gone."""
        try:
            with suppress(self.hurried.exceptions.NoSuchUpload):
                self.hurried.abort_multipart_upload(**upload)
        except S3_ERRORS:
            reason.add_note(f"An unfinished upload of {self.place} may be left; a later sweep aborts it.")
            return False
        return True

    def _new(self) -> dict[str, Any]:
        return {"Metadata": {_WRITER: self.token}, **self.options}


def composite(parts: Iterable[Part]) -> str:
    """S3's checksum of an object in parts: SHA-256 over those of its parts, base64."""
    return _base64(sha256(b"".join(part.digest for part in parts)).digest())


def _base64(digest: bytes) -> str:
    return b64encode(digest).decode()
