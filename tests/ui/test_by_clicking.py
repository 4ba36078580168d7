"""What a person does in the browser: find a deployment, fill in its form, watch the run, read what it left."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from playwright.sync_api import expect

from backproof import catalog
from backproof.fleet import Fleet, parse
from backproof.fleet.writing import written
from backproof.operations.copy import copy
from backproof.operations.prove import prove
from backproof.operations.seal import seal
from backproof.records import Target
from backproof.scratch import workspace
from deployments.cli import main
from deployments.servers.prefect import PrefectServer
from tasks import words
from tests.support.fleets import described
from tests.support.pages import Ui, browser
from tests.support.postgres_fixtures import databases, execute
from tests.support.workers import worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FLEET = "clicked"
NEVER: dict[str, Any] = {"daily": [], "monthly": []}
TABLES = """
CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL);
INSERT INTO customers (name) SELECT 'customer ' || n FROM generate_series(1, 500) n
"""


@dataclass(frozen=True)
class Site:
    """A fleet on a real server, and a worker that takes its runs."""

    prefect: PrefectServer
    fleet: Fleet


@pytest.fixture(scope="module")
def site(prefect_api: PrefectServer, postgres16: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    from deployments.apply import deploy

    home = tmp_path_factory.mktemp("ui")
    with databases() as fresh, workspace("ui") as temporary:
        temporary.chmod(0o711)
        spec = parse(yaml.safe_dump(_described(fresh(postgres16, TABLES), home)), {}, home / "fleet.yaml")
        deploy(spec)
        fleet = Fleet(spec)
        seal(fleet, "clicked-orders", "daily")  # something to compare with
        with worker(prefect_api.environment(), FLEET, home, temporary):
            yield Site(prefect_api, fleet)


@pytest.fixture
def ui(site: Site, tmp_path: Path) -> Iterator[Ui]:
    """A fresh browser; afterwards it must have asked nobody but the server. Its last page is ``last.png``."""
    with browser(site.prefect.ui_url) as opened:
        yield opened
        opened.page.screenshot(path=tmp_path / "last.png")
        assert opened.asked
        assert opened.outside == []


def test_a_backup_is_started_from_a_list_watched_and_read_by_clicking(site: Site, ui: Ui) -> None:
    ui.find_deployment(f"{FLEET}.backup")
    ui.open_form()
    expect(ui.field("Plan")).to_contain_text("What to back up.")
    expect(ui.field("Counts as (Optional)")).to_contain_text("manual")
    assert ui.options("Plan") == ["clicked-ledger", "clicked-orders"]
    ui.pick("Plan", "clicked-orders")
    ui.submit()
    ui.wait_for("Completed")
    expect(ui.page.locator("body")).to_contain_text("clicked-orders manual")
    ui.page.reload()  # the page, open since before they began, knows of no steps
    for step in ("seal", "copy-clicked-far", "prove"):
        ui.open_tab("Artifacts", ui.artifact(f"clicked-orders-{step}"))
    article = ui.open_artifact("clicked-orders-backup")
    newest, earlier = catalog.backups(site.fleet, "clicked-orders")
    manifest, _ = catalog.manifest(site.fleet, "clicked-orders", newest.id)
    assert (newest.kind, newest.proven_at is not None, earlier.kind) == ("manual", True, "daily")
    for said in (
        "proven: it came back",
        newest.id,
        "Against earlier backups",
        "the one before",
        "clicked-near",
        "clicked-far",
        words.size(manifest.stored_bytes),
    ):
        expect(article).to_contain_text(said)
    expect(article.get_by_alt_text("Archive sizes, oldest first")).to_be_visible()
    expect(article.get_by_alt_text("The phases on a time line")).to_be_visible()


def test_a_verification_is_started_for_a_copy_from_a_list(site: Site, ui: Ui) -> None:
    ui.find_deployment(f"{FLEET}.verification")
    ui.open_form()
    ui.pick("Plan", "clicked-orders")
    ui.pick("Copy in store (Optional)", "clicked-near")
    ui.submit()
    ui.wait_for("Completed")
    article = ui.open_artifact("clicked-orders-verification")
    expect(article).to_contain_text("proven")
    expect(article).to_contain_text("clicked-near")


def test_a_wrong_value_is_refused_in_the_form_and_starts_nothing(site: Site, ui: Ui) -> None:
    ui.find_deployment(f"{FLEET}.verification")
    ui.open_form()
    ui.submit_in_vain("'plan' is a required property")
    ui.pick("Plan", "clicked-orders")
    ui.write("Backup (Optional)", "yesterday")
    ui.submit_in_vain("'yesterday' does not match")
    assert _runs_with("yesterday") == []


def test_a_plan_s_deployment_says_what_it_does_and_its_form_is_filled_in(site: Site, ui: Ui) -> None:
    ui.find_deployment("clicked-orders-backup")
    said = ui.page.get_by_role("tabpanel")
    ui.open_tab("Description", ui.page.get_by_text("How a run ends."))
    for text in ("sealed into clicked-near, copied to clicked-far", "clicked-orders-backup", "Degraded"):
        expect(said).to_contain_text(text)
    dialog = ui.open_quick_run()
    expect(dialog).to_contain_text("What to back up.")
    for value in ("clicked-orders", "manual"):
        expect(dialog.get_by_role("button", name=value, exact=True)).to_be_visible()


def test_a_recovery_test_is_started_by_clicking_and_its_report_is_pulled(site: Site, ui: Ui, tmp_path: Path) -> None:
    newest = _proven(site)
    ui.find_deployment("clicked-orders-recovery-test")
    said = ui.page.get_by_role("tabpanel")
    ui.open_tab("Description", ui.page.get_by_text("How a run ends."))
    expect(said).to_contain_text("Nothing live is touched.")
    ui.find_deployment(f"{FLEET}.recovery-test")
    ui.open_form()
    ui.pick("Plan", "clicked-orders")
    ui.submit()
    ui.wait_for("Degraded")  # without an application not all of it can be run, and that is no pass
    article = ui.open_artifact("clicked-orders-recovery-test")
    for text in ("recovery test incomplete", newest, "Documentation accurate", "of the runbook were executed"):
        expect(article).to_contain_text(text)
    (tmp_path / "fleet.yaml").write_text(written(site.fleet.spec))
    asked = [
        "--fleet",
        str(tmp_path / "fleet.yaml"),
        "reports",
        "pull",
        "--plan",
        "clicked-orders",
        "--to",
        str(tmp_path),
    ]
    pulled = CliRunner().invoke(main, [*asked, "--format", "html"], prog_name="backproof")
    assert pulled.exit_code == 0, pulled.output
    [page] = tmp_path.rglob("*.html")
    assert "recovery-test_" in page.read_text()


def test_a_recovery_is_started_approved_and_read_by_clicking(site: Site, ui: Ui) -> None:
    backup, live = _proven(site), site.fleet.target("clicked-orders")
    execute(live, "DELETE FROM customers WHERE id > 7")
    ui.find_deployment(f"{FLEET}.recovery")
    ui.open_form()
    ui.pick("Plan", "clicked-orders")
    ui.write("Reason", "customers were deleted")
    ui.submit()
    ui.wait_for("Paused")
    form = ui.open_approval()
    for text in (f"{live.database} would be replaced", backup, "would be lost"):
        expect(form).to_contain_text(text)
    ui.write("Name of the database that is replaced", live.database)
    ui.pick("Replace it?", "yes")
    ui.write("Who you are", "the person on duty")
    assert execute(live, "SELECT count(*) FROM customers") == [(7,)], "nothing is done before"
    ui.approve()
    ui.wait_for("Completed")
    assert execute(live, "SELECT count(*) FROM customers") == [(500,)]
    article = ui.open_artifact("clicked-orders-recovery", says="clicked-orders is recovered")
    for text in (
        "clicked-orders is recovered",
        "customers were deleted",
        "the person on duty",
        f"{live.database}_before",
    ):
        expect(article).to_contain_text(text)
    aside = execute(live, f"SELECT datname::text FROM pg_database WHERE datname LIKE '{live.database}\\_before%'")
    for (name,) in aside:
        site.fleet.engine("clicked-orders").drop(live.to(name))


def _proven(site: Site) -> str:
    """The newest backup of the plan, proven by its copy."""
    newest, *_ = catalog.backups(site.fleet, "clicked-orders")
    if "clicked-far" not in [each.store for each in newest.copies if each.manifest]:
        copy(site.fleet, "clicked-orders", newest.id, "clicked-near", "clicked-far")
    assert prove(site.fleet, "clicked-orders", newest.id, "clicked-far").verdict == "passed"
    return newest.id


def _described(target: Target, home: Path) -> dict[str, Any]:
    stores = {f"clicked-{name}": {"type": "local", "path": str(home / name)} for name in ("near", "far")}
    fleet = described(target, home, stores)
    [database], [ring] = fleet["databases"].values(), fleet["keys"].values()
    plan = {"database": "clicked-db", "key": "clicked-key", "stores": list(stores), "schedules": NEVER}
    return fleet | {
        "fleet": FLEET,
        "databases": {"clicked-db": database},
        "keys": {"clicked-key": ring},
        "plans": {"clicked-orders": plan, "clicked-ledger": plan},
    }


def _runs_with(backup: str) -> list[Any]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return [run for run in client.read_flow_runs() if run.parameters.get("backup") == backup]
