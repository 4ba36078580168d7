"""Stores, a signer and a fleet in memory, for tests of very many histories: they obey their contracts, and are fast.

A store can be down, tell another time, lock what it holds, and let whoever uses it die at its Nth change.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel

from backproof.errors import AlreadyExists, BadSignature, NotFound, StoreUnavailable
from backproof.fleet import RetentionSpec
from backproof.stores import Stored


class Killed(BaseException):
    """kill -9, as far as memory goes: nothing after it is done."""


@dataclass
class Fuse:
    """Lets somebody die at a change of the world, whichever store it is in."""

    left: int | None = None

    def burn(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


@dataclass
class MemoryStore:
    """The contract of ``backproof.stores``, kept by a dict."""

    name: str
    now: Callable[[], datetime]
    fuse: Fuse
    skew: timedelta = timedelta(0)
    down: bool = False
    locked: set[str] = field(default_factory=set)
    held: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)

    def location(self, key: str = "") -> str:
        return f"memory://{self.name}/{key}"

    def put(self, key: str, chunks: Iterable[bytes], size_hint: int | None = None) -> Stored:
        self._asked()
        if key in self.held:
            raise AlreadyExists(self.location(key))
        self.fuse.burn()
        self.held[key] = (b"".join(chunks), self.now())
        return self._stored(key)

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        self._asked()
        if key not in self.held:
            raise NotFound(self.location(key))
        yield self.held[key][0]

    def head(self, key: str) -> Stored | None:
        self._asked()
        return self._stored(key) if key in self.held else None

    def list(self, prefix: str = "") -> Iterator[Stored]:
        self._asked()
        return iter([self._stored(key) for key in sorted(self.held) if key.startswith(prefix)])

    def delete(self, key: str) -> None:
        self._asked()
        if key in self.held:
            self.fuse.burn()
            del self.held[key]

    def lock(self, key: str) -> str | None:
        self._asked()
        return "locked" if key in self.locked else None

    def clock(self) -> datetime:
        self._asked()
        return self.now() + self.skew

    def _asked(self) -> None:
        if self.down:
            raise StoreUnavailable(f"{self.name} is down")

    def _stored(self, key: str) -> Stored:
        content, at = self.held[key]
        return Stored(key, len(content), at)


class MemorySigner:
    """What it signs it remembers; all else is forged."""

    def __init__(self) -> None:
        self._signed: dict[bytes, BaseModel] = {}

    def sign(self, record: BaseModel) -> bytes:
        document = b"%s %d" % (type(record).__name__.encode(), len(self._signed))
        self._signed[document] = record
        return document

    def verify(self, document: bytes, record_type: type[Any]) -> Any:
        found = self._signed.get(document)
        if not isinstance(found, record_type):
            raise BadSignature("forged")
        return found


@dataclass
class MemoryFleet:
    """As much of a fleet as retention asks for: one plan, its stores, a signer."""

    stores: dict[str, MemoryStore]
    retention: RetentionSpec
    minimum_proven: int = 2
    signer: MemorySigner = field(default_factory=MemorySigner)

    def plan(self, name: str) -> Any:
        return SimpleNamespace(stores=tuple(self.stores), retention=self.retention, minimum_proven=self.minimum_proven)

    def store(self, name: str) -> MemoryStore:
        return self.stores[name]


class Inline:
    """An executor without threads: in the order in which it is asked."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> "Inline":
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return map(function, items)
