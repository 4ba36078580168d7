"""What a fleet has on a Prefect server, as it should be and as it is; and the difference. Pure.

Each sort of thing (blocks, the work pool, deployments, automations) is a ``Sort``: a module that says what there should
be, reads what there is in a few requests, and makes, changes or removes one thing. ``apply`` does the rest for all.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from prefect.client.orchestration import SyncPrefectClient

from backproof.fleet import FleetSpec

_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing as it should be, or as it is; whatever is compared is in its fields."""

    sort: str
    name: str
    fields: Mapping[str, Any]
    """Plain JSON. Two things are alike when these are."""
    secret: frozenset[str] = frozenset()
    """Fields that are compared, and never shown."""
    plan: str | None = None
    """The plan it exists for, if it exists for one."""
    id: Any = None
    """On the server; None where it is only wanted."""
    by_hand: bool = False
    """Whether somebody has edited it since it was last applied."""
    note: Mapping[str, Any] = field(default_factory=dict)
    """What the server knows of it besides, and keeps: whether a schedule is paused."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that is not as it should be, in words."""

    field: str
    was: str
    becomes: str


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to be done."""

    action: Literal["create", "change", "remove"]
    wanted: Thing | None
    found: Thing | None
    differences: tuple[Difference, ...] = ()

    @property
    def thing(self) -> Thing:
        """What it is about."""
        thing = self.wanted or self.found
        if thing is None:
            raise ValueError("a change of nothing")
        return thing

    @property
    def by_hand(self) -> bool:
        """Whether this undoes what somebody has edited."""
        return self.action == "change" and self.found is not None and self.found.by_hand


class Sort(ABC):
    """One sort of things that a fleet has on a Prefect server."""

    name: str
    """``block``, ``deployment`` …"""
    removed_at_once: bool = False
    """Whether one that is no longer wanted goes with the next ``apply``, asked or not: it would do harm."""

    @abstractmethod
    def desired(self, spec: FleetSpec) -> Sequence[Thing]:
        """What there should be. Pure: no server, no clock."""

    @abstractmethod
    def actual(self, client: SyncPrefectClient, spec: FleetSpec) -> Sequence[Thing]:
        """What there is and bears the fleet's name, read in pages.

        Raises:
            ConfigurationError: something that is wanted is there, and somebody else's.
        """

    @abstractmethod
    def create(self, client: SyncPrefectClient, wanted: Thing) -> None:
        """Make a thing that is not there."""

    @abstractmethod
    def change(self, client: SyncPrefectClient, wanted: Thing, found: Thing) -> None:
        """Make a thing as it should be; its id, its history and what was paused by hand stay."""

    @abstractmethod
    def remove(self, client: SyncPrefectClient, found: Thing) -> None:
        """Take a thing away."""

    def before(self, client: SyncPrefectClient, spec: FleetSpec, changes: Sequence[Change]) -> None:
        """Called once before the changes of this sort, if there are any."""
        return

    def after(self, client: SyncPrefectClient, spec: FleetSpec, changes: Sequence[Change]) -> None:
        """Called once after them."""
        return


def compare(desired: Sequence[Thing], actual: Sequence[Thing]) -> tuple[list[Change], list[Change], int]:
    """What to create and change, what is there and no longer wanted, and how many things are right."""
    there = {(thing.sort, thing.name): thing for thing in actual}
    wanted = {(thing.sort, thing.name) for thing in desired}
    changes = []
    for thing in desired:
        found = there.get((thing.sort, thing.name))
        if found is None:
            changes.append(Change("create", thing, None))
        elif found.fields != thing.fields:
            changes.append(Change("change", thing, found, tuple(_differences(thing, found))))
    gone = [Change("remove", None, thing) for key, thing in there.items() if key not in wanted]
    return changes, gone, len(desired) - len(changes)


def stamp(fields: Mapping[str, Any]) -> str:
    """A short digest of a thing's fields."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def _differences(wanted: Thing, found: Thing) -> Iterator[Difference]:
    for name in sorted(wanted.fields.keys() | found.fields.keys()):
        was, becomes = found.fields.get(name), wanted.fields.get(name)
        if was != becomes:
            if name in wanted.secret | found.secret:
                yield Difference(name, "(not shown)", "(not shown)")
            else:
                yield from _within(name, was, becomes)


def _within(place: str, was: Any, becomes: Any) -> Iterator[Difference]:
    if isinstance(was, Mapping) and isinstance(becomes, Mapping):
        for name in sorted(was.keys() | becomes.keys()):
            if was.get(name) != becomes.get(name):
                yield from _within(f"{place}.{name}", was.get(name), becomes.get(name))
    else:
        yield Difference(place, _shown(was), _shown(becomes))


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
