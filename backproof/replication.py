"""Replication, thought through: what each store of a plan lacks, and where that is to come from. Pure.

A copy counts as good for reading when its archive is as long as the signed manifest says and its newest proof did not
fail; its bytes are held against the manifest's SHA-256 while they are read. Nothing is ever overwritten: what lies
somewhere and is not what it should be stays, is named, and a person decides.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from backproof.naming import MANIFEST, Name, key
from backproof.records import Backup, Copy, Kind, Record, Verdict

_LOOK = "Look at it, then move it out of the store; the next replication brings a good one."


class Said(Record):
    """What the manifest that lies in one store says, or why it does not count."""

    stored_bytes: int = 0
    stored_sha256: str = ""
    wrong: str = ""
    """Why it does not count; empty where it does."""


class ProofPlace(Record):
    """A proof, and the stores that hold one of that name."""

    finished_at: datetime
    verdict: Verdict
    stores: tuple[str, ...]


class Step(Record):
    """What one store lacks of one backup."""

    backup: str
    kind: Kind
    target: str
    archive: Literal["copy", "check", "keep"]
    """``check``: one lies there without its manifest, and is it only if its bytes are."""
    manifest: bool
    """It is to be written there."""
    proofs: tuple[ProofPlace, ...]
    """To be written there."""
    pinned_in: tuple[str, ...]
    """Stores that hold its pin, which is to be written there; none where it is not pinned, or there already."""
    described_by: tuple[str, ...]
    """Stores whose manifest counts."""
    sources: tuple[str, ...]
    """Stores to read the archive from, the best first."""
    stored_bytes: int
    stored_sha256: str


class Alarm(Record):
    """What a person must look at."""

    what: Literal["differ", "damaged", "no good copy"]
    backup: str
    stores: tuple[str, ...]
    fact: str
    remedy: str


class Row(Record):
    """One backup and what each store of the plan has of it."""

    backup: str
    kind: Kind
    taken_at: datetime
    stored_bytes: int | None
    cells: dict[str, Literal["whole", "missing", "incomplete", "damaged", "unknown"]]
    """``unknown``: the store could not be asked."""


class Outlook(Record):
    """What is to be done for one plan."""

    plan: str
    stores: tuple[str, ...]
    unreachable: dict[str, str] = Field(default_factory=dict)
    """Store to why it could not be asked."""
    steps: tuple[Step, ...]
    """The newest backup first."""
    alarms: tuple[Alarm, ...]
    rows: tuple[Row, ...]
    """Every backup that is kept, newest first."""
    left_to_retention: tuple[str, ...] = ()
    """Backups that are about to be deleted, and are copied nowhere."""


def outlook(
    plan: str,
    stores: Sequence[str],
    backups: Sequence[Backup],
    said: Mapping[tuple[str, Kind], Mapping[str, Said]],
    unreachable: Mapping[str, str],
    leaving: frozenset[tuple[str, Kind]] = frozenset(),
) -> Outlook:
    """What each store lacks of what is kept.

    Args:
        plan: its name.
        stores: the plan's, in its order.
        backups: all of the plan, in any order.
        said: by backup and store, what the manifest there says.
        unreachable: stores that could not be asked, and why; nothing is brought there or taken from there.
        leaving: backups that retention is about to delete.
    """
    newest_first = sorted(backups, key=lambda backup: (backup.taken_at, backup.kind), reverse=True)
    kept = [backup for backup in newest_first if (backup.id, backup.kind) not in leaving]
    asked = [store for store in stores if store not in unreachable]
    views = [_View(backup, asked, said.get((backup.id, backup.kind), {})) for backup in kept]
    return Outlook(
        plan=plan,
        stores=tuple(stores),
        unreachable=dict(unreachable),
        steps=tuple(step for view in views for step in view.steps()),
        alarms=tuple(alarm for view in views for alarm in view.alarms()),
        rows=tuple(view.row(stores) for view in views),
        left_to_retention=tuple(backup.id for backup in newest_first if (backup.id, backup.kind) in leaving),
    )


def mended(plan: str, backup: str, store: str) -> str:
    """What to do about a damaged copy."""
    return (
        "Find out what damaged it. Move its archive and manifest out of the store: the next replication brings a good "
        f"copy, and `backproof verify {plan} --backup {backup} --from {store}` proves it."
    )


class _View:
    """One backup over the stores that could be asked."""

    def __init__(self, backup: Backup, stores: Sequence[str], said: Mapping[str, Said]) -> None:
        self._backup = backup
        self._stores = stores
        self._said = said
        nothing = {store: Copy(store=store, archive=False, manifest=False, stored_bytes=None) for store in stores}
        self._copies = nothing | {copy.store: copy for copy in backup.copies if copy.store in stores}
        self._counting = {store: each for store, each in said.items() if store in stores and not each.wrong}
        self._archives = {each.stored_sha256 for each in self._counting.values()}
        self._agreed = next(iter(self._counting.values())) if len(self._archives) == 1 else None

    def steps(self) -> list[Step]:
        if self._agreed is None:
            return []
        found = (self._step(store, self._agreed) for store in self._stores)
        return [step for step in found if step is not None]

    def alarms(self) -> list[Alarm]:
        found = [self._spoiled(store, each.wrong) for store, each in self._said.items() if each.wrong]
        if len(self._archives) > 1:
            return [*found, self._differ()]
        if self._agreed is None:
            return found
        found += [self._damaged(store, why) for store in self._stores if (why := self._damage(store))]
        lacking = [store for store, copy in self._copies.items() if not copy.archive]
        if lacking and not self._sources():
            found.append(self._no_good_copy(lacking))
        return found

    def row(self, stores: Sequence[str]) -> Row:
        return Row(
            backup=self._backup.id,
            kind=self._backup.kind,
            taken_at=self._backup.taken_at,
            stored_bytes=self._agreed.stored_bytes if self._agreed else None,
            cells={store: self._cell(store) for store in stores},
        )

    def _cell(self, store: str) -> Literal["whole", "missing", "incomplete", "damaged", "unknown"]:
        if store not in self._copies:
            return "unknown"
        copy = self._copies[store]
        differs = len(self._archives) > 1 and copy.manifest
        if differs or self._damage(store) or self._wrong(store):
            return "damaged"
        if copy.archive and copy.manifest:
            return "whole"
        return "incomplete" if copy.archive or copy.manifest else "missing"

    def _step(self, store: str, agreed: Said) -> Step | None:
        copy = self._copies[store]
        untouchable = self._wrong(store) or self._damage(store)
        sources = self._sources()
        lacks_archive = not copy.archive and not untouchable
        lacks_manifest = not copy.manifest and not untouchable
        proofs = self._lacking_proofs(copy)
        if lacks_archive and not sources:  # a pin may lie there alone
            lacks_archive, lacks_manifest, proofs = False, False, ()
        step = Step(
            backup=self._backup.id,
            kind=self._backup.kind,
            target=store,
            archive="copy" if lacks_archive else "check" if lacks_manifest else "keep",
            manifest=lacks_manifest,
            proofs=proofs,
            pinned_in=() if copy.pinned else tuple(name for name, each in self._copies.items() if each.pinned),
            described_by=tuple(each for each in self._stores if each in self._counting),
            sources=sources,
            stored_bytes=agreed.stored_bytes,
            stored_sha256=agreed.stored_sha256,
        )
        return step if lacks_archive or lacks_manifest or step.proofs or step.pinned_in else None

    def _lacking_proofs(self, copy: Copy) -> tuple[ProofPlace, ...]:
        everywhere = {proof for each in self._copies.values() for proof in each.proofs}
        return tuple(
            ProofPlace(
                finished_at=proof[0],
                verdict=proof[1],
                stores=tuple(store for store, each in self._copies.items() if proof in each.proofs),
            )
            for proof in sorted(everywhere - set(copy.proofs))
        )

    def _sources(self) -> tuple[str, ...]:
        """Proven ones first, then the plan's order; those that lost their manifest last."""
        good = [store for store, copy in self._copies.items() if copy.archive and not self._damage(store)]
        return tuple(sorted(good, key=lambda store: (self._rank(self._copies[store]), self._stores.index(store))))

    def _rank(self, copy: Copy) -> int:
        if copy.store not in self._counting:
            return 2
        return 0 if copy.verdict == "passed" else 1

    def _wrong(self, store: str) -> str:
        return self._said[store].wrong if store in self._said else ""

    def _damage(self, store: str) -> str:
        """Why the archive in a store is no good; empty where nothing is known against it."""
        copy = self._copies[store]
        if not copy.archive or self._agreed is None:
            return ""
        if copy.stored_bytes != self._agreed.stored_bytes:
            return f"is {copy.stored_bytes} bytes long where its manifest says {self._agreed.stored_bytes}"
        return "failed its proof" if copy.verdict == "failed" else ""

    def _differ(self) -> Alarm:
        said = ", ".join(f"{store}: {each.stored_sha256[:12]}…" for store, each in self._counting.items())
        return Alarm(
            what="differ",
            backup=self._backup.id,
            stores=tuple(self._counting),
            fact=f"{self._backup.id} is not the same archive in every store ({said})",
            remedy="All of them stay. `backproof show` with --from tells them apart: find out who wrote which, and "
            "move the wrong one out of its store.",
        )

    def _spoiled(self, store: str, why: str) -> Alarm:
        manifest = key(Name(self._backup.plan, self._backup.kind, self._backup.taken_at, MANIFEST))
        return Alarm(
            what="damaged",
            backup=self._backup.id,
            stores=(store,),
            fact=f"the manifest {manifest} in {store} does not count: {why}",
            remedy=_LOOK,
        )

    def _damaged(self, store: str, why: str) -> Alarm:
        return Alarm(
            what="damaged",
            backup=self._backup.id,
            stores=(store,),
            fact=f"the copy of {self._backup.id} in {store} {why}; nothing is copied from it",
            remedy=mended(self._backup.plan, self._backup.id, store),
        )

    def _no_good_copy(self, lacking: Sequence[str]) -> Alarm:
        return Alarm(
            what="no good copy",
            backup=self._backup.id,
            stores=tuple(lacking),
            fact=f"no good copy of {self._backup.id} can be reached, and {', '.join(lacking)} lack it",
            remedy="Bring back the store that has one; if none has, this backup is lost: take another.",
        )
