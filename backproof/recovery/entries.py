"""The entries of journals: what one is, and which of those that lie in some places count.

An entry counts when its signature holds and it lies where it belongs. One that does not, where another of its number is
missing, leaves open what was done: then nobody goes on.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import Field, JsonValue

from backproof.archive.signing import Signer
from backproof.errors import BackproofError, Damaged
from backproof.records import Record
from backproof.recovery.naming import EntryName, What, entry_key, parse_entry
from backproof.stores import Store

_DOCUMENT_BYTES = 64 * 1024 * 1024

Facts = dict[str, JsonValue]


class JournalEntry(Record):
    """One thing that happened in a recovery."""

    format: Literal[1] = 1
    plan: str
    recovery: str
    number: int
    """From 0, without gaps."""
    step: str
    what: What
    at: datetime
    facts: Facts = Field(default_factory=dict)

    @property
    def name(self) -> EntryName:
        """Where it lies."""
        return EntryName(self.plan, self.recovery, self.number, self.step, self.what)


@dataclass
class Gathered:
    """What lies in the places."""

    entries: dict[EntryName, JournalEntry] = field(default_factory=dict)
    strange: dict[EntryName, str] = field(default_factory=dict)
    """No place has it as somebody signed it whom we trust; where one lies."""
    refused: list[tuple[str, BackproofError]] = field(default_factory=list)

    def of(self, recovery: str) -> list[JournalEntry]:
        """In their order. Two have one number where two processes wrote and neither saw the other's place."""
        entries = (each for name, each in self.entries.items() if name.recovery == recovery)
        return sorted(entries, key=lambda each: (each.number, each.at))

    def doubts(self) -> list[str]:
        """What keeps this from being all there is, a sentence each."""
        unknown = Counter((name.recovery, place) for name, place in self.strange.items())
        return [
            *(f"{name} could not be asked for recoveries: {error.fact}" for name, error in self.refused),
            *(
                f"{number} entries of {recovery} in {place} are damaged, or signed by a key that is not trusted"
                for (recovery, place), number in unknown.items()
            ),
        ]


def gathered(places: Sequence[Store], signer: Signer, below: str, known: Sequence[JournalEntry] = ()) -> Gathered:
    """Every entry whose key begins so; those that are known are not read again.

    Raises:
        BackproofError: no place could be asked.
    """
    found = Gathered({entry.name: entry for entry in known})
    for place in places:
        try:
            for name in listed(place, below):
                if name in found.entries:
                    continue
                if entry := _read(place, signer, name):
                    found.entries[name] = entry
                    found.strange.pop(name, None)
                else:
                    found.strange.setdefault(name, place.name)
        except BackproofError as error:
            found.refused.append((place.name, error))
    if len(found.refused) == len(places):
        raise found.refused[0][1]
    return found


def require_whole(recovery: str, found: Gathered) -> None:
    """Of a recovery's entries none is missing, and none that could be one of them is damaged.

    Raises:
        Damaged: nobody can say what was done.
    """
    numbers = {entry.number for entry in found.of(recovery)}
    following = max(numbers) + 1
    strange = [name for name in found.strange if name.recovery == recovery and name.number not in numbers]
    if strange and (name := min(strange, key=lambda each: each.number)).number <= following:
        raise Damaged(
            f"{entry_key(name)} in {found.strange[name]} is damaged, or signed by a key that is not trusted: nobody can"
            f" say what was done in {recovery}",
            "Put back the copy of it that another store or machine has; or let the fleet trust that key"
            " (signing.also_trust). If it is nobody's, remove it.",
        )
    if numbers != set(range(following)):
        doubts = found.doubts()
        raise Damaged(
            f"the journal of {recovery} has gaps{' (' + '; '.join(doubts) + ')' if doubts else ''}",
            "Resume it where it was begun, or when all stores of the plan can be reached.",
        )


def listed(place: Store, below: str) -> list[EntryName]:
    """The names of a place's entries whose key begins so, of those that are small enough to be some."""
    small = (stored.key for stored in place.list(below) if stored.length <= _DOCUMENT_BYTES)
    return [name for name in map(parse_entry, small) if name is not None]


def _read(place: Store, signer: Signer, name: EntryName) -> JournalEntry | None:
    """An entry, or None where nobody we trust has written it, or it lies in a place that is not its own."""
    try:
        entry = signer.verify(b"".join(place.read(entry_key(name))), JournalEntry)
    except Damaged:
        return None
    return entry if entry.name == name else None
