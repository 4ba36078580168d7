"""What apply and check warn of, and what they keep quiet about."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from backproof.errors import ConfigurationError
from backproof.fleet import FleetSpec, parse
from backproof.fleet.advice import advice
from deployments.apply import job_templates
from deployments.apply.things import Thing, compare

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
KEY = base64.b64encode(b"k" * 32).decode()
ESCROW = "-----BEGIN PUBLIC KEY-----\n…"
ALL_IS_WELL: dict[str, Any] = {
    "fleet": "shop-prod",
    "signing": {"private_key": KEY},
    "keys": {"main": {"aes256": KEY, "escrow_public_key": ESCROW}},
    "stores": {
        "local": {"type": "local", "path": "/srv/backups"},
        "primary": {"type": "s3", "bucket": "a", "region": "eu-west-1"},
        "secondary": {"type": "s3", "bucket": "b", "region": "us-east-1"},
    },
    "databases": {"shop-db": {"engine": "postgresql", "port": 5432, "name": "shop", "user": "u"}},
    "plans": {"shop": {"database": "shop-db"}},
}


def fleet(**parts: Any) -> FleetSpec:
    return parse(yaml.safe_dump({**ALL_IS_WELL, **parts}), {}, Path("/srv/fleet.yaml"))


def plan(**more: Any) -> dict[str, Any]:
    return {"shop": {"database": "shop-db", **more}}


def test_a_fleet_of_defaults_in_two_regions_is_told_nothing() -> None:
    assert advice(fleet(), NOW) == []


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"keys": {"main": {"aes256": KEY}}}, "plan shop has no escrow key"),
        (
            {"keys": {"main": {"aes256": KEY, "escrow_private_key": "escrow-private.pem"}}},
            "seals no new backup for the escrow key",
        ),
        ({"plans": plan(encryption="none"), "keys": {}}, "whoever reaches a store can read"),
        ({"plans": plan(objectives={"rpo": "12h"})}, "there is no backup for 1d"),
        (
            {"plans": plan(schedules={"daily": "0 2 * * MON-FRI"})},
            "from 2026-11-27 02:00 UTC there is no backup for 3d",
        ),
        ({"timezone": "Europe/Amsterdam"}, "can't meet its RPO of 1d"),
        ({"plans": plan(schedules={"daily": [], "monthly": []})}, "plan shop has no schedule"),
        ({"plans": plan(schedules={"daily": "0 0 29 2 *", "monthly": []})}, "at most once"),
        ({"plans": plan(schedules={"recovery_test": "0 9 13 * FRI"})}, "('0 9 13 * FRI') a week before"),
        ({"work_pool": {"type": "ecs"}}, "runs of a ecs work pool live on a machine that does not last"),
        ({"stores": {"local": {"type": "local", "path": "/tmp/backups"}}}, "a folder that the system empties"),
        (
            {"stores": {name: {"type": "s3", "bucket": name, "region": "eu-west-1"} for name in ("one", "two")}},
            "stores one and two of plan shop are both in region eu-west-1: one outage takes both",
        ),
    ],
)
def test_each_danger_is_told_once(parts: dict[str, Any], told: str) -> None:
    warnings = advice(fleet(**parts), NOW)
    assert len(warnings) == 1
    assert told in warnings[0]


def test_one_region_at_two_endpoints_is_two_places() -> None:
    stores = {
        name: {"type": "s3", "bucket": "b", "region": "eu-west-1", "endpoint_url": f"http://{name}:1"}
        for name in ("one", "two")
    }
    assert advice(fleet(stores=stores), NOW) == []


def test_what_is_so_of_many_plans_is_told_once() -> None:
    plans = {f"plan-{number}": {"database": "shop-db", "objectives": {"rpo": "6h"}} for number in range(30)}
    [warning] = advice(fleet(plans=plans), NOW)
    assert warning.startswith("plan plan-0: its schedules can't meet its RPO of 6h")
    assert "29 more plans" in warning


SETTINGS: dict[str, dict[str, Any]] = {
    "process": {"working_dir": "/srv", "stream_output": True},
    "docker": {"image": "backproof:1", "volumes": ["/srv/backups:/srv/backups"], "image_pull_policy": "IfNotPresent"},
    "kubernetes": {"image": "backproof:1", "namespace": "backups", "finished_job_ttl": 3600},
    "ecs": {"image": "backproof:1", "cluster": "backups", "cpu": 2048, "memory": 4096, "launch_type": "FARGATE"},
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings_become_defaults_of_each_types_job_template(kind: str) -> None:
    made = job_templates.template(kind, SETTINGS[kind])
    assert job_templates.defaults(made, SETTINGS[kind]) == SETTINGS[kind]
    assert job_templates.template(kind, {}) != made, "the template itself stays as it was"


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        ("process", {"image": "x"}, "image is no setting of a process pool"),
        ("kubernetes", {"finished_job_ttl": "soon"}, "work_pool.settings"),
        ("docker", {"volumes": "one"}, "work_pool.settings"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_asked(kind: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        job_templates.template(kind, settings)


def test_prefect_aws_takes_the_settings_of_an_ecs_pool() -> None:
    from prefect_aws.workers.ecs_worker import ECSJobConfiguration, ECSVariables

    ECSVariables(**SETTINGS["ecs"])
    made = job_templates.template("ecs", SETTINGS["ecs"])
    own = ECSJobConfiguration.json_template()
    assert made["job_configuration"].keys() >= {"task_definition", "cluster"}
    assert set(own) >= {"task_definition", "cluster"}


def test_a_secret_that_differs_is_told_by_name_alone() -> None:
    wanted = Thing("block", "x", {"password": "new", "port": 1}, frozenset({"password"}))
    found = Thing("block", "x", {"password": "old", "port": 1}, frozenset({"password"}))
    changes, gone, right = compare([wanted], [found])
    assert ([len(changes), gone, right], "new" in repr(changes[0].differences)) == ([1, [], 0], False)
    assert changes[0].differences[0].field == "password"
