"""What ``backproof doctor`` says of a plan, to people and to programs, and what a backup makes of the same."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from backproof.errors import BackproofError
from backproof.operations.preflight import preflight, require
from backproof.records import Finding
from deployments.cli import main
from tests.support.fleets import PLAN, built

Description = dict[str, Any]


def examine(description: Description, folder: Path) -> dict[str, Finding]:
    """The findings by check."""
    return {finding.check: finding for finding in findings(description, folder)}


def findings(description: Description, folder: Path, *options: str) -> list[Finding]:
    """What is found, after it was seen that both outputs hold all of it, every remedy, and no secret."""
    (folder / "fleet.yaml").write_text(yaml.safe_dump(description))
    command = ("--fleet", str(folder / "fleet.yaml"), "doctor", PLAN, *options)
    words = CliRunner().invoke(main, command, prog_name="backproof")
    answer = CliRunner().invoke(main, ("--json", *command), prog_name="backproof")
    document = json.loads(answer.stdout)
    found = [Finding.model_validate(each) for each in document["findings"]]
    failed = any(finding.status == "failed" for finding in found)
    assert document["ok"] is not failed
    assert (words.exit_code, answer.exit_code) == (int(failed), int(failed)), words.output
    for finding in found:
        assert not finding.found.endswith("."), "a fact is a clause"
        assert same(finding.found) in same(words.stdout)
        if finding.status != "ok":
            assert finding.remedy.endswith((".", ";")), finding
            assert same(finding.remedy) in same(words.stdout)
    for secret in _secrets(description):
        assert secret not in words.output + answer.output
    return found


def refusal(description: Description, folder: Path) -> BackproofError | None:
    """What ends a backup before it begins; None where nothing does."""
    refused = None
    try:
        require(preflight(built(description, folder), PLAN))
    except BackproofError as error:
        refused = error
    assert not any(secret in str(refused) for secret in _secrets(description))
    return refused


def same(text: str) -> str:
    """Without what may be another a second later, and however it was folded."""
    return re.sub(r"probe-[0-9a-f]+|\d+(\.\d+)?", "#", re.sub(r"\s+", "", text))


def _secrets(value: Any, key: str = "") -> list[str]:
    if isinstance(value, dict):
        return [secret for name, each in value.items() for secret in _secrets(each, name)]
    return [value] if key in ("password", "secret_access_key", "aes256", "private_key") and value else []
