"""The pictures of docs/ui.md, taken of the demo's servers: ``python -m tests.ui.screenshots FOLDER``.

Four backups of the demo's shop, which grows meanwhile; each page as a person sees it. The second one's proof is held
midway, by a relay before the store it reads from, until its picture is taken; the last one is shown when it is done.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import yaml
from playwright.sync_api import expect

from backproof import catalog
from backproof.engines.postgresql.connect import connected
from backproof.fleet import Fleet, FleetSpec, load
from backproof.scratch import workspace
from deployments.demo.servers import Demo, running
from tests.support.pages import Ui, browser
from tests.support.prefect_fixtures import eventually
from tests.support.relay import Relay
from tests.support.workers import worker

PLAN = "shop"
HELD = "secondary"
"""The store that a proof reads from."""
HELD_AFTER = 1.5
"""Archives: a proof reads it once to check it, and once more to restore it."""
GROWTH = (
    "INSERT INTO orders (user_id, state, placed_at, note) SELECT user_id, state, placed_at, note FROM orders LIMIT 9000"
)
RUN_SECONDS = 300.0


def main(folder: Path) -> None:
    """Take them all."""
    folder.mkdir(parents=True, exist_ok=True)
    with workspace("pictures") as home:
        home.chmod(0o711)
        os.environ["XDG_STATE_HOME"] = str(home / "state")
        with running(print, keep=False) as demo, _before(HELD, demo) as relay, _at_work(demo, relay, home) as fleet:
            _finished(_started())
            _grow(fleet)
            with browser(demo.ui_url) as ui:
                _under_way(ui, folder, relay, _held_after(fleet))
                _grow(fleet)
                _finished(_started())
                _grow(fleet)
                _finished(run := _started("demo.backup"))
                _done(ui, folder, run)
                if ui.outside:
                    raise RuntimeError(f"the pages asked somebody else: {ui.outside[0]}")


@contextmanager
def _before(store: str, demo: Demo) -> Iterator[Relay]:
    described = yaml.safe_load(demo.fleet.read_text())["stores"][store]
    with Relay(urlsplit(described["endpoint_url"]).port or 0) as relay:
        yield relay


@contextmanager
def _at_work(demo: Demo, relay: Relay, home: Path) -> Iterator[Fleet]:
    os.environ.update(demo.environment)  # before anything imports Prefect
    from deployments.apply import deploy

    described = yaml.safe_load(demo.fleet.read_text())
    described["stores"][HELD]["endpoint_url"] = f"http://127.0.0.1:{relay.port}"
    file = home / "fleet.yaml"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(described, sort_keys=False))
    spec: FleetSpec = load(file, os.environ)
    deploy(spec)
    with worker(demo.environment, spec.pool_name, home, home):
        yield Fleet(spec)


def _held_after(fleet: Fleet) -> int:
    newest = catalog.backups(fleet, PLAN)[0].id
    return round(HELD_AFTER * catalog.manifest(fleet, PLAN, newest)[0].stored_bytes)


def _under_way(ui: Ui, folder: Path, relay: Relay, held_after_bytes: int) -> None:
    ui.find_deployment("demo.backup")
    ui.open_form()
    ui.options("Plan")
    _take(ui, folder, "form", 900)
    ui.pick("Plan", PLAN)
    relay.hold(held_after_bytes, together=True)
    ui.submit()
    if not relay.holding.wait(RUN_SECONDS):
        raise RuntimeError("the proof did not begin")
    ui.open_tab("Artifacts", ui.artifact("shop-prove"))
    _take(ui, folder, "progress", 1000)
    relay.release()
    ui.wait_for("Completed")


def _done(ui: Ui, folder: Path, run: UUID) -> None:
    ui.goto(f"{ui.url}/runs/flow-run/{run}")
    ui.wait_for("Completed")
    ui.open_tab("Logs", ui.page.get_by_text("Beginning flow run").first)
    _take(ui, folder, "run", 600)  # without the log, which names folders
    summary = ui.open_artifact("shop-backup")
    expect(summary.get_by_alt_text("The phases on a time line")).to_be_visible()
    _take(ui, folder, "summary", 1700)

    ui.goto(f"{ui.url}/deployments")
    expect(ui.page.get_by_role("link", name="shop-backup", exact=True)).to_be_visible()
    _take(ui, folder, "deployments", 840)

    ui.find_deployment("shop-backup")
    ui.open_tab("Description", ui.page.get_by_text("How a run ends."))
    _take(ui, folder, "deployment", 700)


def _take(ui: Ui, folder: Path, name: str, height: int) -> None:
    ui.page.set_viewport_size({"width": 1280, "height": height})
    ui.page.wait_for_load_state("networkidle")
    ui.page.wait_for_timeout(1500)  # for what still moves; a picture is no test
    ui.page.screenshot(path=folder / f"{name}.png", animations="disabled")
    ui.page.set_viewport_size({"width": 1280, "height": 2000})  # a list of artifacts draws only what is in sight


def _started(deployment: str = f"{PLAN}-backup") -> UUID:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(f"backup/{deployment}")
        return client.create_flow_run_from_deployment(found.id, parameters={"plan": PLAN}).id


def _finished(run: UUID) -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        state: Any = eventually(
            lambda: (found := client.read_flow_run(run).state) and found.is_final() and found,
            RUN_SECONDS,
            "a run did not end",
        )
    if not state.is_completed():
        raise RuntimeError(f"a run ended otherwise: {state.message}")


def _grow(fleet: Fleet) -> None:
    with connected(fleet.target(PLAN)) as connection, connection.cursor() as cursor:
        cursor.execute(GROWTH)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
