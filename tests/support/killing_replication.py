"""Kill -9 a replication at any of its moments: the next run converges, and nothing is lost, left or taken for whole."""

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backproof.naming import MANIFEST, parse
from backproof.operations.sweep import sweep
from backproof.stores.local import LocalStore
from deployments.servers.seaweedfs import S3Server
from tests.support.aftermath import Holdings, expect_soon, expect_whole, unfinished_files, unfinished_uploads
from tests.support.fleets import PLAN
from tests.support.killing import Dying, Moment, Outcome
from tests.support.proc import running
from tests.support.replicas import Replicas, archive

HELD = 3 * 4
"""Backups by stores, at the end."""


@dataclass
class ReplicationVictim:
    """A plan over three stores that lack something each, and a replication that is killed again and again.

    A folder and a region lack an archive of several parts, one a manifest, all some archives and proofs, two a pin.

    Args:
        stores: a folder ``near`` and two others, as a fleet describes them.
        folder: where its file may lie.
        servers: of the S3 stores, by store.
    """

    stores: dict[str, Any]
    folder: Path
    servers: dict[str, S3Server] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.replicas = Replicas(self.stores, self.folder)
        self.fleet = self.replicas.fleet
        near, one, two = self.stores
        lay, prove = self.replicas.lay, self.replicas.prove
        lay(one, archive(3, megabytes=9))
        prove(lay(near, archive(2)), near, [near, two])
        lay(one, archive(2), manifest=False)
        prove(lay(two, archive(1)), two, [two])
        for store in self.stores:
            lay(store, archive(0))
        prove(archive(0), one, [one])
        self.replicas.pin(archive(0), [two])
        self.before = Holdings.of(self.fleet, PLAN)
        file = self.folder / "fleet.yaml"
        file.write_text(json.dumps(self.replicas.description))  # YAML, too
        self._dying = Dying(file, "replicate")
        self.reset()

    @property
    def steps(self) -> int:
        """So many things a whole run does."""
        return self._dying.steps

    @property
    def seconds(self) -> float:
        """How long a whole run takes."""
        return self._dying.seconds

    def close(self) -> None:
        """No more deaths."""
        self._dying.close()

    def kill(self, moment: Moment) -> Outcome:
        """One death, and the run after it.

        Raises:
            AssertionError: something was lost, or left, or is not what it says.
        """
        ran, token = self._dying.die(moment, self.reset)
        self._expect_nothing_lost()
        before = expect_whole(self.fleet, PLAN)
        sweep(self.fleet, PLAN)
        kept = self._unfinished()
        assert len(kept) <= 1, f"more than what is resumed was left: {kept}"
        self.replicas.replicate()
        self._expect_nothing_lost()
        self.replicas.expect_equal()
        assert expect_whole(self.fleet, PLAN) == HELD
        assert self._unfinished() == []
        places = {Path(tempfile.gettempdir()), Path("/tmp")}
        assert [str(path) for place in places for path in place.glob(f"backproof-*-{ran['pid']}-*")] == []
        expect_soon(lambda: running(token) == [], 60, "a program is left")
        self.reset()
        added = before - self._manifests_before()
        return Outcome("committed" if added else "half" if kept else "nothing", bool(kept))

    def reset(self) -> None:
        """Remove what came since the beginning, so that every death finds the same."""
        for store in self.fleet.stores(PLAN):
            for each in list(store.list()):
                if each.key not in self.before.stores[store.name]:
                    store.delete(each.key)

    def _expect_nothing_lost(self) -> None:
        self.before.expect_untouched(self.fleet, PLAN)

    def _manifests_before(self) -> int:
        names = [parse(key) for held in self.before.stores.values() for key in held]
        return sum(name is not None and name.part == MANIFEST for name in names)

    def _unfinished(self) -> list[str]:
        found: list[str] = []
        for store in self.fleet.stores(PLAN):
            if isinstance(store, LocalStore):
                found += unfinished_files(Path(store.location()))
            else:
                found += unfinished_uploads(self.servers[store.name], store)
        return found
