"""``backproof recovery-test``: with which status it ends, and what it says of a store that lacks the report."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from deployments.cli import main, rehearsing
from flows.record import RecoveryTestRun
from tests.support.documents import check_keys, example
from tests.support.recovery_tests import failed, recovery_test

LACKS = "store far has no report of recovery-test_2026-01-06_090000, or not all of it: …"


@pytest.mark.parametrize(
    ("record", "problems", "status"),
    [
        (recovery_test(), (), 0),
        (recovery_test(), (LACKS,), 3),
        (recovery_test(verdict="incomplete"), (LACKS,), 4),
        (failed(), (LACKS,), 1),
    ],
)
def test_it_ends_with_the_status_of_its_verdict_and_is_degraded_where_a_store_lacks_the_report(
    monkeypatch: pytest.MonkeyPatch, record: Any, problems: tuple[str, ...], status: int
) -> None:
    run = RecoveryTestRun(recovery_test=record, problems=problems)
    monkeypatch.setattr(rehearsing, "prepare", lambda *_, **__: None)
    monkeypatch.setattr(rehearsing, "result", lambda *_: run.model_dump(mode="json"))
    told = CliRunner().invoke(main, ["--json", "recovery-test", "shop"], prog_name="backproof")
    assert told.exit_code == status, told.output
    assert [f"warning: {each}" for each in problems] == told.stderr.splitlines()
    document = json.loads(told.stdout)
    assert document["problems"] == list(problems)
    check_keys(document, example("recovery-test"))
