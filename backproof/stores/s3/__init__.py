"""A store in an S3 bucket, or in a part of one: Amazon's, or any server that speaks its protocol.

Put-once is S3's own ``If-None-Match: *``. Each part carries its SHA-256, which S3 checks; afterwards the object's
length and checksum are read back. A store is ours alone: give Backproof a bucket or a prefix of its own, since a sweep
aborts every old unfinished upload it finds there. S3 can't tell whether a writer lives, and this machine knows only its
own (``stores.s3.notes``): let ``before`` lie well in the past.

Memory: an object of up to 60 GiB takes some 40 MiB while it is written, whatever its size; beyond that S3's limit of
10,000 parts makes the parts larger.

botocore is imported with the first request (``stores.s3.bucket``), not with this module: commands answer at once.
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING

from backproof.stores import ByHand, Store, Stored
from backproof.stores.keys import checked, checked_prefix
from backproof.stores.probing import remove_probes, write_read_delete

if TYPE_CHECKING:
    from backproof.stores.s3.bucket import Bucket


@dataclass(frozen=True, slots=True)
class Access:
    """Where a bucket is, who asks, and with how much patience."""

    region: str
    endpoint_url: str | None
    access_key_id: str | None = field(repr=False)
    secret_access_key: str | None = field(repr=False)
    session_token: str | None = field(repr=False)
    connect_seconds: float
    read_seconds: float
    attempts: int


class S3Store:
    """The contract of ``backproof.stores``, kept by S3.

    Args:
        name: what the fleet calls it.
        prefix: put before every key; a final ``/`` may be left out.
        endpoint_url: None for Amazon's.
        access_key_id: None takes the machine's own credentials.
        storage_class: None takes the bucket's default.
        sse: what is asked for on every put: ``AES256``, ``aws:kms``, or None to ask for nothing.
        kms_key_id: with ``aws:kms``, another key than the bucket's.
        connect_seconds: how long to wait for a connection.
        read_seconds: how long to wait for the next bytes of an answer.
        attempts: how often in all a request is sent; a stalled S3 is an error after some ``attempts * read_seconds``.
    """

    def __init__(
        self,
        name: str,
        bucket: str,
        region: str,
        prefix: str = "",
        endpoint_url: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        session_token: str | None = None,
        storage_class: str | None = None,
        sse: str | None = "AES256",
        kms_key_id: str | None = None,
        *,
        connect_seconds: float = 10,
        read_seconds: float = 60,
        attempts: int = 4,
    ) -> None:
        self._name = name
        self._bucket_name = bucket
        self._prefix = f"{checked(prefix.strip('/'))}/" if prefix.strip("/") else ""
        wishes = {"ServerSideEncryption": sse, "SSEKMSKeyId": kms_key_id, "StorageClass": storage_class}
        self._options = {wish: value for wish, value in wishes.items() if value}
        self._access = Access(
            region,
            endpoint_url,
            access_key_id,
            secret_access_key,
            session_token,
            connect_seconds,
            read_seconds,
            attempts,
        )
        self._opened: Bucket | None = None
        self._opening = Lock()

    @property
    def name(self) -> str:
        """What the fleet calls it."""
        return self._name

    def location(self, key: str = "") -> str:
        """``s3://bucket/prefix/key``."""
        return f"s3://{self._bucket_name}/{self._prefix}{key}"

    def put(self, key: str, chunks: Iterable[bytes], size_hint: int | None = None) -> Stored:
        """Write one object, once: a small one whole, others in parts that fly while the next are made."""
        return self._bucket.put(checked(key), chunks, size_hint)

    def resume(self, key: str, chunks: Iterable[bytes], length: int) -> bool:
        """Write one object, once; parts that an interrupted call has sent, and S3 has kept, are not sent again."""
        return self._bucket.resume(checked(key), chunks, length)

    def fetch(self, key: str, source: Store, length: int, sha256: str) -> bool | None:
        """Have S3 copy it, where both stores are of one service; our credentials here must be able to read there."""
        if not isinstance(source, S3Store) or source._access.endpoint_url != self._access.endpoint_url:
            return None
        return self._bucket.fetch(checked(key), source._bucket, length, sha256)

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes ``start:start+length``; what stands in the way is raised when the first chunk is asked for."""
        yield from self._bucket.read(checked(key), start, length)

    def head(self, key: str) -> Stored | None:
        """What lies under a key, or None."""
        return self._bucket.head(checked(key))

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Every object whose key starts with ``prefix``, by key."""
        found = self._bucket.list(checked_prefix(prefix))
        yield from sorted(found, key=lambda each: each.key)  # SeaweedFS has another order

    def delete(self, key: str) -> None:
        """Remove one object."""
        self._bucket.delete(checked(key))

    def lock(self, key: str) -> str | None:
        """By Object Lock or a legal hold; seeing it takes s3:GetObjectRetention and s3:GetObjectLegalHold."""
        return self._bucket.lock(checked(key))

    def clock(self) -> datetime:
        """By the date of an answer."""
        return self._bucket.clock()

    def probe(self) -> None:
        """Write, list, read back and delete a small object of our own."""
        write_read_delete(self)

    def sweep(self, before: datetime) -> Sequence[str]:
        """Abort unfinished uploads below our prefix of dead writers, and of unknown ones that began before a moment.

        Objects of probes from before that moment go too.
        """
        return [*self._bucket.sweep(before), *remove_probes(self, before)]

    def free_bytes(self) -> int | None:
        """S3 has no such limit."""
        return None

    def by_hand(self, plan: str) -> ByHand:
        """By the stock ``aws``."""
        endpoint = self._access.endpoint_url
        where = f"--region {self._access.region}" + (f" --endpoint-url {shlex.quote(endpoint)}" if endpoint else "")
        bucket, prefix = shlex.quote(self._bucket_name), self._prefix
        return ByHand(
            f"An access key that may read {self.location()} (s3:ListBucket, s3:GetObject), in AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY of your environment.",
            f"keys() {{ aws s3api list-objects-v2 {where} --bucket {bucket} --prefix {prefix}{plan}/ \\\n"
            f"  --query 'Contents[].[Key]' --output text | sed 's|^{prefix}||'; }}\n"
            f'get() {{ aws s3 cp --only-show-errors {where} s3://{bucket}/{prefix}"$1" "$2"; }}',
        )

    @property
    def _bucket(self) -> "Bucket":
        with self._opening:
            if self._opened is None:
                from backproof.stores.s3.bucket import Bucket

                self._opened = Bucket(self._bucket_name, self._prefix, self._access, self._options)
            return self._opened
