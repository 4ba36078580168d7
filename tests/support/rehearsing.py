"""A plan with a real application and two cloud regions, whose recovery is rehearsed; a world for each engine."""

import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from backproof.alarms import Message
from backproof.fleet import Fleet
from backproof.operations.copy import copy
from backproof.operations.seal import seal
from backproof.records import Target
from backproof.recovery.context import Surroundings
from backproof.recovery.entries import JournalEntry
from backproof.recovery.journal import WHOLE, Journal, opened
from backproof.recovery.naming import recovery_id
from backproof.recovery_test import production
from backproof.recovery_test.context import Rehearsal
from backproof.recovery_test.record import RecoveryTest
from backproof.recovery_test.run import carry_out
from backproof.runbook import Answer, Run
from backproof.stores import Store
from backproof.stores.local import LocalStore
from deployments.servers.seaweedfs import S3Server
from tests.support.engine_harness import POSTGRESQL, WORLDS, Harness
from tests.support.fleets import PLAN, built, described
from tests.support.manifests import request_of
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY

REPOSITORY = Path(__file__).parents[2]
ORDERS = 3
ROOT, ALTERNATIVE = "Root cause: a job without a WHERE", "the alternative plan: read-only replicas"
_numbers = itertools.count(1)
_ASKS = (
    "import os, sys, urllib.request; "
    "url = 'http://127.0.0.1:' + os.environ['PORT'] + '/orders'; "
    "sys.exit(0 if urllib.request.urlopen(url).read() == sys.argv[1].encode() else 1)"
)

on_postgresql = pytest.mark.parametrize("made", [world for world in WORLDS if world[0] is POSTGRESQL], indirect=True)
"""For what says nothing of the kind of database."""


def asks(orders: int) -> list[str]:
    """A test of the application: it must have so many orders."""
    return [sys.executable, "-S", "-E", "-c", _ASKS, str(orders)]


def is_told(user: str) -> list[str]:
    """A command of the application that ends with 0 where the address it is given names a user that begins so."""
    looks = "import os, sys; sys.exit(not os.environ['DATABASE_URL'].split('://')[1].startswith(sys.argv[1]))"
    return [sys.executable, "-S", "-E", "-c", looks, user]


@dataclass
class Rehearsed:
    """One plan on a real server."""

    harness: Harness
    target: Target
    folder: Path
    description: dict[str, Any]
    messages: list[Message] = field(default_factory=list)

    def described(self, **recovery_test: Any) -> dict[str, Any]:
        """It, with more said of its recovery test."""
        staging = self.staging() | recovery_test.pop("staging", {})
        plan = recovery_test.pop("plan", {})
        its = {
            "responsible": "Ada",
            "runbook_reviewed": datetime.now(UTC).date().isoformat(),
            "staging": {name: value for name, value in staging.items() if value is not None},
            **recovery_test,
        }
        before = self.description["plans"][PLAN]
        return {**self.description, "plans": {PLAN: {**before, "recovery_test": its, **plan}}}

    def fleet(self, **recovery_test: Any) -> Fleet:
        """The same, at work."""
        return built(self.described(**recovery_test), self.folder)

    def staging(self) -> dict[str, Any]:
        return {
            "directory": str(REPOSITORY),
            "environment": {"DATABASE_URL": "{url}", "PORT": "{application_port}"},
            "start": [sys.executable, "-m", "tests.support.web_application", str(self.folder)],
            "health_url": "http://127.0.0.1:{application_port}/up",
            "tests": [asks(ORDERS)],
            "timeout": "60s",
        }

    def around(self, **more: Any) -> Surroundings:
        around = Surroundings(
            local=LocalStore("this machine", self.folder / "journals"),
            outputs=self.folder / "outputs",
            tell=self._tell,
            sleep=lambda _: None,
            jobs=2,
        )
        return replace(around, **more)

    def _tell(self, message: Message) -> tuple[str, ...]:
        self.messages.append(message)
        return ("team",)

    def run(self, script: str) -> list[tuple[object, ...]]:
        """SQL on the live database."""
        return self.harness.run(self.target, script)

    def backed_up(self, fleet: Fleet, stores: tuple[str, ...] = REGIONS) -> str:
        """A backup in both regions."""
        sealed = seal(fleet, PLAN, "daily")
        for store in stores:
            if store != sealed.store:
                copy(fleet, PLAN, sealed.manifest.id, sealed.store, store)
        return sealed.manifest.id

    def recorded(self, fleet: Fleet) -> None:
        """The state of production, in the stores."""
        assert production.write(fleet, production.read(fleet, PLAN).model_copy(update={"told": ("team",)})) == []

    def tested(self, fleet: Fleet, around: Surroundings | None = None, **asked: Any) -> RecoveryTest:
        """A recovery test of it."""
        return carry_out(Rehearsal(fleet, PLAN, around or self.around(), by="tester", **{"runner": all_work, **asked}))


def a_recovery(fleet: Fleet, places: Sequence[Store], at: datetime, *notes: str, safety: bool = True) -> Journal:
    """One that has ended, its journal, and what people wrote down of it.

    Args:
        fleet: of the plan.
        places: where the journal lies.
        at: when it was.
        notes: what they wrote.
        safety: whether it took a backup of what was live before it.
    """
    request = request_of(plan=PLAN, backup="backup_2026-03-01_020000", reason="rows were deleted")
    facts = request.model_dump(mode="json")
    first = JournalEntry(plan=PLAN, recovery=recovery_id(at), number=0, step=WHOLE, what="opened", at=at, facts=facts)
    journal = opened(places, fleet.signer, first, lambda: at)
    if safety:
        journal.write("safety", "done", {"backup": "backup_2026-03-02_020000"})
    journal.write(WHOLE, "closed", {"result": "recovered"})
    for text in notes:
        journal.write(WHOLE, "noted", {"by": "Ada", "text": text})
    return journal


@contextmanager
def all_work(_: Fleet) -> Iterator[Run]:
    """Every command of the runbook works: what these do is tried elsewhere, for real."""
    yield lambda _: Answer(0, "")


@contextmanager
def rehearsed(
    harness: Harness, server: Target, folder: Path, regions: tuple[S3Server, S3Server]
) -> Iterator[Rehearsed]:
    """A database of three orders, nothing backed up yet; its buckets are its own."""
    target = server.to(f"live_{os.getpid()}_{next(_numbers)}")
    harness.run(server, f"CREATE DATABASE {target.database}")
    prefix = f"t-{token_hex(6)}/"
    stores = {
        name: {"type": "s3", "bucket": BUCKET, "region": name, "prefix": prefix, "endpoint_url": region.endpoint_url}
        for name, region in zip(REGIONS, regions, strict=True)
    }
    engine = "postgresql" if harness.engine == "postgresql" else harness.engine
    description = described(target, folder, stores, (ACCESS_KEY, SECRET_KEY), engine=engine)
    made = Rehearsed(harness, target, folder, description)
    try:
        harness.run(target, harness.script + "INSERT INTO bare VALUES (1), (2), (3);")
        yield made
    finally:
        built(description, folder).engine(PLAN).drop(target)


if __name__ == "__main__":  # a process of its own, to be killed
    folder = Path(sys.argv[1])
    here = Surroundings(local=LocalStore("this machine", folder / "journals"), outputs=folder / "outputs", jobs=2)
    whole = built(json.loads((folder / "killed.json").read_text()), folder)
    carry_out(Rehearsal(whole, PLAN, here, runner=all_work))
