"""The journal of a recovery: signed entries, each written once, on this machine and in the plan's first store.

Whoever reads it knows what was done and what was begun, whatever died meanwhile. An entry that says ``begun`` is
written before anything of its step happens, and holds what it takes to find out how far the step came; ``done`` is
written after all of it has.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from threading import Lock
from typing import Literal

from pydantic import Field, JsonValue

from backproof.archive.signing import Signer
from backproof.errors import AlreadyExists, BackproofError, Busy, Damaged, NotFound
from backproof.operations.clock import Now
from backproof.records import Record
from backproof.recovery.naming import EntryName, What, entry_key, parse_entry, prefix
from backproof.stores import Store

WHOLE = "recovery"
"""The step of entries that are about the recovery as a whole."""

ROLLBACK = "rollback"
"""The step whose ``begun`` says that a recovery is being taken back, and why."""

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


class Journal:
    """One recovery's entries, in their order.

    Args:
        places: where entries go: this machine's folder, then the plan's stores.
        signer: who signs them, and whose entries count.
        entries: those there are.
        now: the wall clock.
    """

    def __init__(self, places: Sequence[Store], signer: Signer, entries: Sequence[JournalEntry], now: Now) -> None:
        self._places = places
        self._signer = signer
        self._entries = list(entries)
        self._now = now
        self._lock = Lock()
        self.doubts: list[str] = []
        """Places that did not take an entry, a sentence each."""

    @property
    def entries(self) -> tuple[JournalEntry, ...]:
        """Oldest first."""
        return tuple(self._entries)

    @property
    def plan(self) -> str:
        """Whose recovery it is."""
        return self._entries[0].plan

    @property
    def recovery(self) -> str:
        """Its id."""
        return self._entries[0].recovery

    @property
    def closed(self) -> JournalEntry | None:
        """How it ended; None: it has not, or is being taken back since."""
        turns = (each for each in reversed(self._entries) if each.what == "closed" or _begins(each))
        last = next(turns, None)
        return last if last is not None and last.what == "closed" else None

    @property
    def rolling_back(self) -> bool:
        """Whether it is being taken back, and has not ended since."""
        return self.closed is None and any(map(_begins, self._entries))

    def last(self, step: str, what: What) -> JournalEntry | None:
        """The newest entry of a step that says so."""
        return next((each for each in reversed(self._entries) if (each.step, each.what) == (step, what)), None)

    def facts(self, step: str, what: What = "done") -> Facts:
        """What that entry says; nothing where there is none."""
        entry = self.last(step, what)
        return entry.facts if entry else {}

    def write(self, step: str, what: What, facts: Facts | None = None) -> JournalEntry:
        """Add one entry; from any thread. When this returns, it survives whatever happens to us.

        Raises:
            Busy: somebody else has written one meanwhile.
            BackproofError: no place took it.
        """
        with self._lock:
            first = self._entries[0]
            entry = JournalEntry(
                plan=first.plan,
                recovery=first.recovery,
                number=len(self._entries),
                step=step,
                what=what,
                at=self._now(),
                facts=facts or {},
            )
            self.doubts += put(self._places, self._signer, entry)
            self._entries.append(entry)
        return entry

    def spread(self) -> None:
        """Bring what this machine alone has to the first store that takes it: stores may have been away."""
        others, elsewhere = self._places[1:], set[EntryName]()
        for place in others:
            with suppress(BackproofError):
                elsewhere |= set(_listed(place, self.plan))
        for entry in self._entries:
            for place in others if entry.name not in elsewhere else ():
                try:
                    place.put(entry_key(entry.name), [self._signer.sign(entry)])
                except AlreadyExists:
                    break
                except BackproofError:
                    continue
                break


def _begins(entry: JournalEntry) -> bool:
    return (entry.step, entry.what) == (ROLLBACK, "begun")


def put(places: Sequence[Store], signer: Signer, entry: JournalEntry) -> list[str]:
    """Write one entry on this machine (the first of the places), and into the first other one that takes it.

    Returns:
        A sentence for each place that should have taken it and did not.
    """
    document, written = signer.sign(entry), 0
    refused: list[tuple[str, BackproofError]] = []
    for place in places:
        try:
            place.put(entry_key(entry.name), [document])
        except AlreadyExists:
            raise Busy(
                f"another process is at {entry.recovery}", "Wait for it to end, or end it, and then resume."
            ) from None
        except BackproofError as error:
            refused.append((place.name, error))
        else:
            written += 1
            if place is not places[0]:
                break
    if not written:
        raise refused[0][1]
    return [f"the journal could not be written to {name}: {error.fact}" for name, error in refused]


def opened(places: Sequence[Store], signer: Signer, first: JournalEntry, now: Now) -> Journal:
    """A new journal, with its first entry written."""
    doubts = put(places, signer, first)
    journal = Journal(places, signer, [first], now)
    journal.doubts += doubts
    return journal


def journals(places: Sequence[Store], signer: Signer, plan: str, now: Now) -> tuple[list[Journal], list[str]]:
    """Every recovery of a plan, newest first, and a sentence for each place that could not be asked.

    An entry counts when its signature holds and it lies where it belongs.

    Raises:
        BackproofError: no place could be asked.
    """
    found: dict[str, dict[int, JournalEntry]] = {}
    refused: list[tuple[str, BackproofError]] = []
    for place in places:
        try:
            for name in _listed(place, plan):
                entries = found.setdefault(name.recovery, {})
                if name.number not in entries and (entry := _read(place, signer, name)):
                    entries[name.number] = entry
        except BackproofError as error:
            refused.append((place.name, error))
    if len(refused) == len(places):
        raise refused[0][1]
    whole = [
        Journal(places, signer, [entries[number] for number in sorted(entries)], now)
        for _, entries in sorted(found.items(), reverse=True)
        if 0 in entries
    ]
    return whole, [f"{name} could not be asked for recoveries: {error.fact}" for name, error in refused]


def find(places: Sequence[Store], signer: Signer, plan: str, recovery: str, now: Now) -> Journal:
    """One recovery of a plan.

    Raises:
        NotFound: no place has it.
        Damaged: entries of it are missing, so that nobody can say what was done.
    """
    known, doubts = journals(places, signer, plan, now)
    journal = next((each for each in known if each.recovery == recovery), None)
    if journal is None:
        told = f" ({'; '.join(doubts)})" if doubts else ""
        names = ", ".join(each.recovery for each in known[:5]) or "none"
        raise NotFound(f"plan {plan} has no recovery {recovery}{told}", f"There are: {names}.")
    if [entry.number for entry in journal.entries] != list(range(len(journal.entries))):
        raise Damaged(
            f"the journal of {recovery} has gaps{' (' + '; '.join(doubts) + ')' if doubts else ''}",
            "Resume it where it was begun, or when all stores of the plan can be reached.",
        )
    return journal


def _listed(place: Store, plan: str) -> list[EntryName]:
    small = (stored.key for stored in place.list(prefix(plan)) if stored.length <= _DOCUMENT_BYTES)
    return [name for name in map(parse_entry, small) if name is not None]


def _read(place: Store, signer: Signer, name: EntryName) -> JournalEntry | None:
    """An entry, or None where nobody we trust has written it, or it lies in a place that is not its own."""
    try:
        entry = signer.verify(b"".join(place.read(entry_key(name))), JournalEntry)
    except Damaged:
        return None
    return entry if entry.name == name else None
