"""Recoveries at a terminal, on folder stores: what is said of one that nobody knows."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from deployments.cli import main
from tests.support.fleets import PLAN, described
from tests.support.histories import NOWHERE


@pytest.mark.parametrize(
    "command", [("rollback", "--reason", "x"), ("recovery", "show"), ("recovery", "give-up", "--reason", "x", "--yes")]
)
def test_a_recovery_that_no_plan_has_is_told_of_every_plan(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    description = described(NOWHERE, tmp_path)
    description["plans"]["blog"] = description["plans"][PLAN]
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(description))
    asked = ["--fleet", str(tmp_path / "fleet.yaml"), *command, "recovery_2026-01-01_000000"]
    result = CliRunner().invoke(main, asked, prog_name="backproof")
    assert result.exit_code == 1
    assert "no plan has a recovery recovery_2026-01-01_000000" in result.stderr
    assert [f"plan {plan} has no recovery" in result.stderr for plan in (PLAN, "blog")] == [True, True]
    asked.append(f"--plan={PLAN}")
    alone = CliRunner().invoke(main, asked, prog_name="backproof")
    assert "no plan has" not in alone.stderr
    assert f"plan {PLAN} has no recovery" in alone.stderr
