"""The process that holds the demo's servers: ``python -m deployments.demo.host STATE [--owner PID STARTED]``.

It starts a PostgreSQL, a MariaDB where one is installed, two S3 servers and a Prefect server side by side, prints a
line as each is ready, writes what a client needs to ``STATE/demo.json``, and waits. It ends on SIGTERM, or when the
owner is gone; everything it started, and every byte it wrote outside STATE, goes with it.
"""

import argparse
import base64
import json
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from backproof.engines.postgresql.connect import connected
from backproof.engines.postgresql.server import private_server
from backproof.errors import BackproofError, MissingTool
from backproof.records import Target
from backproof.scratch import end_processes, workspace
from deployments.cli.new_keys import new_escrow_pair, new_keys
from deployments.servers import processes
from deployments.servers.prefect import PrefectServer, prefect_server, recorded
from deployments.servers.seaweedfs import S3Server, seaweedfs

POSTGRESQL = 18
REGIONS = {"primary": "eu-west-1", "secondary": "us-east-1"}
SCHEMA = Path(__file__).with_name("shop.sql")
MARIADB_SCHEMA = Path(__file__).with_name("shop-mariadb.sql")


def say(text: str) -> None:
    """One line for whoever started us; nobody may be listening any more."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = Path("/dev/null").open("w")  # noqa: SIM115 (for the rest of this process)


@contextmanager
def shop(folder: Path) -> Iterator[Target]:
    """A PostgreSQL with the shop's database in it."""
    with private_server(POSTGRESQL, folder, port=0, password=secrets.token_urlsafe(18)) as server:
        say(f"PostgreSQL {POSTGRESQL} on port {server.port}")
        target = server.to("shop")
        _sql(server, "CREATE DATABASE shop")
        _sql(target, SCHEMA.read_text())
        counted = _sql(target, "SELECT (SELECT count(*) FROM order_items) + (SELECT count(*) FROM orders)")
        size = _sql(target, "SELECT pg_database_size('shop')")
        say(f"the shop's database: {counted:,} orders and order items, {size / 1e6:.0f} MB")
        yield target


@contextmanager
def second_shop(folder: Path) -> Iterator[Target | None]:
    """A MariaDB with a shop's database in it, where the machine has one."""
    from backproof.engines.mysql import binaries
    from backproof.engines.mysql.connect import connected as connected_to
    from backproof.engines.mysql.server import private_server as mariadb_server

    with ExitStack() as stack:
        try:
            binaries.find("dump", "mariadb")
            server = mariadb_server(folder, port=0, password=secrets.token_urlsafe(18))
            target = stack.enter_context(server)
        except MissingTool as error:
            say(f"no second act: {error}")
            yield None
            return
        statements = ["CREATE DATABASE shop", "USE shop", *MARIADB_SCHEMA.read_text().split(";\n")]
        with connected_to(target) as connection, connection.cursor() as cursor:
            for statement in filter(str.strip, statements):
                cursor.execute(statement)
            cursor.execute("SELECT @@version")
            [(version,)] = cursor.fetchall()
        say(f"MariaDB {version.partition('-')[0]} on port {target.port}, with a shop's database of its own")
        yield target.to("shop")


@contextmanager
def region(folder: Path, name: str) -> Iterator[S3Server]:
    """One S3 region."""
    with seaweedfs(folder, "backproof-demo", secrets.token_urlsafe(18), [f"shop-{name}"]) as server:
        say(f"S3 region {REGIONS[name]} at {server.endpoint_url}")
        yield server


@contextmanager
def escrow(folder: Path) -> Iterator[None]:
    """A pair of escrow keys beside the fleet file, as `backproof keys escrow` makes them."""
    pair = new_escrow_pair(None)
    for name, content in (("escrow.pem", pair.public_pem), ("escrow-private.pem", pair.private_pem)):
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
    yield


@contextmanager
def prefect(folder: Path) -> Iterator[PrefectServer]:
    """The Prefect server, with its web page."""
    with prefect_server(folder, ui=True) as server:
        say(f"Prefect at {server.ui_url}")
        yield server


def fleet_file(target: Target, second: Target | None, regions: dict[str, S3Server], folder: Path) -> str:
    """The demo's ``fleet.yaml``. Its secrets live as long as its servers: the file holds them, for its owner alone."""
    keys = new_keys()
    stores: dict[str, Any] = {"local": {"type": "local", "path": str(folder / "backups")}}
    for name, server in regions.items():
        stores[name] = {
            "type": "s3",
            "bucket": server.buckets[0],
            "region": REGIONS[name],
            "endpoint_url": server.endpoint_url,
            "credentials": name,
        }
    fleet = {
        "fleet": "demo",
        "signing": {"private_key": _text(keys.signing)},
        "keys": {"main": {"aes256": _text(keys.aes256), "escrow_public_key": str(folder / "escrow.pem")}},
        "credentials": {
            name: {"access_key_id": server.access_key, "secret_access_key": server.secret_key}
            for name, server in regions.items()
        },
        "stores": stores,
        "databases": {"shop-db": _database("postgresql", target)},
        "plans": {"shop": _plan("shop-db", "interval '2 days'")},
    }
    if second is not None:
        fleet["databases"]["shop-mariadb-db"] = _database("mariadb", second)
        fleet["plans"]["shop-mariadb"] = _plan("shop-mariadb-db", "interval 2 day")
    return yaml.safe_dump(fleet, sort_keys=False)


def _database(engine: str, target: Target) -> dict[str, Any]:
    password = target.password.get_secret_value() if target.password else ""
    where = {"host": target.host, "port": target.port, "name": target.database, "user": target.user}
    return {"engine": engine, **where, "password": password.replace("$", "$$")}


def _plan(database: str, two_days: str) -> dict[str, Any]:
    check = {
        "name": "recent orders",
        "sql": f"SELECT count(*) FROM orders WHERE placed_at > :taken_at - {two_days}",  # noqa: S608
        "expect": "> 0",
    }
    return {"database": database, "stores": ["local", *REGIONS], "key": "main", "checks": [check]}


def main() -> None:
    """Hold the servers until it is over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("state", type=Path)
    parser.add_argument("--owner", nargs=2, metavar=("PID", "STARTED"))
    options = parser.parse_args()
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: over.set())
    if options.owner:
        threading.Thread(target=_watch, args=(*options.owner, options.state / "keep", over), daemon=True).start()
    try:
        _hold(options.state, over)
    except BackproofError as error:
        sys.exit(" ".join(str(error).split()))  # whoever started us shows the last line of our log


def _hold(state: Path, over: threading.Event) -> None:
    with ExitStack() as stack, workspace("demo") as folder:
        record = state / "demo.json"
        stack.callback(record.unlink, missing_ok=True)
        with _broken_off_when(over, folder, state):
            _start(stack, folder, state, record)
        say("ready")
        over.wait()


def _watch(pid: str, started: str, keep: Path, over: threading.Event) -> None:
    """Say that it is over when whoever started us is gone, also by kill -9; unless the servers are to stay."""
    while keep.exists() or processes.is_running(int(pid), started):
        time.sleep(0.2)
    over.set()


@contextmanager
def _broken_off_when(over: threading.Event, folder: Path, state: Path) -> Iterator[None]:
    """Nobody waits for a start that nobody wants any more: servers are ended under it, and it fails."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            if over.is_set():
                end_processes(folder, grace_seconds=0.5)
                if (server := recorded(state / "prefect")) is not None:
                    processes.end(server.pid, server.started, patience_seconds=0.5)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


def _start(stack: ExitStack, folder: Path, state: Path, record: Path) -> None:
    """All at once; the slowest, Prefect, decides."""
    wanted: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        "prefect": lambda: prefect(state / "prefect"),
        "shop": lambda: shop(folder / "postgresql"),
        "second": lambda: second_shop(folder / "mariadb"),
        "primary": lambda: region(folder / "primary", "primary"),
        "secondary": lambda: region(folder / "secondary", "secondary"),
        "escrow": lambda: escrow(state),
    }
    with ThreadPoolExecutor(len(wanted)) as pool:
        entered = {name: pool.submit(_entered, make) for name, make in wanted.items()}
    values: dict[str, Any] = {}
    errors = []
    for name, future in entered.items():
        if (error := future.exception()) is not None:
            errors.append(error)
            continue
        context, values[name] = future.result()
        stack.push(context)
    if errors:
        raise errors[0]
    fleet = state / "fleet.yaml"
    fleet.write_text(fleet_file(values["shop"], values["second"], {name: values[name] for name in REGIONS}, state))
    fleet.chmod(0o600)
    server = values["prefect"]
    environment = server.environment() | {"PREFECT_HOME": str(state / "prefect")}  # nothing of it in the user's own
    record.write_text(json.dumps({"fleet": str(fleet), "ui_url": server.ui_url, "environment": environment}))
    record.chmod(0o600)


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _entered(make: Callable[[], AbstractContextManager[Any]]) -> tuple[AbstractContextManager[Any], Any]:
    context = make()
    return context, context.__enter__()


def _sql(target: Target, statement: str) -> Any:
    with connected(target) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


if __name__ == "__main__":
    main()
