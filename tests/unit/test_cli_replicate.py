"""How the end of a replication becomes an exit status, a document and words."""

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from backproof.errors import NotFound
from backproof.operations.replicate import Brought
from backproof.records import Timing
from backproof.replication import Alarm
from deployments.cli import main, runs
from flows.replication_record import PlanReplication, StoreStanding, replication_run
from tests.support.documents import check_keys, example

MOMENT = datetime(2025, 11, 8, 4, tzinfo=UTC)
BROUGHT = Brought(
    backup="backup_2025-11-07_020000",
    target="far",
    source="near",
    copied_bytes=4_213_544,
    server_side=False,
    manifest=True,
    proofs=1,
    pin=False,
    passed_over=(),
    alarms=(),
    timing=Timing(phase="replicate to far", started_at=MOMENT, elapsed_seconds=0.6, bytes=4_213_544),
)
ALARM = Alarm(
    what="damaged", backup="backup_2025-11-03_020000", stores=("far",), fact="the copy is cut", remedy="Move it."
)


def plan(outcome: Any) -> PlanReplication:
    reason = "no connection" if outcome == "degraded" else ""
    return PlanReplication(
        plan="shop",
        outcome=outcome,
        backups=31,
        brought=() if outcome == "failed" else (BROUGHT,),
        reports=0 if outcome == "failed" else 3,
        stores=()
        if outcome == "failed"
        else (
            StoreStanding(store="near", reason="", whole=31, lacking=0, behind_seconds=0.0),
            StoreStanding(store="far", reason="", whole=30, lacking=1, behind_seconds=86400.0),
            StoreStanding(store="new", reason=reason, whole=0, lacking=31, behind_seconds=None),
        ),
        alarms=(ALARM,) if outcome == "degraded" else (),
        problems=() if outcome == "complete" else ("store new could not be asked: no connection",),
        left_to_retention=(),
    )


def ended(monkeypatch: pytest.MonkeyPatch, end: Any, *arguments: str) -> tuple[Result, list[Any]]:
    """The command, its flow ending as it is told; and what the flow was asked."""
    asked: list[Any] = []

    def result(flow: object, *parameters: object) -> dict[str, Any]:
        asked.extend(parameters)
        if isinstance(end, BaseException):
            raise end
        given: dict[str, Any] = end.model_dump(mode="json")
        return given

    fleet = SimpleNamespace(spec=SimpleNamespace(fleet="shop-prod"))
    monkeypatch.setattr(runs, "prepare", lambda *given, **named: fleet)
    monkeypatch.setattr(runs, "result", result)
    return CliRunner().invoke(main, arguments, prog_name="backproof"), asked


@pytest.mark.parametrize(("outcome", "status"), [("complete", 0), ("degraded", 3), ("failed", 1)])
def test_it_ends_with_the_status_of_its_outcome(monkeypatch: pytest.MonkeyPatch, outcome: str, status: int) -> None:
    run = replication_run("shop-prod", [plan(outcome)])
    result, asked = ended(monkeypatch, run, "replicate")
    assert (result.exit_code, asked) == (status, ["shop-prod", []])
    result, asked = ended(monkeypatch, run, "--json", "replicate", "shop")
    assert (result.exit_code, asked) == (status, ["shop-prod", ["shop"]])
    document = json.loads(result.stdout)
    assert document["run"]["outcome"] == outcome
    check_keys(document, example("replicate"))


def test_it_says_how_far_each_store_is_behind_and_warns_of_what_a_person_must_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result, _ = ended(monkeypatch, replication_run("shop-prod", [plan("degraded")]), "replicate")
    assert "warning: plan shop: the copy is cut. Move it." in result.stderr
    assert "warning: plan shop: store new could not be asked: no connection" in result.stderr
    rows = [line.split(maxsplit=4) for line in result.stdout.splitlines() if line.startswith("shop")]
    assert rows == [
        ["shop", "near", "31", "0", "–"],
        ["shop", "far", "30", "1", "24 h 0 min"],
        ["shop", "new", "?", "?", "could not be asked"],
    ]
    assert "Brought: 1 archive, 4.2 MB; 1 manifest; 1 proof; 0 pins; 3 documents of recovery tests." in result.stdout


def test_one_failing_plan_degrades_the_run() -> None:
    assert replication_run("f", [plan("failed"), plan("complete")]).outcome == "degraded"
    assert replication_run("f", [plan("failed")]).outcome == "failed"
    assert replication_run("f", []).outcome == "complete"


def test_an_error_is_one_fact_and_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = ended(monkeypatch, NotFound("there is no fleet", "Make one."), "replicate")
    assert (result.exit_code, result.stderr) == (1, "error: there is no fleet.\nMake one.\n")


def test_a_plan_that_is_not_there_is_told_before_prefect_is_started(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--fleet", str(tmp_path / "fleet.yaml"), "replicate", "shop"])
    assert result.exit_code == 1
    assert "fleet.yaml" in result.stderr
