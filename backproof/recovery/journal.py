"""The journal of a recovery: signed entries, each written once, on this machine and in the plan's first store.

Whoever reads it knows what was done and what was begun, whatever died meanwhile. An entry that says ``begun`` is
written before anything of its step happens, and holds what it takes to find out how far the step came; ``done`` is
written after all of it has.
"""

from collections.abc import Sequence
from contextlib import suppress
from threading import Lock

from backproof.archive.signing import Signer
from backproof.errors import AlreadyExists, BackproofError, Busy, NotFound
from backproof.operations.clock import Now
from backproof.recovery.entries import Facts, JournalEntry, gathered, listed, require_whole
from backproof.recovery.naming import EntryName, What, entry_key, prefix
from backproof.stores import Store

WHOLE = "recovery"
"""The step of entries that are about the recovery as a whole."""

ROLLBACK = "rollback"
"""The step whose ``begun`` says that a recovery is being taken back, and why."""

Refusal = tuple[str, BackproofError]
"""A place that did not take an entry, and why."""


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
        self._refused: dict[str, list[BackproofError]] = {}

    @property
    def doubts(self) -> list[str]:
        """Places that did not take entries, a sentence each."""
        return [
            f"the journal could not be written to {name} ({len(errors)} of its entries), last: {errors[-1].fact}"
            for name, errors in self._refused.items()
        ]

    def doubt(self, refused: Sequence[Refusal]) -> None:
        """Keep which places did not take an entry."""
        for name, error in refused:
            self._refused.setdefault(name, []).append(error)

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

    @property
    def stopped(self) -> bool:
        """Whether the application was told to stop, and not to go on since."""
        ends = ("maintenance-on", "maintenance-off")
        last = next((each for each in reversed(self._entries) if each.step.endswith(ends)), None)
        return last is not None and (last.step.endswith("-on") or last.what != "done")

    def refresh(self) -> None:
        """Take up what others have written since it was read: somebody may have thought about a question for long.

        For whoever holds the recovery's lock, and so is the only one who writes.

        Raises:
            Damaged: as ``find``.
        """
        found = gathered(self._places, self._signer, f"{prefix(self.plan)}{self.recovery}.", self._entries)
        require_whole(self.recovery, found)
        self._entries = found.of(self.recovery)

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
                number=self._entries[-1].number + 1,
                step=step,
                what=what,
                at=self._now(),
                facts=facts or {},
            )
            self.doubt(put(self._places, self._signer, entry))
            self._entries.append(entry)
        return entry

    def spread(self) -> None:
        """Bring what this machine alone has to the first store that takes it: stores may have been away."""
        others, elsewhere = self._places[1:], set[EntryName]()
        for place in others:
            with suppress(BackproofError):
                elsewhere |= set(listed(place, prefix(self.plan)))
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


def put(places: Sequence[Store], signer: Signer, entry: JournalEntry) -> list[Refusal]:
    """Write one entry on this machine (the first of the places), and into the first other one that takes it.

    Returns:
        Each place that should have taken it and did not, and why.
    """
    document, written = signer.sign(entry), 0
    refused: list[Refusal] = []
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
    return refused


def opened(places: Sequence[Store], signer: Signer, first: JournalEntry, now: Now) -> Journal:
    """A new journal, with its first entry written."""
    refused = put(places, signer, first)
    journal = Journal(places, signer, [first], now)
    journal.doubt(refused)
    return journal


def journals(places: Sequence[Store], signer: Signer, plan: str, now: Now) -> tuple[list[Journal], list[str]]:
    """Every recovery of a plan, newest first, and a sentence for each place that could not be asked.

    An entry counts when its signature holds and it lies where it belongs.

    Raises:
        BackproofError: no place could be asked.
    """
    found = gathered(places, signer, prefix(plan))
    whole = [
        Journal(places, signer, entries, now)
        for recovery in sorted({name.recovery for name in found.entries}, reverse=True)
        if (entries := found.of(recovery))[0].number == 0
    ]
    return whole, found.doubts()


def find(places: Sequence[Store], signer: Signer, plan: str, recovery: str, now: Now) -> Journal:
    """One recovery of a plan.

    Raises:
        NotFound: no place has it.
        Damaged: entries of it are missing or can't be trusted, so that nobody can say what was done.
    """
    found = gathered(places, signer, prefix(plan))
    doubts = found.doubts()
    entries = found.of(recovery)
    if not entries or entries[0].number != 0:
        told = f" ({'; '.join(doubts)})" if doubts else ""
        known = sorted({name.recovery for name in found.entries}, reverse=True)[:5]
        raise NotFound(f"plan {plan} has no recovery {recovery}{told}", f"There are: {', '.join(known) or 'none'}.")
    require_whole(recovery, found)
    return Journal(places, signer, entries, now)
