"""When a plan is overdue, which automations a fleet has, and that no text of them can be taken for something else."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
import yaml
from prefect.server.events.actions import JinjaTemplateAction
from prefect.server.utilities.user_templates import render_user_template_sync, validate_user_template

from backproof.alarms import overdue_sentence, recovery_point
from backproof.errors import StoreUnavailable
from backproof.fleet import FleetSpec, ObjectivesSpec, parse
from backproof.operations.stand import newest_proven, stand
from backproof.records import Backup
from deployments.apply import alert_rules, alert_texts
from tests.support.fleets import PLAN, built, described, key
from tests.support.histories import NOWHERE, days_ago, put

NOW = datetime(2025, 11, 8, 4, 0, tzinfo=UTC)
LIMIT = timedelta(hours=26)
OBJECTIVES = ObjectivesSpec()


def backup(taken_at: datetime) -> Backup:
    return Backup(plan=PLAN, id="backup_x", kind="daily", taken_at=taken_at, copies=(), proven_at=NOW)


@pytest.mark.parametrize(("age", "overdue"), [(LIMIT - timedelta(seconds=1), False), (LIMIT, True)])
def test_age_counts_from_the_snapshot(age: timedelta, overdue: bool) -> None:
    found = recovery_point(PLAN, backup(NOW - age), NOW, OBJECTIVES, NOW)
    assert (found.overdue, found.due, found.since) == (overdue, NOW - age + LIMIT, NOW - age)


@pytest.mark.parametrize(("age", "overdue"), [(LIMIT - timedelta(seconds=1), False), (LIMIT, True)])
def test_a_plan_that_never_had_a_backup_counts_from_its_first_day(age: timedelta, overdue: bool) -> None:
    found = recovery_point(PLAN, None, NOW - age, OBJECTIVES, NOW, ("Store far could not be asked: it is away.",))
    assert found.overdue == overdue
    assert overdue_sentence(found).startswith("There is no proven backup of shop, which was first applied at 2025-11-")
    assert overdue_sentence(found).endswith("Store far could not be asked: it is away.")


def test_the_stores_say_which_backup_is_the_newest_proven_one(tmp_path: Path) -> None:
    fleet = built(described(NOWHERE, tmp_path), tmp_path)
    assert newest_proven(fleet, PLAN) == (None, ())
    put(fleet, days_ago(3))
    later = days_ago(2)
    put(fleet, later)
    newest, doubts = newest_proven(fleet, PLAN)
    assert newest is not None
    assert (newest.taken_at, doubts) == (later, ())
    assert stand(fleet, PLAN, NOW, lambda: days_ago(0)).overdue
    (tmp_path / "far").rename(tmp_path / "gone")
    (tmp_path / "far").write_text("no folder")
    assert newest_proven(fleet, PLAN)[0] == newest.model_copy(update={"copies": newest.copies[:1]})


def test_a_safety_backup_keeps_no_promise(tmp_path: Path) -> None:
    """It holds what a recovery was to undo."""
    fleet = built(described(NOWHERE, tmp_path), tmp_path)
    put(fleet, days_ago(1), "safety")
    assert newest_proven(fleet, PLAN) == (None, ())
    proven = days_ago(3)
    put(fleet, proven)
    found = stand(fleet, PLAN, NOW, lambda: days_ago(0))
    assert (found.since, found.overdue) == (proven, True)


def test_a_backup_from_the_future_keeps_no_promise(tmp_path: Path) -> None:
    """It would for as long as the clock was wrong, and nobody would hear of anything."""
    fleet = built(described(NOWHERE, tmp_path), tmp_path)
    now, proven = days_ago(0), days_ago(9)
    put(fleet, proven)
    put(fleet, days_ago(-400))
    found = stand(fleet, PLAN, NOW, lambda: now)
    assert (found.since, found.overdue) == (proven, True)
    assert "from the future, and does not count" in overdue_sentence(found)


def test_stores_of_which_none_can_be_asked_are_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = built(described(NOWHERE, tmp_path), tmp_path)

    def away(*_: object) -> None:
        raise StoreUnavailable("it is away", "Wait.")

    for store in fleet.stores(PLAN):
        monkeypatch.setattr(type(store), "list", away)
    with pytest.raises(StoreUnavailable):
        newest_proven(fleet, PLAN)


def fleet(number: int, **changed: object) -> FleetSpec:
    document = {
        "fleet": "shop-prod",
        "signing": {"private_key": key()},
        "stores": {"local": {"type": "local", "path": "/srv"}},
        "databases": {"db": {"engine": "postgresql", "port": 1, "name": "shop", "user": "u"}},
        "notify": {"failure": ["ops"]},
        "notifications": {"ops": {"type": "slack", "url": "https://hooks.slack.com/services/T/B/c"}},
        "plans": {f"plan-{each}": {"database": "db", "encryption": "none"} for each in range(number)},
    }
    return parse(yaml.safe_dump(document | changed), {}, Path("/srv/fleet.yaml"))


def ids(spec: FleetSpec) -> dict[str, UUID]:
    return {name: uuid4() for name in alert_rules.targets(spec)}


def test_a_thousand_plans_share_a_handful_of_automations() -> None:
    spec = fleet(1000)
    rules = alert_rules.rules(spec, ids(spec), None)
    assert sorted(rules) == [
        "shop-prod: late runs of the whole fleet to ops",
        "shop-prod: late runs to ops",
        "shop-prod: outlook to ops",
        "shop-prod: overdue, no worker to ops",
        "shop-prod: trouble of the whole fleet to ops",
        "shop-prod: trouble to ops",
    ]
    tags = rules["shop-prod: trouble to ops"].trigger.match_related
    assert len(tags[1].root["prefect.resource.id"]) == 1000


def test_a_plan_says_for_itself_whom_to_tell_and_what_it_leaves_out_is_the_fleets() -> None:
    levels = [{"name": "on-call", "notify": ["pager"]}]
    own = {"database": "db", "encryption": "none", "notify": {"failure": ["team"]}, "escalation": levels}
    plans = {"plan-0": {"database": "db", "encryption": "none"}, "own": own}
    plans["quiet"] = {"database": "db", "encryption": "none", "notify": {"failure": []}}
    spec = fleet(0, plans=plans, escalation=[])
    assert spec.plans["plan-0"].notify.failure == ("ops",)
    assert alert_rules.targets(spec) == ["ops", "team"]
    deployment = uuid4()
    rules = alert_rules.rules(spec, ids(spec), deployment)
    assert "shop-prod: trouble and escalation to team" in rules
    [action] = rules["shop-prod: escalation"].actions
    assert action.deployment_id == deployment
    flows = rules["shop-prod: escalation"].trigger.match_related[-1].root["prefect.resource.name"]
    assert {"backup", "verification", "recovery"} <= set(flows)
    assert not any("quiet" in rule.model_dump_json() for rule in rules.values())


def test_names_that_are_long_together_are_cut_and_stay_apart() -> None:
    many = [f"target-number-{number}" for number in range(12)]
    spec = fleet(1, notify={"failure": many})
    other = fleet(1, notify={"failure": [*many, "target-number-13"]})
    names = {*alert_rules.rules(spec, ids(spec), None), *alert_rules.rules(other, ids(other), None)}
    assert len(names) == 12
    assert max(map(len, names)) <= 120


TEMPLATES = [
    alert_texts.trouble("shop-prod", escalates=True),
    alert_texts.trouble("shop-prod", escalates=False),
    alert_texts.waiting("shop-prod"),
    alert_texts.proven("shop-prod"),
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_prefect_takes_every_template(template: alert_texts.Template) -> None:
    JinjaTemplateAction._register_filters_if_needed()
    validate_user_template(template.subject)
    validate_user_template(template.body)


def rendered(state: str, message: str, plan: str | None = "shop") -> str:
    JinjaTemplateAction._register_filters_if_needed()
    resource = {"prefect.state-name": state, "prefect.state-message": message, "prefect.resource.name": "shop daily"}
    run = SimpleNamespace(id=UUID(int=0x3F9A1C2B), parameters={"plan": plan} if plan else {"fleet": "shop-prod"})
    context = {"event": SimpleNamespace(resource=resource, occurred=NOW), "flow_run": run}
    body = alert_texts.trouble("shop-prod", escalates=True).body.replace(" | ui_url", "")
    return render_user_template_sync(body, context)


RAISED = "Flow run encountered an exception: "


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (f"{RAISED}BadSignature: it is not signed. Use another copy.", "What: it is not signed. Use another copy."),
        (f"{RAISED}AccessDenied: {{{{ 7 * 7 }}}} {{% x %}}", "What: { { 7 * 7 }} {% x %}"),
        (
            f"{RAISED}OperationalError: password=hunter2",
            "What: OperationalError: an error that Backproof does not know.",
        ),
        (f"{RAISED}ValueError", "What: ValueError: an error that Backproof does not know."),
        ("The proof of backup_x failed. TABLE DATA differs: rows.", "What: The proof of backup_x failed. TABLE DATA"),
    ],
)
def test_an_error_of_ours_is_told_and_of_any_other_its_kind_alone(message: str, told: str) -> None:
    said = rendered("Failed", message)
    assert told in said
    assert "hunter2" not in said
    assert "backproof ack shop-3f9a1c2b" in said


def test_every_state_says_what_to_do() -> None:
    for state in ("Failed", "TimedOut", "Crashed", "Degraded", "Overdue"):
        said = rendered(state, "x")
        for line in ("Plan: shop\n", "\nWhat: ", "\nSince: ", "\nWhat to do: "):
            assert line in said
    assert rendered("Degraded", "a plan failed", plan=None).startswith("Plan: fleet shop-prod\nWhat: a plan failed\n")
