"""Flows through a real worker: scheduled, cancelled, terminated, killed; fleets from blocks, secrets nowhere else."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml

from backproof import catalog
from backproof.fleet import Fleet, FleetSpec, parse
from backproof.operations.sweep import sweep
from backproof.records import Target
from deployments.servers.prefect import PrefectServer, as_long_as_us
from deployments.servers.seaweedfs import S3Server
from tests.support.fleets import described
from tests.support.kinds import MARIADB
from tests.support.mariadb_fixtures import schemas
from tests.support.postgres_fixtures import execute
from tests.support.prefect_fixtures import eventually, text_of
from tests.support.proc import command_of, cwd, others, told
from tests.support.s3_fixtures import ACCESS_KEY, BUCKET, REGIONS, SECRET_KEY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

POOL = "backproof-tests"
CANARIES = (b"canary: pa:ss", SECRET_KEY.encode())
SMALL = "CREATE TABLE users (id serial PRIMARY KEY, name text); INSERT INTO users (name) VALUES ('Ada'), ('Grace')"
LARGE = """
CREATE TABLE events (id integer, what text);
INSERT INTO events SELECT n, md5(random()::text) || md5(random()::text) || md5(random()::text) || md5(random()::text)
    FROM generate_series(1, 1200000) n
"""


@dataclass
class Site:
    """A fleet in blocks, its deployments, and a worker that runs them."""

    prefect: PrefectServer
    home: Path
    temporary: Path
    """The worker's TMPDIR: whatever it starts, directly or not, has it in its environment."""
    spec: FleetSpec
    worker: "subprocess.Popen[bytes]"
    log: Path

    @property
    def fleet(self) -> Fleet:
        return Fleet(self.spec)

    def descendants(self, program: str = "", among: Callable[[int], bool] = lambda _: True) -> list[int]:
        """Processes that the worker's runs have started, run processes included, by what their command line holds."""
        mark = f"TMPDIR={self.temporary}".encode()
        return [
            pid
            for pid in others()
            if pid != self.worker.pid
            and among(pid)
            # PostgreSQL writes its process titles over its environment; but it works in its data folder.
            and (mark in told(pid, "environ") or cwd(pid).is_relative_to(self.temporary))
            and program in command_of(pid)
        ]


@pytest.fixture(scope="module")
def site(
    prefect_api: PrefectServer,
    postgres16: Target,
    mariadb: Target,
    regions: tuple[S3Server, S3Server],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    temporary = Path(tempfile.mkdtemp(prefix="worker-"))
    temporary.chmod(0o711)
    databases = [_database(postgres16, name, script) for name, script in (("small", SMALL), ("large", LARGE))]
    with schemas() as fresh:
        spec = _fleet(home, [*databases, fresh(mariadb, MARIADB.shop)], regions)
        yield from _at_work(spec, prefect_api, home, temporary)
    for database in databases:
        execute(postgres16, f"DROP DATABASE {database.database} WITH (FORCE)")


def _at_work(spec: FleetSpec, prefect_api: PrefectServer, home: Path, temporary: Path) -> Iterator[Site]:
    from deployments.apply import deploy

    deploy(spec)
    _schedule(False)
    log = home / "worker.log"
    worker = _worker(prefect_api, home, temporary, log)
    try:
        yield Site(prefect_api, home, temporary, spec, worker, log)
    finally:
        worker.terminate()
        worker.wait(60)
        shutil.rmtree(temporary)


def test_mariadb_comes_from_its_block_and_is_proven_from_the_second_region(site: Site) -> None:
    from blocks import load_fleet

    loaded = load_fleet()
    assert loaded.plan("maria").database == "maria-db"
    assert loaded.engine("maria").name == "mysql"
    assert loaded.target("maria") == site.fleet.target("maria")
    run = _start(site, "maria")
    assert _state(run, 240) == "COMPLETED"
    (backup,) = catalog.backups(site.fleet, "maria")
    assert {copy.store for copy in backup.copies if copy.manifest and copy.proofs} == {"near", *REGIONS}
    assert backup.proven_at is not None
    said = {"the run's log": _logs(run).encode(), "artifacts": _artifacts(run).encode()}
    assert not [where for where, text in said.items() for canary in CANARIES if not text or canary in text]


def test_a_scheduled_backup_starts_is_proven_from_the_second_region_and_shows_no_secret(site: Site) -> None:
    _schedule(True)
    with _Watch(site) as watch:
        run = eventually(_scheduled_runs, 240, "no scheduled run ended")[0]
    _schedule(False)
    eventually(lambda: not site.descendants("engine"), 120, "the next run, had it begun, did not end")
    assert (run.state_name, run.auto_scheduled, run.parameters["kind"]) == ("Completed", True, "daily")
    assert run.name.startswith("small daily ")
    assert {"plan:small", "fleet:real"} <= set(run.tags)
    newest = catalog.backups(site.fleet, "small")[-1]
    assert {copy.store for copy in newest.copies if copy.manifest and copy.proofs} == {"near", *REGIONS}
    assert newest.proven_at is not None
    assert watch.programs >= {"pg_dump", "postgres"}, "it watched while there was something to see"
    assert b"engine_process" in watch.seen
    assert b"workspace" not in watch.seen, "a run begins as itself, not as a process that prepares its workspace"
    said = {
        "argv and environment": bytes(watch.seen),
        "worker's log": site.log.read_bytes(),
        "the run's log": _logs(run.id).encode(),
        "artifacts": _artifacts(run.id).encode(),
        "Prefect's database": text_of(_prefect_home(site)),
        "the worker's results": text_of(site.home / "worker"),
    }
    for where, text in said.items():
        assert len(text) > 0 or where == "the worker's results", where
        for canary in CANARIES:
            assert canary not in text, where


@pytest.mark.parametrize("how", ["cancel", "kill"])
def test_stopped_while_sealing_a_run_leaves_no_child_file_or_upload(site: Site, how: str) -> None:
    run = _start(site, "large")
    eventually(lambda: _uploads(site), 120, "no multipart upload began")
    dumps = site.descendants("pg_dump")
    for pid in dumps:
        os.kill(pid, signal.SIGSTOP)  # a dump that would go on for ever
    assert dumps
    _stop(site, run, how)
    for pid in dumps if how == "kill" else []:
        _signal(pid, signal.SIGCONT)
    _expect_nothing_left(site, "large", how)
    assert _state(run) == {"cancel": "CANCELLED", "kill": "CRASHED"}[how]
    assert catalog.backups(site.fleet, "large") == []


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_stopped_while_proving_a_run_leaves_no_scratch_server_and_no_verdict(site: Site, how: str) -> None:
    run = _start(site, "small", check=True)
    eventually(lambda: site.descendants("postgres") and _sleeps(site), 120, "no scratch server ran the check")
    _stop(site, run, how)
    _expect_nothing_left(site, "asleep", how)
    assert _state(run) == "CRASHED"
    newest = catalog.backups(site.fleet, "asleep")[0]
    assert all(copy.manifest for copy in newest.copies)
    assert [copy.proofs for copy in newest.copies] == [()] * len(newest.copies), "a stopped proof is no verdict"


def test_told_to_end_the_worker_waits_for_the_runs_it_has_and_takes_no_more(site: Site) -> None:
    """The last test: there is no worker after it."""
    run = _start(site, "napping")
    eventually(lambda: _sleeps(site), 120, "no scratch server ran the check")
    site.worker.terminate()
    another = _start(site, "small")
    assert _state(run, 120) == "COMPLETED"
    assert site.worker.wait(60) == 0
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        assert client.read_flow_run(another).state_name in ("Scheduled", "Late")
        client.delete_flow_run(another)


class _Watch:
    """Reads argv and environment of everything that runs, again and again."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.seen = bytearray()
        self.programs: set[str] = set()

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        known: set[tuple[int, bytes]] = set()
        seen_first: dict[int, float] = {}
        """When each process was met that has not become one of ours. After a while nobody looks at it again: what lives
        a tenth of a second would be missed meanwhile on a busy machine."""

        def young(pid: int) -> bool:
            now = time.monotonic()
            return now - seen_first.setdefault(pid, now) < 5

        while not self._over.wait(0.02):
            ours = self._site.descendants(among=young)
            for pid in ours:
                seen_first.pop(pid)
            for pid in [*ours, self._site.worker.pid]:
                argv = told(pid, "cmdline")
                if (pid, argv) not in known:
                    known.add((pid, argv))
                    self.seen += argv + told(pid, "environ")
                    self.programs.add(Path(argv.split(b"\0")[0].split(b":")[0].decode()).name)


def _database(server: Target, name: str, script: str) -> Target:
    target = server.to(f"flows_{name}_{os.getpid()}")
    execute(server, f"CREATE DATABASE {target.database}")
    execute(target, script)
    return target


def _fleet(home: Path, databases: list[Target], regions: tuple[S3Server, S3Server]) -> FleetSpec:
    prefix = f"flows-{os.getpid()}"
    buckets = {
        region: {
            "type": "s3",
            "bucket": BUCKET,
            "region": region,
            "prefix": prefix,
            "endpoint_url": server.endpoint_url,
        }
        for region, server in zip(REGIONS, regions, strict=True)
    }
    stores = {"near": {"type": "local", "path": str(home / "near")}, **buckets}
    fleet = described(databases[0], home, stores, credentials=(ACCESS_KEY, SECRET_KEY))
    large = described(databases[1], home)["databases"]["shop-db"]
    maria = described(databases[2], home, engine="mariadb")["databases"]["shop-db"]
    never: dict[str, Any] = {"daily": [], "monthly": []}
    nap = [{"name": "nap", "sql": "SELECT count(*) FROM (SELECT pg_sleep(8)) s", "expect": "> 0"}]
    asleep = [{"name": "asleep", "sql": "SELECT count(*) FROM (SELECT pg_sleep(600)) s", "expect": "> 0"}]
    fleet |= {
        "fleet": "real",
        "work_pool": {"name": POOL},
        "databases": {"small-db": fleet["databases"]["shop-db"], "large-db": large, "maria-db": maria},
        "plans": {
            "small": {"database": "small-db", "schedules": never | {"daily": "* * * * *"}},
            "large": {"database": "large-db", "stores": [REGIONS[0], "near"], "schedules": never},
            "maria": {"database": "maria-db", "schedules": never},
            "napping": {"database": "small-db", "stores": ["near"], "schedules": never, "checks": nap},
            "asleep": {"database": "small-db", "schedules": never, "checks": asleep},
        },
    }
    return parse(yaml.safe_dump(fleet), {}, home / "fleet.yaml")


def _worker(prefect: PrefectServer, home: Path, temporary: Path, log: Path) -> "subprocess.Popen[bytes]":
    environment = prefect.environment() | {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PREFECT_HOME": str(home / "worker"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    argv = [sys.executable, "-P", "-m", "deployments.servers.worker_process", "--pool", POOL, "--limit", "4"]
    with log.open("wb") as written:
        return subprocess.Popen(
            [*argv, *as_long_as_us()],
            env=environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
        )


def _start(site: Site, plan: str, check: bool = False) -> UUID:
    from prefect.deployments import run_deployment

    plan = "asleep" if check else plan
    run = run_deployment(f"backup/{plan}-backup", timeout=0)
    return run.id  # type: ignore[union-attr]


def _stop(site: Site, run: UUID, how: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelling

    mark = f"PREFECT__FLOW_RUN_ID={run}".encode()
    [process] = [pid for pid in site.descendants("engine") if mark in told(pid, "environ")]
    if how == "cancel":
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run, Cancelling())
    else:
        os.kill(process, {"terminate": signal.SIGTERM, "kill": signal.SIGKILL}[how])
    eventually(lambda: not Path(f"/proc/{process}").exists(), 60, "the run's process did not end")


def _expect_nothing_left(site: Site, plan: str, how: str) -> None:
    if how == "kill":
        with _temporary_folder(site.temporary):
            sweep(site.fleet, plan, lambda: datetime.now(UTC) + timedelta(days=3))
    eventually(lambda: not site.descendants("postgres") and not site.descendants("pg_dump"), 20, "a child is left")
    # The worker's own folders stay a little longer, or for its life.
    left = [path.name for path in site.temporary.iterdir()]
    assert [name for name in left if "prefect" not in name and name != "runner_storage"] == []
    assert _uploads(site) == []
    stored = [path.name for path in (site.home / "near").rglob("*") if path.is_file()]
    assert [name for name in stored if not name.startswith("backup_")] == []


class _temporary_folder:
    """The sweep of the next run looks where that run's temporary files go."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        self._before = tempfile.tempdir
        tempfile.tempdir = str(self._folder)

    def __exit__(self, *_: object) -> None:
        tempfile.tempdir = self._before


def _uploads(site: Site) -> list[Any]:
    import boto3

    store = site.spec.stores[REGIONS[0]]
    client = boto3.client(
        "s3",
        endpoint_url=store.endpoint_url,  # type: ignore[union-attr]
        region_name=REGIONS[0],
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    uploads = client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return [upload["Key"] for upload in uploads if upload["Key"].startswith(f"flows-{os.getpid()}")]


def _sleeps(site: Site) -> bool:
    return any("SELECT" in command_of(pid) for pid in site.descendants("postgres"))


def _schedule(active: bool) -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("backup/small-backup").id
        client.resume_deployment(deployment) if active else client.pause_deployment(deployment)


def _scheduled_runs() -> list[Any]:
    """Those that have ended; one that a later one overtook, since the machine was busy, does nothing, as it should."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs()
    ended = [run for run in runs if run.auto_scheduled and run.state and run.state.is_final()]
    return [run for run in ended if run.state_name != "Skipped"]


def _state(run: UUID, seconds: float = 60) -> str:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:

        def final() -> Any:
            state = client.read_flow_run(run).state
            return state if state and state.is_final() else None

        return str(eventually(final, seconds, "the run did not reach an end in Prefect").type.value)


def _logs(run: UUID) -> str:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

    with get_client(sync_client=True) as client:
        return "\n".join(log.message for log in client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))))


def _artifacts(run: UUID) -> str:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return repr([artifact for artifact in client.read_artifacts() if artifact.flow_run_id == run])


def _prefect_home(site: Site) -> Path:
    [line] = [line for line in told(site.prefect.pid, "environ").split(b"\0") if line.startswith(b"PREFECT_HOME=")]
    return Path(line.partition(b"=")[2].decode())


def _signal(pid: int, number: signal.Signals) -> None:
    if Path(f"/proc/{pid}").exists():
        os.kill(pid, number)
