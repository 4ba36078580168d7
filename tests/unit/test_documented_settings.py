"""docs/fleet.md tells of every key of fleet.yaml what the specs say: name, default, meaning."""

import ast
import inspect
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from backproof.fleet import notifications, recovery_test_specs, specs
from backproof.fleet.fields import Spec
from backproof.fleet.whole import FleetSpec

FLEET = Path(__file__).parents[2] / "docs" / "fleet.md"
SECTIONS: dict[str, type[Spec]] = {
    "The whole": FleetSpec,
    "schedules": specs.FleetSchedulesSpec,
    "work_pool": specs.WorkPoolSpec,
    "signing": specs.SigningSpec,
    "keys.NAME": specs.KeyRingSpec,
    "credentials.NAME": specs.CredentialsSpec,
    "stores.NAME, type: local": specs.LocalStoreSpec,
    "stores.NAME, type: s3": specs.S3StoreSpec,
    "databases.NAME": specs.DatabaseSpec,
    "databases.NAME.admin": specs.AdminSpec,
    "plans.NAME": specs.PlanSpec,
    "plans.NAME.schedules": specs.SchedulesSpec,
    "plans.NAME.retention": specs.RetentionSpec,
    "plans.NAME.objectives": specs.ObjectivesSpec,
    "plans.NAME.objectives.rto": specs.RecoveryTimesSpec,
    "plans.NAME.checks": specs.CheckSpec,
    "plans.NAME.accept": specs.AcceptSpec,
    "plans.NAME.application": specs.ApplicationSpec,
    "plans.NAME.application.watch": specs.WatchSpec,
    "plans.NAME.recovery_test": specs.RecoveryTestSpec,
    "plans.NAME.recovery_test.staging": recovery_test_specs.StagingSpec,
    "plans.NAME.notify": specs.NotifySpec,
    "plans.NAME.escalation": specs.LevelSpec,
    **{f"notifications.NAME, type: {kind}": model for kind, model in notifications.KINDS.items()},
}


def table(model: type[Spec]) -> str:
    """What the section of one spec must hold."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    said = meanings(model)
    return "\n".join([*rows, *(row(model, name, field, said) for name, field in model.model_fields.items())])


def meanings(model: type[Spec]) -> dict[str, str]:
    """What the source says below each field. Pydantic can find it too, at each start of each command."""
    said: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, Spec):
            (written,) = ast.parse(inspect.getsource(kind)).body
            assert isinstance(written, ast.ClassDef)
            for field, below in pairwise(written.body):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    match below:
                        case ast.Expr(ast.Constant(str(text))):
                            said[field.target.id] = inspect.cleandoc(text)
    return said


def row(model: type[Spec], name: str, field: FieldInfo, said: dict[str, str]) -> str:
    meaning = said.get(name, "").replace("\n", " ").replace("``", "`").replace("|", "\\|")
    return f"| `{name}` | {default(model, name, field)} | {meaning} |"


def default(model: type[Spec], name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value: Any = field.get_default(call_default_factory=True)
    assert value is not PydanticUndefined
    if isinstance(value, Spec):
        return "see below"
    # as a saved fleet spells it: a duration is 30d again
    spelled = model.model_construct(**{name: value}).model_dump(mode="json", include={name})[name]
    if spelled in (None, "", [], {}):
        return "none"
    shown = ", ".join(f"`{each}`" for each in (spelled if isinstance(spelled, list) else [spelled]))
    return shown.replace("|", "\\|")


def sections() -> dict[str, str]:
    parts = FLEET.read_text().split("\n## ")[1:]
    return dict(part.split("\n", 1) for part in parts)


def test_every_spec_has_its_section() -> None:
    models = {model for model in vars(specs).values() if isinstance(model, type) and issubclass(model, Spec)}
    assert models - {Spec, specs.FleetSettings} <= set(SECTIONS.values())


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_holds_every_key_with_its_default_and_meaning(title: str) -> None:
    assert table(SECTIONS[title]) in sections()[title], (
        f"docs/fleet.md, section {title}, should hold:\n{table(SECTIONS[title])}"
    )


def test_the_example_in_the_document_loads() -> None:
    from backproof.fleet import parse

    example = FLEET.read_text().split("```yaml\n", 1)[1].split("```", 1)[0]
    key = "A" * 43 + "="
    names = ("BACKPROOF_KEY", "BACKPROOF_SIGNING_KEY", "SHOP_PASSWORD", "SHOP_ADMIN_PASSWORD", "AWS_ID", "AWS_SECRET")
    names += ("OPS_TOKEN", "PAGER_KEY", "PAGER_API_KEY")
    assert parse(example, dict.fromkeys(names, key), FLEET).plans.keys() == {"shop"}


def test_every_field_of_every_spec_has_a_meaning() -> None:
    named = {each for each in vars(specs).values() if isinstance(each, type) and issubclass(each, Spec)}
    for model in named | set(SECTIONS.values()):
        said = meanings(model)
        assert [name for name in model.model_fields if not said.get(name)] == [], model.__name__
