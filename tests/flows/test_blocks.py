"""A fleet in blocks on a real Prefect server: saved and loaded it is the same, and its secrets stay secret."""

from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client

import blocks
from backproof.errors import ConfigurationError, NotFound
from backproof.fleet import FleetSpec, parse
from blocks import saving
from blocks.fleet import FILE_VARIABLE
from tests.support.prefect_fixtures import text_of

pytestmark = pytest.mark.usefixtures("prefect_api")

TEXT = """
fleet: {fleet}
signing: {{private_key: {signing}}}
keys: {{{prefix}-main: {{aes256: {key}, old: [{old}]}}}}
credentials: {{{prefix}-aws: {{access_key_id: canary-id, secret_access_key: canary-secret}}}}
stores:
  {prefix}-local: {{type: local, path: /srv/backups}}
  {prefix}-s3: {{type: s3, bucket: b, region: eu-west-1, credentials: {prefix}-aws}}
databases:
  {prefix}-db:
    engine: postgresql
    port: 5432
    name: shop
    user: u
    password: canary-user
    admin: {{user: a, password: canary-adm}}
plans:
  {plan}: {{database: {prefix}-db, checks: [{{name: some, sql: SELECT 1, expect: "> 0"}}], retention: {{daily: 7d}}}}
"""


def key(letter: str) -> str:
    return b64encode(letter.encode() * 32).decode()


def fleet(name: str, plan: str, prefix: str) -> FleetSpec:
    text = TEXT.format(fleet=name, plan=plan, prefix=prefix, signing=key("s"), key=key("k"), old=key("o"))
    return parse(text, {}, Path("/srv/fleet.yaml"))


@pytest.fixture(autouse=True)
def no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE_VARIABLE, raising=False)


def test_a_fleet_saved_to_blocks_loads_as_it_was_and_saving_it_again_changes_nothing() -> None:
    spec = fleet("one", "plan-one", "one")
    blocks.save_fleet(spec)
    blocks.save_fleet(spec)
    assert blocks.load_fleet("plan-one").spec == spec


def test_a_key_in_kms_comes_back_with_the_credentials_that_nothing_else_uses() -> None:
    arn = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"
    in_kms = {"aes256": None, "kms": arn, "credentials": "keyed-kms", "old_kms": (f"{arn}0",)}
    spec = fleet("keyed", "plan-keyed", "keyed")
    ring = spec.keys["keyed-main"].model_copy(update=in_kms)
    access = spec.credentials["keyed-aws"].model_copy(update={"access_key_id": "another-id"})
    spec = spec.model_copy(
        update={"keys": {"keyed-main": ring}, "credentials": {**spec.credentials, "keyed-kms": access}}
    )
    blocks.save_fleet(spec)
    loaded = blocks.load_fleet("plan-keyed")
    assert loaded.spec == spec
    assert (loaded_ring := loaded.ring("plan-keyed")) is not None
    assert loaded_ring.fingerprint == arn


def test_no_secret_of_a_fleet_is_shown_or_lies_in_clear_in_prefects_database(prefect_api: Any) -> None:
    spec = fleet("two", "plan-two", "two")
    blocks.save_fleet(spec)
    secrets = (b"canary-secret", b"canary-user", b"canary-adm", key("k").encode(), key("o").encode(), key("s").encode())
    with get_client(sync_client=True) as client:
        shown = repr([document.data for document in client.read_block_documents(include_secrets=False)]).encode()
    environ = Path(f"/proc/{prefect_api.pid}/environ").read_bytes().split(b"\0")
    [home] = [entry.partition(b"=")[2].decode() for entry in environ if entry.startswith(b"PREFECT_HOME=")]
    stored = text_of(Path(home))
    assert b"two-s3" in stored
    assert b"canary-id" in shown
    for secret in secrets:
        assert secret not in shown
        assert secret not in stored


def test_a_plan_of_another_fleet_is_not_taken_over() -> None:
    blocks.save_fleet(fleet("three", "plan-three", "three"))
    with pytest.raises(ConfigurationError, match="plan-three belongs to fleet three"):
        blocks.save_fleet(fleet("four", "plan-three", "four"))


def test_a_key_that_a_form_has_masked_is_refused_and_says_what_happened() -> None:
    spec = fleet("five", "plan-five", "five")
    blocks.save_fleet(spec)
    with get_client(sync_client=True) as client:
        document = client.read_block_document_by_name("five-main", "backproof-key-ring")
        client.request(
            "PATCH",
            "/block_documents/{id}",
            path_params={"id": document.id},
            # Prefect's server keeps the secret for its own mask of eight; a form's is not always that.
            json={"data": {"aes256": "*****", "old": []}, "merge_existing_data": True},
        )
    with pytest.raises(ConfigurationError, match="asterisks in place of a key"):
        blocks.load_fleet("plan-five")


def test_a_plan_that_no_fleet_has_is_told_with_those_there_are() -> None:
    blocks.save_fleet(fleet("six", "plan-six", "six"))
    with pytest.raises(NotFound, match=r"no plan is called 'plan-seven'.*plan-six"):
        blocks.load_fleet("plan-seven")


def test_a_file_in_the_environment_goes_before_blocks(fleet_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE_VARIABLE, str(fleet_file))
    assert set(blocks.load_fleet("shop").spec.plans) == {"shop"}


def test_a_run_asks_for_its_blocks_once_in_a_while_and_the_next_run_anew() -> None:
    spec = fleet("lately", "plan-lately", "lately")
    changed = spec.plans["plan-lately"].model_copy(update={"minimum_proven": 7})

    @flow
    def reads() -> list[int]:
        blocks.save_fleet(spec)
        first = blocks.load_fleet("plan-lately")
        blocks.save_fleet(spec.model_copy(update={"plans": {"plan-lately": changed}}))
        read = [first, blocks.load_fleet("plan-lately"), blocks.load_fleet("plan-lately", anew=True)]
        return [each.plan("plan-lately").minimum_proven for each in read]

    proven = spec.plans["plan-lately"].minimum_proven
    assert reads() == [proven, proven, 7]
    assert blocks.load_fleet("plan-lately").plan("plan-lately").minimum_proven == 7
    assert reads() == [proven, proven, 7]


def test_a_block_that_was_made_though_nobody_heard_so_is_written_over() -> None:
    spec = fleet("twice", "plan-twice", "twice")
    with get_client(sync_client=True) as client:
        saving.register_types()
        plan = next(each for each in saving.documents(spec) if each.name == "plan-twice")
        made = saving.write_document(client, plan, None)
        changed = replace(plan, data={**plan.data, "minimum_proven": 5})
        assert saving.write_document(client, changed, None) == made
        (found,) = [each for each in saving.read_documents(client) if each.key == plan.key]
    assert found.data["minimum_proven"] == 5
