"""The requests of a store to its bucket."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from backproof.errors import (
    AccessDenied,
    BackproofError,
    ConfigurationError,
    Damaged,
    NotFound,
    StoreUnavailable,
)
from backproof.stores import Stored
from backproof.stores.keys import is_key
from backproof.stores.s3 import Access, notes
from backproof.stores.s3.client import connect
from backproof.stores.s3.download import Download
from backproof.stores.s3.errors import already_there, told
from backproof.stores.s3.fetching import Fetch
from backproof.stores.s3.locks import lock_in
from backproof.stores.s3.resumption import Resumption
from backproof.stores.s3.upload import NOT_TO_BE_TRUSTED, Upload

_SKEW = timedelta(minutes=15)
"""S3 serves nobody whose clock is further from its own."""


class Bucket:
    """One bucket, seen through a prefix.

    Args:
        prefix: ends with ``/``, or is empty.
        options: what a new object asks for: encryption, storage class.
    """

    def __init__(self, name: str, prefix: str, access: Access, options: dict[str, str]) -> None:
        self._name = name
        self._prefix = prefix
        self._options = options
        self._client, self._hurried = connect(access, self._place())
        self._seen = False

    def put(self, key: str, chunks: Iterable[bytes], size_hint: int | None) -> Stored:
        """Write one object, once."""
        place = self._place(key)
        if self.head(key):  # S3 would say so as well, but only after all the bytes
            raise already_there(place)
        Upload(self._client, self._hurried, self._target(key), self._options, place).send(chunks, size_hint)
        if (stored := self.head(key)) is None:
            raise NotFound(f"{place} is gone right after it was written", "Something else deletes there: stop it.")
        return stored

    def resume(self, key: str, chunks: Iterable[bytes], length: int) -> bool:
        """Write one object, once, going on with an upload that was interrupted."""
        place = self._place(key)
        if self.head(key):
            raise already_there(place)
        upload = Resumption(self._client, self._hurried, self._target(key), self._options, place, left=self._left(key))
        return upload.resume(chunks, length)

    def fetch(self, key: str, origin: "Bucket", length: int, sha256: str) -> bool | None:
        """Have S3 fetch one object from another bucket; None where that can't be had."""
        place = self._place(key)
        if self.head(key):
            raise already_there(place)
        try:
            with told("s3:GetObject", origin._place(key)):
                found = origin._client.head_object(**origin._target(key))
            named = {"left": self._left(key), "origin": origin._target(key), "etag": found["ETag"]}
            fetch = Fetch(self._client, self._hurried, self._target(key), self._options, place, **named)
            return fetch.fetch(length, sha256) if found["ContentLength"] == length else None
        except Damaged:
            raise
        except BackproofError:
            # Whatever stands in the way (a right of ours at the origin, a server that lacks this, a slow one) may not
            # stand in the way of bytes that pass through us; where it does, they tell it.
            return None

    def read(self, key: str, start: int, length: int | None) -> Iterator[bytes]:
        """A range of one object."""
        return Download(self._client, self._target(key), self._place(key)).read(start, length)

    def head(self, key: str) -> Stored | None:
        """What lies under a key, or None."""
        found = self._head(key)
        return found and Stored(key, found["ContentLength"], found["LastModified"].astimezone(UTC))

    def lock(self, key: str) -> str | None:
        """What keeps an object from being deleted, or None."""
        return lock_in(self._head(key) or {})

    def clock(self) -> datetime:
        """The date of an answer."""
        date = self._look()["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        try:
            return parsedate_to_datetime(date).astimezone(UTC)
        except ValueError:
            raise StoreUnavailable(f"{self._place()} answers without a date", NOT_TO_BE_TRUSTED) from None

    def _head(self, key: str) -> Any:
        try:
            with told("s3:GetObject", self._place(key)):
                return self._client.head_object(**self._target(key))
        except NotFound:
            if not self._seen:
                self._look()
            return None
        except (AccessDenied, ConfigurationError):
            self._look()
            raise

    def list(self, prefix: str) -> Iterator[Stored]:
        """Every object whose key starts with ``prefix``, in the server's order."""
        markers = {"ContinuationToken": "NextContinuationToken"}
        for page in self._pages("s3:ListBucket", self._client.list_objects_v2, prefix, markers):
            for found in page.get("Contents", ()):
                if is_key(key := found["Key"].removeprefix(self._prefix)):
                    yield Stored(key, found["Size"], found["LastModified"].astimezone(UTC))

    def delete(self, key: str) -> None:
        """Remove one object."""
        with told("s3:DeleteObject", self._place(key)):
            self._client.delete_object(**self._target(key))

    def sweep(self, before: datetime) -> Sequence[str]:
        """Abort the uploads of dead writers, and those begun before a moment of which nothing else is known."""
        known = tuple(notes.found(self._client.meta.endpoint_url, self._name, self._prefix))
        at_work = {note.upload_id for note in known if note.alive}
        removed = []
        for note in known:
            if note.alive is False:
                removed += [self._abort(*upload) for upload in self._left_by(note, at_work)]
                note.settle()
        stale = [found for found in self._uploads() if found["Initiated"] < before]
        return removed + [
            self._abort(found["Key"], found["UploadId"]) for found in stale if found["UploadId"] not in at_work
        ]

    def _left(self, key: str) -> str | None:
        """The id of an upload under a key that nobody is known to be at, the last begun; None: begin a new one."""
        others = {note.upload_id for note in notes.found(self._client.meta.endpoint_url, self._name, self._prefix)}
        try:
            found = [each for each in self._uploads(self._prefix + key) if each["Key"] == self._prefix + key]
        except (AccessDenied, ConfigurationError):
            return None  # whoever may write and not list begins anew
        left = [each for each in found if each["UploadId"] not in others]
        return max(left, key=lambda each: each["Initiated"])["UploadId"] if left else None

    def _left_by(self, note: notes.Note, at_work: Collection[str | None]) -> Sequence[tuple[str, str]]:
        """Key and id of what a dead writer was at; where it never learned the id, what began under its key then."""
        if note.upload_id is not None:
            return [(note.key, note.upload_id)]
        if any(other is None for other in at_work):
            return []  # somebody begins one right now: it may be that; age will tell
        return [
            (found["Key"], found["UploadId"])
            for found in self._uploads(note.key)
            if found["Key"] == note.key
            and found["UploadId"] not in at_work
            and abs(found["Initiated"] - note.begun) < _SKEW
        ]

    def _uploads(self, key: str = "") -> Iterator[dict[str, Any]]:
        """The unfinished uploads of ours; with ``key``, in full, those of keys that begin so."""
        markers = {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"}
        prefix = key.removeprefix(self._prefix)
        pages = self._pages("s3:ListBucketMultipartUploads", self._client.list_multipart_uploads, prefix, markers)
        for page in pages:
            yield from (each for each in page.get("Uploads", ()) if is_key(each["Key"].removeprefix(self._prefix)))

    def _abort(self, key: str, upload_id: str) -> str:
        place = self._place(key.removeprefix(self._prefix))
        with told("s3:AbortMultipartUpload", place), suppress(self._client.exceptions.NoSuchUpload):
            self._client.abort_multipart_upload(Bucket=self._name, Key=key, UploadId=upload_id)
        return f"unfinished upload of {place}"

    def _pages(self, action: str, ask: Callable[..., Any], prefix: str, markers: dict[str, str]) -> Iterator[Any]:
        """All pages of a listing. boto3's own paginator ends in silence where a page says "more" and not where."""
        place = self._place(prefix)
        going_on: dict[str, str] = {}
        while True:
            with told(action, place):
                page = ask(Bucket=self._name, Prefix=self._prefix + prefix, **going_on)
            yield page
            if page.get("IsTruncated") is False:
                return
            going_on = {asked: page[given] for asked, given in markers.items() if page.get(given)}
            if not going_on:
                raise StoreUnavailable(f"{action} on {place} ended in the middle", NOT_TO_BE_TRUSTED)

    def _look(self) -> Any:
        """Raise what a HEAD can't tell, as it has no body: a missing bucket, a wrong key pair, a wrong clock."""
        with told("s3:ListBucket", self._place()):
            answer = self._client.list_objects_v2(Bucket=self._name, Prefix=self._prefix, MaxKeys=1)
        self._seen = True
        return answer

    def _target(self, key: str) -> dict[str, str]:
        return {"Bucket": self._name, "Key": self._prefix + key}

    def _place(self, key: str = "") -> str:
        return f"s3://{self._name}/{self._prefix}{key}"
