"""The pictures of docs/ui.md, taken of the demo's servers: ``python -m tests.ui.screenshots FOLDER``.

Three backups of the demo's shop, which grows meanwhile; then each page as a person sees it.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from playwright.sync_api import expect

from backproof.engines.postgresql.connect import connected
from backproof.fleet import Fleet, FleetSpec, load
from backproof.scratch import workspace
from deployments.demo.servers import Demo, running
from tests.support.pages import Ui, browser
from tests.support.prefect_fixtures import eventually
from tests.support.workers import worker

PLAN = "shop"
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
        with running(print, keep=False) as demo, _at_work(demo, home) as fleet:
            for _ in range(2):
                _finished(_started("backup/shop-backup"))
                _grow(fleet)
            with browser(demo.ui_url) as ui:
                _pictures(ui, folder)
                if ui.outside:
                    raise RuntimeError(f"the pages asked somebody else: {ui.outside[0]}")


@contextmanager
def _at_work(demo: Demo, home: Path) -> Iterator[Fleet]:
    os.environ.update(demo.environment)  # before anything imports Prefect
    from deployments.apply import deploy

    spec: FleetSpec = load(demo.fleet, os.environ)
    deploy(spec)
    with worker(demo.environment, spec.pool_name, home, home):
        yield Fleet(spec)


def _pictures(ui: Ui, folder: Path) -> None:
    ui.page.goto(f"{ui.url}/deployments")
    expect(ui.page.get_by_role("link", name="shop-backup", exact=True)).to_be_visible()
    _take(ui, folder, "deployments", 840)

    ui.find_deployment("shop-backup")
    ui.open_tab("Description", ui.page.get_by_text("How a run ends."))
    _take(ui, folder, "deployment", 700)

    ui.find_deployment("demo.backup")
    ui.open_form()
    ui.options("Plan")
    _take(ui, folder, "form", 900)
    ui.pick("Plan", PLAN)
    ui.submit()
    run = UUID(ui.page.url.rpartition("/")[2].partition("?")[0])
    eventually(lambda: _runs_now(run, "prove"), RUN_SECONDS, "the proof did not begin")
    ui.page.reload()
    ui.open_tab("Artifacts", ui.artifact("shop-seal"))
    _take(ui, folder, "progress", 1000)
    ui.wait_for("Completed")
    ui.page.reload()
    ui.open_tab("Logs", ui.page.get_by_text("Beginning flow run").first)
    _take(ui, folder, "run", 600)  # without the log, which names folders
    summary = ui.open_artifact("shop-backup")
    expect(summary.get_by_alt_text("The phases on a time line")).to_be_visible()
    _take(ui, folder, "summary", 1700)


def _take(ui: Ui, folder: Path, name: str, height: int) -> None:
    ui.page.set_viewport_size({"width": 1280, "height": height})
    ui.page.wait_for_load_state("networkidle")
    ui.page.wait_for_timeout(1500)  # for what still moves; a picture is no test
    ui.page.screenshot(path=folder / f"{name}.png", animations="disabled")


def _started(deployment: str) -> UUID:
    from prefect.deployments import run_deployment

    run: Any = run_deployment(deployment, timeout=0)
    return UUID(str(run.id))


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


def _runs_now(run: UUID, task: str) -> bool:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with get_client(sync_client=True) as client:
        found = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))
    return any(each.name.startswith(task) and each.state and not each.state.is_scheduled() for each in found)


def _grow(fleet: Fleet) -> None:
    with connected(fleet.target(PLAN)) as connection, connection.cursor() as cursor:
        cursor.execute(GROWTH)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
