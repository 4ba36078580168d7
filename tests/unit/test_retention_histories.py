"""Retention over random histories, clocks and failures: what must never be lost is not, and the rest goes in the end.

A history is a program of random bytes, run by a machine that does to a plan in memory what the world does to a real
one. Beside the stores it keeps books of its own: what it expects of a run it knows from those, and by other rules.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from backproof import catalog, holdings
from backproof.archive import manifest as documents
from backproof.fleet import RetentionSpec
from backproof.naming import ENCRYPTED, MANIFEST, PIN, REMOVAL, Name, ProofPart, key
from backproof.operations import prune as operation
from backproof.operations.pin import pin, unpin
from backproof.operations.prune import Pruned, prune
from backproof.records import Kind, Manifest, Pin, Proof
from tests.support import archives
from tests.support.memory import Fuse, Inline, Killed, MemoryFleet, MemorySigner, MemoryStore

PLAN = "shop"
BEGIN = datetime(2024, 3, 10, 5, tzinfo=UTC)
AGES = (0.01, 0.5, 1, 5, 29.9, 30.1, 31, 45, 200, 364.5, 366.5, 380, 800)
POLICY = RetentionSpec.model_validate({"daily": "30d", "monthly": "1y", "safety": "12h", "manual": "keep"})
PERIODS = {"daily": 30, "monthly": 366, "safety": 0.5, "manual": 10**6}
"""In days, at most: no year is longer."""
SHORTEST = PERIODS | {"monthly": 365}
KINDS: tuple[Kind, ...] = ("daily", "daily", "monthly", "safety", "manual")


@cache
def manifest() -> Manifest:
    return archives.make().manifest


class Machine:
    """One plan over two stores, another plan beside it, and the world."""

    def __init__(self, program: bytes, counted: Counter[str]) -> None:
        self.program = iter(program)
        self.counted = counted
        self.now = BEGIN
        self.lie = timedelta(0)
        self.fuse = Fuse()
        self.fleet: Any = MemoryFleet(
            {name: MemoryStore(name, lambda: self.now, self.fuse) for name in ("near", "far")}, POLICY
        )
        self.strangers = MemorySigner()
        self.known: dict[str, Name] = {}
        self.theirs: set[str] = set()
        """What another fleet has signed."""
        self.log: list[tuple[datetime, set[str], set[str], str]] = []
        """Of each run: when, of what something went, what was to be kept, and why it had to refuse."""
        self.begun: set[str] = set()
        """Whose manifest retention has removed somewhere."""
        self.proofs: dict[str, list[tuple[datetime, str, str, str]]] = {}
        for store in self.stores:
            store.held[f"{PLAN}-two/daily/backup_2001-01-01_020000.manifest.json"] = (b"another plan's", BEGIN)

    @property
    def stores(self) -> list[MemoryStore]:
        return list(self.fleet.stores.values())

    def run(self) -> None:
        try:
            begin = self.byte()
            if begin & 1:
                for age in ((0.5, 5), (31, 45), (5, 45), (366.5, 800))[begin // 2 % 4]:
                    self.made(age, "daily", self.stores, proven=True)
            for _ in range(begin // 8 % 8):
                self.backup()
            while True:
                step = STEPS[self.byte() % len(STEPS)]
                step(self)
        except StopIteration:
            self.prune_in_peace()

    def byte(self) -> int:
        return next(self.program)

    # What the world does

    def backup(self) -> None:
        age, how, moment = self.byte(), self.byte(), self.byte()
        days = AGES[age % len(AGES)] + moment % 7 / 1440
        where = self.stores if how & 128 else [self.stores[how // 64 % 2]]
        self.made(days, KINDS[how % len(KINDS)], where, proven=bool(how & 32), theirs=how % 16 == 15)

    def made(self, days: float, kind: Kind, where: list[MemoryStore], proven: bool, theirs: bool = False) -> None:
        taken_at = self.now - timedelta(days=days)
        name = Name(PLAN, kind, taken_at, MANIFEST)
        if any(known.id == name.id for known in self.known.values()):
            return
        taken_at = name.taken_at
        signer = self.strangers if theirs else self.fleet.signer
        signed = signer.sign(manifest().model_copy(update={"id": name.id, "kind": name.kind, "taken_at": taken_at}))
        for store in where:
            store.held[key(name.with_part(ENCRYPTED))] = (b"x" * manifest().stored_bytes, taken_at)
            store.held[key(name)] = (signed, taken_at)
        self.known[stem(name)] = name
        self.proofs[stem(name)] = []
        if theirs:
            self.theirs.add(stem(name))
        if proven:
            self.prove(name, where[0].name, "passed", not theirs)

    def verify(self) -> None:
        if name := self.some():
            how = self.byte()
            verdict = ("passed", "passed", "failed", "could-not-run")[how % 4]
            self.prove(name, self.stores[how // 4 % 2].name, verdict, bool(how & 64) and stem(name) not in self.theirs)

    def prove(self, name: Name, store: str, verdict: Any, trusted: bool) -> None:
        at = (name.taken_at + timedelta(minutes=1 + len(self.proofs[stem(name)]))).replace(microsecond=0)
        proof = Proof(
            plan=PLAN,
            backup=name.id,
            store=store,
            verdict=verdict,
            reason="",
            started_at=at,
            finished_at=at,
            stored_sha256="",
            backproof_version="",
            proven_on=None,
            server_version=None,
        )
        signed = (self.fleet.signer if trusted else self.strangers).sign(proof)
        for each in self.stores:
            if key(name) in each.held:
                each.held[key(name.with_part(ProofPart(at, verdict)))] = (signed, at)
        if trusted:
            self.proofs[stem(name)].append((at, store, verdict, key(name.with_part(ProofPart(at, verdict)))))

    def wait(self) -> None:
        self.now += timedelta(hours=(1, 7, 24, 72, 24 * 31, 24 * 370)[self.byte() % 6])

    def pin(self) -> None:
        if name := self.some():
            store = self.stores[self.byte() % 2]
            document = Pin(plan=PLAN, backup=name.id, kind=name.kind, why="x", pinned_at=self.now)
            store.held[f"{stem(name)}.{PIN}"] = (self.fleet.signer.sign(document), self.now)

    def pin_well(self) -> None:
        if (name := self.some()) and not any(store.down for store in self.stores):
            pin(self.fleet, PLAN, name.id, "x", lambda: self.now)

    def unpin(self) -> None:
        name = self.some()
        if name and self.pinned(name) and not any(store.down for store in self.stores):
            unpin(self.fleet, PLAN, name.id)

    def lock(self) -> None:
        if name := self.some():
            store = self.stores[self.byte() % 2]
            store.locked ^= {each for each in store.held if each.startswith(stem(name))}

    def outage(self) -> None:
        self.stores[self.byte() % 2].down ^= True

    def skew(self) -> None:
        self.stores[self.byte() % 2].skew = timedelta(minutes=(0, 0, 50, 70, -70, 6000)[self.byte() % 6])

    def lie_of_the_clock(self) -> None:
        self.lie = timedelta(minutes=(0, 0, 50, -50, 90, -90, 600000, -600000)[self.byte() % 8])

    def lose(self) -> None:
        if name := self.some():
            how = self.byte()
            part = (ENCRYPTED, MANIFEST)[how % 2]
            self.stores[how // 2 % 2].held.pop(key(name.with_part(part)), None)

    # What retention does

    def prune(self) -> None:
        how = self.byte()
        if how & 1:
            self.fuse.left = how // 2 % 8
        self.judged(dry_run=how % 16 == 14)

    def prune_in_peace(self) -> None:
        """At the end of all trouble it converges: what is due is gone, unless something holds it."""
        self.lie = timedelta(0)
        for store in self.stores:
            store.down, store.skew, store.locked = False, timedelta(0), set()
        self.now = max([self.now, *(name.taken_at for name in self.there())])
        pruned = self.judged()
        assert pruned is not None
        books = Books(self)
        assert pruned.problems == () or len(books.counted) < 2
        if not pruned.refused:
            for name in books.there:
                assert name in books.spared or not books.due(name), f"{name.id} should be gone"
            waiting = {f"{PLAN}/{each.kind}/{each.backup}" for each in pruned.waiting}
            free = self.begun - {stem(name) for name in (*books.there, *filter(self.pinned, self.known.values()))}
            assert not self.archived(free - waiting), "half removed for ever"
            left = {each for store in self.stores for each in store.held if each.endswith(REMOVAL)}
            assert left <= {f"{each}.{REMOVAL}" for each in waiting}, "a mark stays for ever"
            if free & waiting:  # what lost its manifest otherwise than by retention is listed before it goes
                for _ in range(2):
                    self.now += timedelta(days=3)
                    later = self.judged()
                    assert later is not None
                assert later.refused or not self.archived(free), "half removed for ever"

    def archived(self, backups: set[str]) -> list[str]:
        """Those whose archive lies anywhere."""
        return [each for each in backups if any(f"{each}.{ENCRYPTED}" in store.held for store in self.stores)]

    def judged(self, dry_run: bool = False) -> Pruned | None:
        books, before, refuses = Books(self), self.snapshot(), self.must_refuse()
        pruned = None
        try:
            pruned = prune(self.fleet, PLAN, dry_run, lambda: self.now + self.lie)
        except Killed:
            self.counted["killed"] += 1
        self.fuse.left = None
        after = self.snapshot()
        lost = {store: held - after[store] for store, held in before.items()}
        gone = {each.partition(".")[0] for held in lost.values() for each in held if not each.endswith(REMOVAL)}
        self.begun |= {each.partition(".")[0] for held in lost.values() for each in held if each.endswith(MANIFEST)}
        protected = books.protected()
        self.log.append((self.now, gone, protected, refuses))
        assert not any(each.startswith(f"{PLAN}-two/") for each in gone), "another plan's"
        assert not gone & protected
        if refuses or dry_run:
            assert before == after, f"{refuses}: nothing may change"
            assert dry_run or (pruned is not None and pruned.refused)
        if few := len(books.counted) < self.fleet.minimum_proven:
            assert not gone & {stem(name) for name in books.there}
        for store in self.stores:
            for each in lost[store.name]:
                assert each not in store.locked or each.endswith(REMOVAL)
                if each.endswith(ENCRYPTED):
                    assert each.replace(ENCRYPTED, MANIFEST) not in store.held, "an archive went before its manifest"
        self.count(pruned, {"deleted": bool(gone), "refused": bool(refuses), "few": few and not refuses, "runs": True})
        return pruned

    def count(self, pruned: Pruned | None, met: dict[str, bool]) -> None:
        if pruned is not None:
            met["held by a lock"] = any(each.kept for each in pruned.removed)
            met["leftovers"] = bool(pruned.leftovers)
            met["spared"] = any("proven" in each.why for each in pruned.kept)
            met["newest"] = any(each.why == "the newest backup" for each in pruned.kept)
            met["pinned"] = any(each.why.startswith("pinned") for each in pruned.kept)
        self.counted.update(met)

    def must_refuse(self) -> str:
        if any(store.down for store in self.stores):
            return "a store is down"
        if any(abs(store.skew - self.lie) > timedelta(hours=1) for store in self.stores):
            return "a clock is wrong"
        there = self.there()
        return "the past" if there and there[-1].taken_at > self.now + self.lie else ""

    def some(self) -> Name | None:
        there = self.there()
        return there[self.byte() % len(there)] if there else None

    def there(self) -> list[Name]:
        """What is a backup, oldest first."""
        found = {
            each.partition(".")[0]
            for store in self.stores
            for each in store.held
            if each.endswith(MANIFEST) and not each.startswith(f"{PLAN}-two/")
        }
        return sorted((self.known[each] for each in found), key=lambda name: name.taken_at)

    def pinned(self, name: Name) -> bool:
        return any(f"{stem(name)}.{PIN}" in store.held for store in self.stores)

    def snapshot(self) -> dict[str, frozenset[str]]:
        return {store.name: frozenset(store.held) for store in self.stores}


class Books:
    """What is expected of the next run, by other rules than its own."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.there = machine.there()
        self.now = machine.now + machine.lie
        self.proven = [name for name in self.there if self._is_proven(name)]
        self.counted = [name for name in self.proven if name.kind != "safety"]
        """What a recovery was to undo keeps no promise."""
        last = slice(-machine.fleet.minimum_proven, None)
        self.spared = {*self.proven[last], *self.counted[last], *self.there[-1:]}
        self.spared |= {name for name in self.there if stem(name) in machine.theirs}

    def due(self, name: Name) -> bool:
        return not self.machine.pinned(name) and self.now - name.taken_at > timedelta(days=PERIODS[name.kind])

    def protected(self) -> set[str]:
        """Whatever happens, nothing of these goes."""
        return {
            stem(name)
            for name in self.there
            if name in self.spared
            or self.machine.pinned(name)
            or self.now - name.taken_at < timedelta(days=SHORTEST[name.kind])
        }

    def _is_proven(self, name: Name) -> bool:
        stores = self.machine.stores
        latest = {
            store: verdict
            for _, store, verdict, lies in self.machine.proofs[stem(name)]
            if verdict != "could-not-run" and any(lies in each.held for each in stores)
        }
        if "passed" not in latest.values() or stem(name) in self.machine.theirs:
            return False
        whole = {f"{stem(name)}.{part}" for part in (MANIFEST, ENCRYPTED)}
        return any(whole <= store.held.keys() and latest.get(store.name) != "failed" for store in stores)


STEPS = (
    Machine.backup,
    Machine.backup,
    Machine.verify,
    Machine.wait,
    Machine.pin,
    Machine.pin_well,
    Machine.unpin,
    Machine.lock,
    Machine.outage,
    Machine.skew,
    Machine.lie_of_the_clock,
    Machine.lose,
    Machine.prune,
    Machine.prune,
    Machine.prune,
    Machine.prune,
)


@lru_cache(10_000)
def stem(name: Name) -> str:
    return key(name).partition(".")[0]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_history_loses_what_must_be_kept_and_each_converges(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (catalog, holdings, operation):
        monkeypatch.setattr(module, "ThreadPoolExecutor", Inline)
    monkeypatch.setattr(documents, "check", lambda manifest: None)  # there is but one, and it is right
    counted: Counter[str] = Counter()

    @settings(max_examples=10_000, suppress_health_check=list(HealthCheck), database=None)
    @given(st.binary(min_size=8, max_size=32))
    def history(program: bytes) -> None:
        machine = Machine(program, counted)
        try:
            machine.run()
        except AssertionError:
            note("\n".join(map(str, machine.log)))
            raise

    history()
    seldom = {what: count for what, count in counted.items() if count < 100}
    assert counted.keys() >= {"killed", "deleted", "refused", "few", "held by a lock", "leftovers", "spared", "pinned"}
    assert not seldom, f"so many runs of {counted['runs']} met it: {seldom}"
