"""A fleet runs itself for some ten minutes, in which whatever can go away goes away, and comes back.

Two PostgreSQL databases and one of MariaDB are backed up each minute into two S3 regions, by the Prefect server, on a
PostgreSQL of its own, and the worker of ``backproof up``. What is told is counted by a webhook. An event is a run that
failed, was lost or is degraded, and a plan that has no proven backup in time; each is one message. So a region that is
away is told of by each run that misses it, and a database that is away by each run that fails, but only once as a lapse
of its plan.
"""

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import pytest
import yaml

from backproof import catalog
from backproof.errors import ConnectionLost
from backproof.fleet import Fleet, parse
from backproof.hosts import free_ports
from backproof.records import Target
from backproof.scratch import workspace
from deployments.servers import processes, seaweedfs
from deployments.servers.seaweedfs import S3Server
from tests.support import kinds, watching
from tests.support.aftermath import Holdings, expect_whole, unfinished_uploads
from tests.support.fleets import described, key
from tests.support.postgres_fixtures import execute, prefect_url
from tests.support.prefect_fixtures import eventually
from tests.support.proc import running
from tests.support.relay import Relay
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY
from tests.support.standing import Up, backproof_up
from tests.support.watching import Entered, Event
from tests.support.webhook import Webhook, webhook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

PLANS = ("orders", "ledger", "blog")
EACH_MINUTE = {"daily": "* * * * *", "monthly": [], "recovery_test": []}
PATIENCE_SECONDS = 900
"""For each thing that is waited for; on a machine with little else to do none takes four minutes."""
ATTEMPTS = 5
AT_ONCE_SECONDS = 60
"""A message may come before the state it tells of is committed, by so long at most."""
SECRETS = {"NIGHT_KEY": key(), "NIGHT_SIGNING_KEY": key(), "NIGHT_S3_SECRET": SECRET_KEY}


class Region:
    """An S3 server that comes back where it was. Nobody else gets its ports meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = free_ports(8)
        self._held = ExitStack()
        self.server: S3Server

    def begin(self) -> None:
        for _ in range(ATTEMPTS):  # on a very busy machine it may take longer than its starter waits
            self._held.close()
            with suppress(ConnectionLost):
                self.server = seaweedfs.start(self._folder, ACCESS_KEY, SECRET_KEY, [BUCKET], self._ports)
                return
        raise AssertionError(f"no region on {self._ports}")

    def end(self) -> None:
        """Without a word."""
        self.server.process.kill()
        self.server.process.wait()
        for port in self._ports:
            held = self._held.enter_context(socket.socket())
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", port))

    def close(self) -> None:
        """For good."""
        self._held.close()
        self.server.stop()


@dataclass
class Service:
    """What runs, and what can be done to it."""

    up: Up
    fleet: Fleet
    hook: Webhook
    ask: Callable[[str], list[Any]]
    """Of Prefect's database."""
    orders: Relay
    blog: Relay
    near: Region
    far: Region
    temporary: Path
    lost: list[str] = field(default_factory=list)
    """Runs whose worker died with them."""

    def states(self) -> list[Entered]:
        return watching.states(self.ask)

    def wait(self, found: Callable[[], Any], what: str) -> Any:
        began = time.monotonic()
        result = eventually(found, PATIENCE_SECONDS, what, every=1)
        print(f"{datetime.now(UTC):%H:%M:%S}, after {time.monotonic() - began:.0f} s: {what}", flush=True)
        return result

    def keep_what_happened(self, folder: Path) -> None:
        """For whoever looks for a reason."""
        (folder / "states").write_text("\n".join(map(str, self.states())))
        (folder / "messages").write_text("\n".join(map(str, self.hook.messages)))

    def begun(self, deployment: str, since: datetime) -> set[str]:
        return {
            each.run
            for each in self.states()
            if (each.deployment, each.state) == (deployment, "Running") and each.at >= since
        }

    def ended(self, deployment: str, state: str, since: datetime) -> list[Entered]:
        """Runs that began since then and ended so."""
        begun = self.begun(deployment, since)
        return [each for each in self.states() if each.run in begun and each.state == state]

    def wait_for_runs(self, state: str, *deployments: str) -> dict[str, Entered]:
        """One run of each deployment that begins from now on and ends so."""
        since = datetime.now(UTC)

        def found() -> dict[str, Entered] | None:
            ended = {each: self.ended(each, state, since) for each in deployments}
            return {each: runs[0] for each, runs in ended.items()} if all(ended.values()) else None

        result: dict[str, Entered] = self.wait(found, f"{deployments} {state}")
        return result

    def at_work(self) -> list[Entered]:
        """Runs that a worker has taken and that have not ended, those aside that were killed."""
        states = (each for each in self.states() if each.now and each.run not in self.lost)
        return [each for each in states if each.type in ("PENDING", "RUNNING")]

    @contextmanager
    def taking_no_runs(self) -> Iterator[None]:
        """What runs goes on."""
        self.pause()
        yield
        self.pause(False)

    def pause(self, paused: bool = True) -> None:
        """As a person pauses a work pool, or lets it go on; and tries again where the server is busy."""
        url = f"{self.up.server.url}/work_pools/{self.fleet.spec.pool_name}"

        def done() -> bool:
            try:
                return httpx.patch(url, json={"is_paused": paused}, timeout=60, trust_env=False).is_success
            except httpx.HTTPError:
                return False

        self.wait(done, f"paused: {paused}")

    def wait_until_all_is_told(self) -> None:
        """All that has happened by now; and nothing was told twice, or that did not happen."""
        happened = watching.events(self.states())
        self.wait(lambda: not happened - self.told(), "all is told")

    def told(self) -> Counter[Event]:
        found = watching.told(list(self.hook.messages))
        eventually(lambda: not found - watching.events(self.states()), AT_ONCE_SECONDS, f"an event of each of {found}")
        return found

    def apply(self, plan: str | None = None, **objectives: str) -> list[tuple[str, str]]:
        """Apply fleet.yaml, once a plan promises something else where one is named: what that changed."""
        file = self.up.cwd / "fleet.yaml"
        if plan is not None:
            description = yaml.safe_load(file.read_text())
            description["plans"][plan]["objectives"] = objectives
            file.write_text(yaml.safe_dump(description, sort_keys=False))
        done = self.up.command("apply")["changes"]
        return [(each["sort"], each["name"]) for each in done]


@pytest.fixture
def service(postgres15: Target, postgres16: Target, mariadb: Target, tmp_path: Path) -> Iterator[Service]:
    with ExitStack() as stack:
        temporary = stack.enter_context(workspace("night"))
        temporary.chmod(0o711)
        databases = stack.enter_context(kinds.POSTGRESQL.fresh())
        schema = stack.enter_context(kinds.MARIADB.fresh())(mariadb, kinds.MARIADB.shop)
        shop, ledger = (databases(postgres16, kinds.POSTGRESQL.shop) for _ in range(2))
        orders, blog = (stack.enter_context(Relay(each.port)) for each in (shop, schema))
        regions = [Region(tmp_path / name) for name in REGIONS]
        for region in regions:
            region.begin()
            stack.callback(region.close)
        hook = stack.enter_context(webhook())
        behind = shop.model_copy(update={"port": orders.port}), ledger, schema.model_copy(update={"port": blog.port})
        text = yaml.safe_dump(_described(behind, regions, hook.url, tmp_path), sort_keys=False)
        (tmp_path / "fleet.yaml").write_text(text)
        history = databases(postgres15)
        given = SECRETS | {"TMPDIR": str(temporary), "LC_BACKPROOF_TEST": token_hex(8)}
        given |= {"PREFECT_SERVER_DATABASE_CONNECTION_URL": prefect_url(history)}
        up = stack.enter_context(backproof_up(tmp_path, given, "--limit", "8", secrets=tuple(SECRETS.values())))
        fleet = Fleet(parse(text, SECRETS, tmp_path / "fleet.yaml"))
        begun = Service(up, fleet, hook, partial(execute, history), orders, blog, *regions, temporary)
        stack.callback(begun.keep_what_happened, tmp_path)
        yield begun


def test_after_ten_minutes_of_trouble_all_is_proven_all_stores_agree_and_each_event_was_told_once(
    service: Service,
) -> None:
    assert service.apply()
    service.wait_for_runs("Completed", *(f"{plan}-backup" for plan in PLANS))
    service.wait_until_all_is_told()

    killed = kill_the_worker_during_a_seal(service)
    keep_a_database_away(service)
    take_a_region_away(service)
    restart_prefect(service)

    assert [each for each in catalog.backups(service.fleet, "orders") if killed[0] <= each.taken_at <= killed[1]] == []
    assert service.apply() == [], "nothing of what was applied was lost"
    service.pause()
    service.wait(lambda: not service.at_work(), "all runs have ended")
    service.wait_until_all_is_told()
    assert service.told()[service.lost[0], "was lost"] == 1
    assert service.up.command("replicate")["run"]["outcome"] == "complete"
    for plan in PLANS:
        expect_all_is_well(service, plan)
    end(service)


def kill_the_worker_during_a_seal(service: Service) -> tuple[datetime, datetime]:
    """With all that it has started, as when a machine loses its power. Returns from when to when that was."""
    began = datetime.now(UTC)
    service.orders.hold(after=4 * 1024 * 1024)
    service.wait(service.orders.holding.is_set, "a dump that stops midway")
    with service.taking_no_runs():
        [sealing] = service.wait(lambda: len(found := service.at_work()) == 1 and found, "nothing else runs")
        assert (sealing.deployment, sealing.state) == ("orders-backup", "Running")
        worker = service.up.worker()
        assert worker is not None
        for pid in [worker, *processes.children(worker)]:  # the worker first: else it would say what became of its run
            processes.signal_one(pid, signal.SIGKILL)
        killed = datetime.now(UTC)
        service.orders.release()
        service.wait(lambda: service.up.worker() not in (None, worker), "another worker")
        # What the worker had just asked for, before the pool was paused, may be pending: that one never ran.
        service.lost = sorted((each.run for each in service.at_work()), key=lambda run: run != sealing.run)
        assert service.lost[0] == sealing.run
    return began, killed


def keep_a_database_away(service: Service) -> None:
    """Until a run has failed and the plan has lapsed, which promises little meanwhile."""
    since = datetime.now(UTC)
    service.blog.cut()

    def since_then(deployment: str) -> list[Entered]:
        there = [each for each in service.states() if each.deployment == deployment and each.at >= since]
        return [each for each in there if each.type in ("FAILED", "CRASHED")]

    service.wait(lambda: since_then("blog-backup"), "a run failed")
    plan = ("block", "backproof-plan/blog")
    assert set(service.apply("blog", rpo="2m", grace="1m")) == {plan, ("deadline", "blog")}
    service.wait(lambda: since_then("night.deadline"), "the plan lapsed")
    service.wait(lambda: len(since_then("blog-backup")) > 1, "another run failed")
    service.wait_until_all_is_told()
    [lapse] = since_then("night.deadline")
    assert service.told()[lapse.run, watching.LAPSE] == 1, "however many runs fail meanwhile"
    assert {each.state for each in since_then("blog-backup")} == {"Failed"}
    assert service.apply("blog", rpo="1d") == [plan]
    service.blog.mend()
    service.wait_for_runs("Completed", "blog-backup")


def take_a_region_away(service: Service) -> None:
    """Until every plan and the fleet's replication have missed it; then all catch up, by schedule."""
    service.far.end()
    backups = [f"{plan}-backup" for plan in PLANS]
    missed = service.wait_for_runs("Degraded", *backups, "night.replication")
    service.far.begin()
    back = datetime.now(UTC)
    service.wait_for_runs("Completed", "night.replication")
    for plan in PLANS:
        backup = missed[f"{plan}-backup"].message.partition(" is safe.")[0]
        [found] = [each for each in catalog.backups(service.fleet, plan) if each.id == backup]
        assert {copy.store for copy in found.copies if copy.archive and copy.manifest} == {"near", "far"}
    service.wait(lambda: all(each.at > back for each in service.at_work()), "no run is left that missed the region")


def restart_prefect(service: Service) -> None:
    """While runs go on, and after what was told before: a message that is on its way then is lost."""
    service.wait_until_all_is_told()
    service.wait(service.at_work, "a run")
    before = service.up.server
    os.kill(before.pid, signal.SIGTERM)
    service.wait(lambda: service.up.server.pid != before.pid and service.up.server.answers(), "another server")
    service.wait_for_runs("Completed", *(f"{plan}-backup" for plan in PLANS))


def expect_all_is_well(service: Service, plan: str) -> None:
    """The newest backup is proven, each store holds it and all else that the other holds, and all of it is whole."""
    stores = Holdings.of(service.fleet, plan).stores
    assert stores["near"] == stores["far"]
    newest = catalog.backups(service.fleet, plan)[0]
    assert newest.proven_at is not None
    assert [copy.store for copy in newest.copies if copy.archive and copy.manifest] == ["near", "far"]
    assert expect_whole(service.fleet, plan) == 2 * len(catalog.backups(service.fleet, plan))
    [standing] = service.up.command("status", plan)["plans"]
    assert standing["status"] == "ok", standing


def end(service: Service) -> None:
    """Nothing is left but what is to stay."""
    assert service.up.command("down") == {"stopped": True}
    assert watching.told(service.hook.messages) == watching.events(service.states())
    assert running(f"LC_BACKPROOF_TEST={service.up.environment['LC_BACKPROOF_TEST']}") == []
    assert list(service.temporary.glob("backproof-*")) == []
    for name, region in (("near", service.near), ("far", service.far)):
        assert unfinished_uploads(region.server, service.fleet.store(name)) == []


def _described(targets: tuple[Target, ...], regions: list[Region], hook: str, folder: Path) -> dict[str, Any]:
    stores = {
        name: {
            "type": "s3",
            "bucket": BUCKET,
            "region": REGIONS[number],
            "endpoint_url": regions[number].server.endpoint_url,
            "credentials": "s3",
        }
        for number, name in enumerate(("near", "far"))
    }
    databases, plans = {}, {}
    for plan, target in zip(PLANS, targets, strict=True):
        engine = "mariadb" if plan == "blog" else "postgresql"
        [databases[plan]] = described(target, folder, engine=engine)["databases"].values()
        plans[plan] = {"database": plan, "schedules": EACH_MINUTE}
    return {
        "fleet": "night",
        "credentials": {"s3": {"access_key_id": ACCESS_KEY, "secret_access_key": "${NIGHT_S3_SECRET}"}},
        "signing": {"private_key": "${NIGHT_SIGNING_KEY}"},
        "keys": {"main": {"aes256": "${NIGHT_KEY}"}},
        "schedules": {"retention": "*/5 * * * *", "replication": "*/2 * * * *"},
        "late_after": "2h",
        "lost_after": "3m",
        "notifications": {"ops": {"type": "webhook", "url": hook}},
        "notify": {"failure": ["ops"]},
        "stores": stores,
        "databases": databases,
        "plans": plans,
    }
