"""The contract of a store: a place that holds archives, manifests and proofs by key.

Every store is held to this text by one test suite, ``tests/contracts/test_stores.py``.

**Keys** are ``/``-separated names of ``[A-Za-z0-9._-]``; no empty part, no ``.`` or ``..``, never absolute. Anything
else is a ``ConfigurationError`` before the store is touched.

**Put-once.** An object is written once and never changed. ``put`` of an existing key raises ``AlreadyExists`` and
leaves the object as it was; of two concurrent puts exactly one wins. An object is visible whole or not at all: not
while it is being written, not after the writer died, not after ``chunks`` raised (that exception is passed on, and
what was written so far is removed).

**Durable and checked.** When ``put`` returns, the bytes survive a power cut, and the store itself has confirmed their
length and a checksum of what it was sent.

**Resuming.** ``resume`` is a ``put`` of bytes that are the same each time: an archive that lies elsewhere already. What
an interrupted call has left (its process died, or what stood in the way passes on its own) is kept for the next one,
which goes on there and sends again no more than a part of it. What was kept counts for nothing until its bytes were
held against the source's, by digest or one by one. After an error that a person must mend nothing is kept.

**Reading** is by range; a range beyond the end is ``Damaged``, a missing key ``NotFound``. Bytes come as they lie
there: whoever reads checks them.

**Listing** is complete or raises: it never ends early in silence. Order is by key. Names that are no valid keys, and
unfinished writes, are not listed.

**Deleting** a missing key is no error. What the store itself keeps for now (Object Lock, a legal hold) is ``Locked``,
or is hidden and stays: whoever wants an object gone, and not out of sight, asks for its ``lock`` first.

**Time**: ``clock`` tells the store's own, which is also that of ``modified_at``.

**Errors.** What may pass on its own (5xx, throttling, reset, timeout) is ``StoreUnavailable``; the rest is
``AccessDenied``, ``NotFound``, ``NoSpace``, ``ConfigurationError``. Each names the place (``location``) and the remedy.

**Sweeping** removes what writers left that ended without a word, killed or without power: at once where the writer ran
on this machine and is known to be dead; where it can't be looked up, once it began before a given moment. What a writer
known to live is at is never touched, however old; nor is any finished object, but for those that probes of before that
moment left. What ``resume`` left is kept until it is older than the given moment.

**Memory** is bounded and independent of an object's size. **Threads**: every method may be called from several at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Stored:
    """One object in a store."""

    key: str
    length: int
    modified_at: datetime
    """Aware UTC, by the store's clock."""


@dataclass(frozen=True, slots=True)
class ByHand:
    """How a person reads a store without Backproof."""

    needs: str
    """What they have to have, a sentence."""
    commands: str
    """Lines of shell: ``keys`` prints every key of a plan, one a line; ``get KEY FILE`` brings one here."""


class Store(Protocol):
    """A place that holds archives. The module's docstring is the contract."""

    @property
    def name(self) -> str:
        """What the fleet calls it."""

    def location(self, key: str = "") -> str:
        """Where a key lies, as a person would write it: ``s3://bucket/prefix/key`` or a path."""

    def put(self, key: str, chunks: Iterable[bytes], size_hint: int | None = None) -> Stored:
        """Write one object, once. ``size_hint`` (bytes) lets S3 choose its part size; it need not be exact."""

    def resume(self, key: str, chunks: Iterable[bytes], length: int) -> bool:
        """Write one object, once, going on with what an interrupted call has left.

        Args:
            key: where to.
            chunks: all of its bytes, from the first.
            length: of all of them.

        Returns:
            Whether the store has told SHA-256 of what it holds, and it is that of ``chunks``. Else only reading shows.
        """

    def fetch(self, key: str, source: "Store", length: int, sha256: str) -> bool | None:
        """Have the store itself copy an object from another, so that its bytes do not pass through us. Put-once too.

        Returns:
            As ``resume``; None where these two stores can't, and nothing was written.

        Raises:
            AlreadyExists: the key is taken.
            Damaged: what lies in ``source`` has another SHA-256; nothing was written.
        """

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes ``start:start+length`` (to the end where ``length`` is None), in chunks of about 1 MiB."""

    def head(self, key: str) -> Stored | None:
        """What lies under a key, or None."""

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Every object whose key starts with ``prefix``."""

    def delete(self, key: str) -> None:
        """Remove one object."""

    def lock(self, key: str) -> str | None:
        """What keeps an object from being deleted, such as ``locked until 2026-01-31``; None where nothing does."""

    def clock(self) -> datetime:
        """What time it is there; aware UTC, to the second."""

    def probe(self) -> None:
        """Write, read back and delete a small object of our own; raises what stands in the way."""

    def sweep(self, before: datetime) -> Sequence[str]:
        """Remove unfinished writes of dead writers, and of unknown ones that began before a moment; says what."""

    def free_bytes(self) -> int | None:
        """Room left, or None where a store has no such limit."""

    def by_hand(self, plan: str) -> ByHand:
        """How a person reads a plan's objects with stock tools. Touches nothing."""
