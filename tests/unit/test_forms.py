"""What a person finds at a deployment: pure, so tested without a server."""

import re
from typing import Any

import pytest
import yaml
from prefect.utilities.callables import parameter_schema

from backproof.fleet import FleetSpec, parse
from deployments.apply import forms, what_runs
from flows.fields import shown
from flows.verification import verification
from tests.support.fleets import described
from tests.unit.test_catalog import NOWHERE


@pytest.fixture
def spec(tmp_path: Any) -> FleetSpec:
    return parse(yaml.safe_dump(described(NOWHERE, tmp_path)), {}, tmp_path / "fleet.yaml")


@pytest.mark.parametrize("flow", [*what_runs.BY_HAND, *what_runs.FOR_ALL], ids=lambda flow: flow.name)
def test_every_parameter_has_a_title_of_its_own_and_a_sentence(flow: Any) -> None:
    fields = parameter_schema(flow).properties
    assert fields
    for name, field in fields.items():
        assert field["title"][0].isupper(), name
        assert re.fullmatch(r".*[.]", field["description"], re.DOTALL), name


def test_a_flow_takes_its_parameters_as_before(spec: FleetSpec) -> None:
    given = {"plan": "shop", "backup": "no id at all", "store": None}
    assert verification.validate_parameters(given) == given, "what is no id is told by the flow, with what there is"


def test_plans_and_stores_are_lists_and_nothing_picked_is_nothing_sent() -> None:
    fields = parameter_schema(verification).model_dump(mode="json")["properties"]
    forms.offer(fields, "tests", ["b", "a"], ["near", "far"])
    assert fields["plan"]["enum"] == ["a", "b"]
    assert fields["store"]["enum"] == ["far", "near"]
    assert not {"anyOf", "default"} & fields["store"].keys()
    assert fields["store"]["title"] == "Copy in store"


def test_a_form_that_asks_for_several_plans_lists_them() -> None:
    fields: dict[str, Any] = {"plans": {"type": "array", "items": {"type": "string"}}}
    forms.offer(fields, "tests", ["b", "a"], [])
    assert fields["plans"]["items"]["enum"] == ["a", "b"]


@pytest.mark.parametrize(
    ("typed", "taken"),
    [("latest", True), ("latest-proven", True), ("backup_2025-11-07_020000", True), ("yesterday", False), ("", False)],
)
def test_the_form_refuses_what_is_no_backup_id(typed: str, taken: bool) -> None:
    pattern = parameter_schema(verification).properties["backup"]["pattern"]
    assert bool(re.search(pattern, typed)) == taken


def test_a_description_says_what_is_backed_up_where_to_and_what_a_run_leaves(spec: FleetSpec) -> None:
    text = forms.plan_backup(spec, "shop")
    for said in ("**shop-db** (postgresql)", "sealed into **near**, copied to **far**", "`shop-backup`", "*Degraded*"):
        assert said in text
    assert "in **far** on a throwaway server" in text


def test_the_form_of_a_plan_offers_that_plan_alone(spec: FleetSpec) -> None:
    fields = {thing.name: thing.fields["form"]["properties"] for thing in what_runs.deployments(spec)}
    assert fields["backup/shop-backup"]["plan"]["enum"] == ["shop"]
    assert fields["retention/tests.retention"]["fleet"]["enum"] == ["tests"]


def test_what_is_started_by_hand_says_how(spec: FleetSpec) -> None:
    text = forms.by_hand(spec, "verification", "Prove it.")
    assert text.startswith("Prove it.\n\n**How.** **Run**, then **Custom run**")
    assert "fleet **tests**" in text


def test_a_shown_parameter_keeps_what_else_is_said_of_it() -> None:
    assert shown("Title", pattern="x").json_schema_extra == {"title": "Title", "pattern": "x"}
