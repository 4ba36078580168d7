"""fleet.yaml: what a plan does not need has a default; what is wrong is named by its place, and never repeated."""

import base64
import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backproof.errors import AccessDenied, ConfigurationError, NotFound
from backproof.fleet import DatabaseSpec, Fleet, FleetSpec, KeyRingSpec, LocalStoreSpec, PlanSpec, parse
from backproof.fleet import load as load_file
from backproof.fleet.environment import expand

CANARY = "canary-Zq8vX2"
ENVIRONMENT = {
    "BACKPROOF_SIGNING_KEY": base64.b64encode(b"s" * 32).decode(),
    "BACKPROOF_KEY": base64.b64encode(b"k" * 32).decode(),
    "SHOP_PASSWORD": CANARY,
    "SHOP_ADMIN_PASSWORD": CANARY,
    "AWS_ID": "AKIAEXAMPLE",
    "AWS_SECRET": CANARY,
}
SMALL = """
fleet: shop-prod
signing: {private_key: "${BACKPROOF_SIGNING_KEY}"}
keys:
  main: {aes256: "${BACKPROOF_KEY}"}
databases:
  shop-db: {engine: postgresql, port: 5432, name: shop, user: backup, password: "${SHOP_PASSWORD}"}
stores:
  local: {type: local, path: backups}
plans:
  shop: {database: shop-db}
"""
WHOLE = """
fleet: shop-prod
timezone: UTC
signing: {private_key: "${BACKPROOF_SIGNING_KEY}"}
keys:
  main: {aes256: "${BACKPROOF_KEY}", escrow_public_key: keys/escrow.pem}
credentials:
  aws: {access_key_id: "${AWS_ID}", secret_access_key: "${AWS_SECRET}"}
stores:
  local:     {type: local, path: storage/app/backups}
  primary:   {type: s3, bucket: shop-backups, region: eu-west-1, credentials: aws}
  secondary: {type: s3, bucket: shop-backups-dr, region: us-east-1, credentials: aws}
databases:
  shop-db:
    engine: postgresql
    host: 127.0.0.1
    port: 5432
    name: shop
    user: backup
    password: "${SHOP_PASSWORD}"
    admin: {user: postgres, password: "${SHOP_ADMIN_PASSWORD}"}
plans:
  shop:
    database: shop-db
    stores: [local, primary, secondary]
    key: main
    schedules: {daily: "0 2 * * *", monthly: "0 3 1 * *", recovery_test: "0 9 * 1,4,7,10 TUE#1"}
    retention: {daily: 30d, monthly: 1y, safety: 30d, manual: keep}
    minimum_proven: 2
    objectives: {rpo: 24h, grace: 2h, rto: {small: 30m, medium: 60m, large: 3h}}
    checks:
      - {name: recent orders, sql: "SELECT count(*) FROM orders WHERE placed_at > :taken_at", expect: "> 0"}
    accept: []
    application:
      directory: /srv/shop
      maintenance_on: ["php", "artisan", "down"]
      maintenance_off: ["php", "artisan", "up"]
      commands: [["php", "artisan", "migrate:status"]]
      tests: [["php", "artisan", "test", "--filter=CriticalTest"]]
      health_url: http://127.0.0.1:8000/up
    notify: {failure: [ops-webhook], success: [], report: [stakeholders-email]}
"""


def load(
    text: str, environment: dict[str, str] = ENVIRONMENT, path: Path = Path("/etc/backproof/fleet.yaml")
) -> FleetSpec:
    return parse(text, environment, path)


def refusal(text: str, environment: dict[str, str] = ENVIRONMENT) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(text, environment)
    assert CANARY not in str(caught.value)
    return caught.value.fact


def changed(old: str, new: str, text: str = SMALL) -> str:
    assert old in text
    return text.replace(old, new)


def test_the_example_of_the_design_loads_as_it_stands() -> None:
    shop = load(WHOLE).plans["shop"]
    assert shop.stores == ("local", "primary", "secondary")
    assert shop.schedules.recovery_test == ("0 9 * 1,4,7,10 TUE#1",)
    assert shop.retention.monthly == timedelta(days=365)
    assert shop.retention.manual is None
    assert shop.objectives.rto.medium == timedelta(hours=1)
    assert shop.application is not None
    assert shop.application.maintenance_on == ("php", "artisan", "down")


def test_a_database_one_store_and_a_key_make_a_complete_plan() -> None:
    shop = load(SMALL).plans["shop"]
    assert (shop.stores, shop.key) == (("local",), "main")
    written_out = load(WHOLE).plans["shop"]
    for defaulted in ("schedules", "retention", "minimum_proven", "objectives"):
        assert getattr(shop, defaulted) == getattr(written_out, defaulted)


def test_a_plan_that_names_no_stores_uses_all_in_the_order_of_the_file() -> None:
    text = changed(
        "stores: [local, primary, secondary]", "minimum_proven: 3", changed("    minimum_proven: 2\n", "", WHOLE)
    )
    assert load(text).plans["shop"].stores == ("local", "primary", "secondary")


def test_relative_paths_are_relative_to_the_file() -> None:
    spec = load(WHOLE)
    store = spec.stores["local"]
    assert isinstance(store, LocalStoreSpec)
    assert store.path == Path("/etc/backproof/storage/app/backups")
    assert spec.keys["main"].escrow_public_key == "/etc/backproof/keys/escrow.pem"
    assert spec.plans["shop"].application is not None
    assert spec.plans["shop"].application.directory == Path("/srv/shop")


def test_a_path_with_a_tilde_is_refused_since_only_a_shell_expands_it() -> None:
    assert "tilde" in refusal(changed("path: backups", "path: ~/backups"))


@pytest.mark.parametrize(
    ("text", "place", "meant"),
    [
        (SMALL + "plan: {}\n", "plan", "plans"),
        (changed("user: backup", "usr: backup"), "databases.shop-db.usr", "user"),
        (changed("aes256:", "aes:"), "keys.main.aes", "aes256"),
        (changed("path: backups", "path: backups, pth: x"), "stores.local.pth", "path"),
        (changed("{private_key", "{privat_key: x, private_key"), "signing.privat_key", "private_key"),
        (changed("daily: 30d", "dayly: 30d", WHOLE), "plans.shop.retention.dayly", "daily"),
        (changed("small: 30m", "smal: 30m", WHOLE), "plans.shop.objectives.rto.smal", "small"),
        (changed("expect:", "expects:", WHOLE), "plans.shop.checks.0.expects", "expect"),
        (changed("health_url", "healt_url", WHOLE), "plans.shop.application.healt_url", "health_url"),
    ],
)
def test_an_unknown_key_is_named_with_its_place_and_the_nearest_known_one(text: str, place: str, meant: str) -> None:
    assert f"{place} is unknown; did you mean '{meant}'?" in refusal(text)


def test_an_unknown_key_that_resembles_none_is_answered_with_those_there_are() -> None:
    assert "known here: aes256, credentials, endpoint_url" in refusal(changed("aes256:", "qqq:"))


def test_every_mistake_is_named_at_once() -> None:
    fact = refusal(changed("path: backups", "pth: backups", changed("port: 5432", "port: 70000")))
    for place in ("databases.shop-db.port", "stores.local.path is missing", "stores.local.pth is unknown"):
        assert place in fact


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "database: shop-db",
            "database: shop-bd",
            "plans.shop.database: no database is called 'shop-bd'; did you mean 'shop-db'?",
        ),
        (
            "database: shop-db",
            "database: shop-db, stores: [locale]",
            "plans.shop.stores: no store is called 'locale'; did you mean 'local'?",
        ),
        (
            "database: shop-db",
            "database: shop-db, key: man",
            "plans.shop.key: no key ring is called 'man'; did you mean 'main'?",
        ),
        ("database: shop-db", "database: shop-db, stores: [local, local]", "plans.shop.stores: names a store twice"),
        (
            "type: local, path: backups",
            "type: s3, bucket: b, region: r, credentials: aws",
            "stores.local.credentials: no credentials is called 'aws'",
        ),
        ("type: local", "type: ftp", "stores.local.type must be local or s3"),
        ("type: local, ", "", "stores.local.type is missing"),
        ("  shop: {", "  Shop: {", "plans.Shop must be a name of lower-case letters, digits and hyphens"),
        ("fleet: shop-prod", "fleet: shop_prod", "fleet must be a name"),
        (
            "database: shop-db",
            "database: shop-db, retention: {daily: 30}",
            "plans.shop.retention.daily: a duration needs a unit",
        ),
        (
            "database: shop-db",
            "database: shop-db, retention: {daily: 30x}",
            "plans.shop.retention.daily: '30x' is no duration",
        ),
        (
            "database: shop-db",
            "database: shop-db, objectives: {rpo: keep}",
            "plans.shop.objectives.rpo: 'keep' is no duration",
        ),
        (
            "database: shop-db",
            "database: shop-db, schedules: {daily: 0 25 * * *}",
            "plans.shop.schedules.daily.0: '0 25 * * *' is no cron schedule",
        ),
        ("database: shop-db", "database: shop-db, encryption: false", "plans.shop.encryption"),
        ("database: shop-db", "database: shop-db, minimum_proven: 0", "plans.shop.minimum_proven"),
        ("plans:", "timezone: Mars/Olympus\nplans:", "timezone: 'Mars/Olympus' is no time zone"),
        ("plans:", "lost_after: 90s\nplans:", "lost_after: must be 2m or longer"),
        ("plans:", "timezone: ../../etc/passwd\nplans:", "is no time zone"),
        ("  local: {type: local, path: backups}", "  local: backups", "stores.local must hold settings"),
    ],
)
def test_a_mistake_is_named_by_its_place(old: str, new: str, said: str) -> None:
    assert said in refusal(changed(old, new))


def test_a_key_is_needed_unless_the_plan_says_that_nothing_is_encrypted() -> None:
    keyless = changed('keys:\n  main: {aes256: "${BACKPROOF_KEY}"}\n', "")
    assert "plans.shop.key: is needed, since there is no key ring" in refusal(keyless)
    plain = load(changed("{database: shop-db}", "{database: shop-db, encryption: none}", keyless))
    assert plain.plans["shop"].key is None


def test_a_plan_that_does_not_encrypt_can_not_name_a_key() -> None:
    assert "plans.shop.key: is given" in refusal(
        changed("{database: shop-db}", "{database: shop-db, encryption: none, key: main}")
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("********", "asterisks"),
        (base64.b64encode(b"x" * 16).decode(), "16 bytes"),
        (CANARY, "no base64"),
        ("", "0 bytes"),
    ],
)
def test_a_key_that_is_none_is_refused_without_repeating_it(value: str, said: str) -> None:
    fact = refusal(SMALL, ENVIRONMENT | {"BACKPROOF_KEY": value})
    assert "keys.main.aes256" in fact
    assert said in fact


def test_secrets_show_in_no_text_of_the_spec() -> None:
    spec = load(WHOLE)
    for text in (repr(spec), str(spec), spec.model_dump_json(), repr(Fleet(spec).target("shop"))):
        assert CANARY not in text
        assert ENVIRONMENT["BACKPROOF_KEY"] not in text


def test_a_rejected_spec_does_not_repeat_its_values_even_in_pydantics_words() -> None:
    with pytest.raises(ValidationError) as caught:
        DatabaseSpec.model_validate({"engine": "postgresql", "port": CANARY, "password": [CANARY]})
    assert CANARY not in str(caught.value)


def test_a_variable_that_is_not_set_is_named_with_its_place_and_all_are_named_at_once() -> None:
    fact = refusal(SMALL, {})
    for name, place in {
        "BACKPROOF_KEY": "keys.main.aes256",
        "SHOP_PASSWORD": "databases.shop-db.password",
        "BACKPROOF_SIGNING_KEY": "signing.private_key",
    }.items():
        assert f"{place} takes its value from ${{{name}}}, which is not set" in fact


@pytest.mark.parametrize("text", ["${", "${A", "${}", "${1A}", "${A-B}", "x${A B}"])
def test_a_malformed_reference_is_an_error_with_its_place(text: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape("a.0 holds")):
        expand({"a": [text]}, {"A": "1"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "1"),
        ("x${A}y${A}", "x1y1"),
        ("$${A}", "${A}"),
        ("$$", "$"),
        ("$A", "$A"),
        ("100$", "100$"),
        ("$$$${A}", "$${A}"),
    ],
)
def test_references_are_replaced_and_a_doubled_dollar_is_one(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


@given(st.text())
def test_any_text_survives_when_its_dollars_are_doubled(text: str) -> None:
    assert expand(text.replace("$", "$$"), {}) == text


@given(st.text())
def test_what_was_put_in_is_not_read_again(value: str) -> None:
    assert expand("${A}", {"A": value}) == value


def test_yaml_that_is_none_names_its_line_and_quotes_nothing() -> None:
    fact = refusal(f"fleet: x\nkeys: {{main: {CANARY}\n  [")
    assert "line 3" in fact


def test_a_key_written_twice_is_an_error_since_yaml_would_drop_the_first() -> None:
    assert "line 12 is no YAML: 'plans' is written twice" in refusal(SMALL + "plans: {}\n")


@pytest.mark.parametrize("text", ["", "just words", "- a\n- b", "!!python/object/apply:os.getcwd []"])
def test_a_file_that_is_no_fleet_is_refused(text: str) -> None:
    assert "/etc/backproof/fleet.yaml" in refusal(text)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="backproof init"):
        load_file(tmp_path / "fleet.yaml", {})


def test_a_folder_is_no_fleet_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no text file"):
        load_file(tmp_path, {})


def test_a_fleet_reads_back_from_what_it_is_saved_as() -> None:
    plan = load(WHOLE).plans["shop"]
    assert PlanSpec.model_validate(plan.model_dump(mode="json")) == plan
    assert PlanSpec.model_validate_json(plan.model_dump_json()) == plan


def test_a_plan_that_is_not_there_is_named_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="Did you mean 'shop'"):
        Fleet(load(SMALL)).plan("shp")
    with pytest.raises(NotFound, match="There are: local"):
        Fleet(load(SMALL)).store("nowhere")


def test_a_target_is_the_reader_unless_the_admin_is_asked_for() -> None:
    fleet = Fleet(load(WHOLE))
    assert (fleet.target("shop").user, fleet.target("shop", admin=True).user) == ("backup", "postgres")
    with pytest.raises(ConfigurationError, match=re.escape("databases.shop-db.admin is missing")):
        Fleet(load(SMALL)).target("shop", admin=True)


def test_stores_come_in_the_plans_order_and_are_the_same_objects_each_time(tmp_path: Path) -> None:
    fleet = Fleet(load(WHOLE))
    assert [store.name for store in fleet.stores("shop")] == ["local", "primary", "secondary"]
    assert fleet.store("local") is fleet.store("local")


def test_building_a_fleet_touches_nothing(tmp_path: Path) -> None:
    fleet = Fleet(load(SMALL, path=tmp_path / "fleet.yaml"))
    fleet.stores("shop")
    assert list(tmp_path.iterdir()) == []


def test_the_ring_holds_current_and_earlier_keys(tmp_path: Path) -> None:
    earlier = base64.b64encode(b"e" * 32).decode()
    ring = Fleet(load(changed('"${BACKPROOF_KEY}"}', f'"${{BACKPROOF_KEY}}", old: ["{earlier}"]}}'))).ring("shop")
    assert ring is not None
    assert ring.opens[0] == ring.fingerprint
    assert len(ring.opens) == 2


ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def with_ring(ring: str) -> str:
    return changed('{aes256: "${BACKPROOF_KEY}"}', f"{{{ring}}}")


def test_a_ring_may_hold_a_key_in_kms_and_keys_of_both_kinds_from_before() -> None:
    old = base64.b64encode(b"e" * 32).decode()
    other = ARN.replace("eu-west-1", "us-east-1")
    ring = Fleet(load(with_ring(f'kms: "{ARN}", old: ["{old}"], old_kms: ["{other}"]'))).ring("shop")
    assert ring is not None
    assert ring.fingerprint == ARN
    assert len(ring.opens) == 3
    assert {ARN, other} < set(ring.opens)


@pytest.mark.parametrize(
    ("ring", "says"),
    [
        (f'aes256: "${{BACKPROOF_KEY}}", kms: "{ARN}"', "keys.main.kms: is given beside aes256"),
        ('kms: "arn:aws:kms:eu-west-1:111122223333:alias/shop"', "keys.main.kms: names an alias"),
        ("kms: 1234abcd-12ab-34cd-56ef-1234567890ab", "keys.main.kms: is no ARN"),
        (f'kms: "{ARN}", old_kms: [alias/shop]', "keys.main.old_kms.0: names an alias"),
        (f'kms: "{ARN}", credentials: asw', "main.credentials: no credentials is called 'asw'"),
    ],
)
def test_a_key_in_kms_is_named_by_its_arn_alone_and_stands_in_the_place_of_another(ring: str, says: str) -> None:
    assert says in refusal(with_ring(ring))


def test_an_escrow_key_that_is_not_there_is_named_with_its_place(tmp_path: Path) -> None:
    fleet = Fleet(load(WHOLE, path=tmp_path / "fleet.yaml"))
    with pytest.raises(NotFound, match=re.escape("keys.main.escrow_public_key: there is no file")):
        fleet.ring("shop")


def test_an_escrow_file_that_is_no_key_is_named_with_its_ring(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/escrow.pem").write_text("hello")
    with pytest.raises(ConfigurationError, match=re.escape("keys.main: the escrow public key")):
        Fleet(load(WHOLE, path=tmp_path / "fleet.yaml")).ring("shop")


def test_a_fleet_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError

    # root, as whom tests may run, reads every file
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(AccessDenied, match="cannot read"):
        load_file(tmp_path / "fleet.yaml", {})


def test_a_key_ring_may_hold_old_keys_alone() -> None:
    assert KeyRingSpec().aes256 is None
