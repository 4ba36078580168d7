"""Keys in AWS KMS, against moto's: the stock SDK and tool open ours, ours opens theirs, and each refusal is told."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_encryption_sdk
import pytest
from aws_encryption_sdk.identifiers import Algorithm, CommitmentPolicy
from aws_encryption_sdk.key_providers.kms import StrictAwsKmsMasterKeyProvider

from backproof import catalog
from backproof.archive.chunks import Exactly
from backproof.archive.encryption import KeyRing, Opened, Sealer
from backproof.archive.message import read_header
from backproof.errors import AccessDenied, BackproofError, Damaged, KeyUnavailable, NotFound, WrongKey
from backproof.fleet import Fleet
from backproof.kms import KmsKey
from backproof.operations.preflight import preflight
from backproof.operations.prove import prove
from backproof.operations.seal import seal
from backproof.records import Finding, Target
from tests.integration.test_stock_cli import ROOT, STOCK, follow_the_readme
from tests.support.archives import KEY, SHOP, escrow_pair, make
from tests.support.fleets import PLAN, built, described
from tests.support.kms import ID, OTHER_ARN, SECRET, new_key
from tests.support.postgres_fixtures import FreshDatabase
from tests.support.proxy import Fault, Proxy

CONTEXT = {"plan": "shop", "backup": "backup_2025-11-07_020000", "kind": "daily"}
SUITE = Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
SDK = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)


@pytest.fixture(scope="module")
def arn(moto_url: str) -> str:
    return new_key(moto_url)


@pytest.fixture
def key(moto_url: str, arn: str) -> KmsKey:
    return key_at(moto_url, arn)


@pytest.fixture
def proxy(moto_url: str) -> Iterator[Proxy]:
    with Proxy(moto_url) as proxy:
        yield proxy


@pytest.fixture
def theirs(moto_url: str, arn: str, monkeypatch: pytest.MonkeyPatch) -> StrictAwsKmsMasterKeyProvider:
    """The SDK's own key provider, with clients that it makes itself."""
    for name, value in environment(moto_url).items():
        monkeypatch.setenv(name, value)
    return StrictAwsKmsMasterKeyProvider(key_ids=[arn])


def environment(url: str) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL_KMS": url, "AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": SECRET}


def key_at(url: str, arn: str, **patience: Any) -> KmsKey:
    return KmsKey(arn, url, ID, SECRET, **patience)


def sealed(plain: bytes, ring: KeyRing) -> bytes:
    return b"".join(Sealer(ring, CONTEXT, 128).seal([plain]))


def opened(stored: bytes, ring: KeyRing) -> bytes:
    pull = Exactly([stored])
    return b"".join(Opened.read(pull.take, len(stored), ring).frames(pull.take))


# --- the AWS Encryption SDK's own format


@pytest.mark.parametrize("escrow", [True, False])
def test_the_sdk_opens_ours_with_the_key_in_kms(
    key: KmsKey, theirs: StrictAwsKmsMasterKeyProvider, escrow: bool
) -> None:
    ring = KeyRing(key, escrow_public=escrow_pair()[0] if escrow else None)
    plain, header = SDK.decrypt(source=sealed(b"shop" * 100, ring), key_provider=theirs)
    assert plain == b"shop" * 100
    assert header.algorithm is SUITE
    assert header.encryption_context == CONTEXT


def test_ours_opens_the_sdk_s(key: KmsKey, theirs: StrictAwsKmsMasterKeyProvider) -> None:
    stored, _ = SDK.encrypt(
        source=b"shop" * 100, key_provider=theirs, algorithm=SUITE, encryption_context=CONTEXT, frame_length=128
    )
    assert opened(stored, KeyRing(key)) == b"shop" * 100
    assert opened(stored, KeyRing(KEY, old=(key,))) == b"shop" * 100


def test_ours_writes_a_header_as_the_sdk_s(key: KmsKey, theirs: StrictAwsKmsMasterKeyProvider) -> None:
    arguments = {"algorithm": SUITE, "encryption_context": CONTEXT, "frame_length": 128}
    stored, _ = SDK.encrypt(source=b"x", key_provider=theirs, **arguments)
    ours = sealed(b"x", KeyRing(key))
    assert len(ours) == len(stored)
    one, other = (read_header(Exactly([each]).take)[0] for each in (ours, stored))
    assert [(each.provider, each.info) for each in one.data_keys] == [
        (each.provider, each.info) for each in other.data_keys
    ]


def test_the_escrow_key_alone_opens_it_when_kms_is_gone(arn: str, key: KmsKey) -> None:
    public, private = escrow_pair()
    stored = sealed(b"shop", KeyRing(key, escrow_public=public))
    gone = key_at("http://127.0.0.1:1", arn)
    assert opened(stored, KeyRing(escrow_private=private)) == b"shop"
    assert opened(stored, KeyRing(gone, escrow_private=private)) == b"shop"
    with pytest.raises(KeyUnavailable, match="no connection"):
        opened(stored, KeyRing(gone))


@pytest.mark.parametrize("way", ["escrow", "kms"])
def test_the_stock_tool_opens_it_with_either_key(
    key: KmsKey, arn: str, moto_url: str, way: str, tmp_path: Path
) -> None:
    if not (STOCK / ".ready").exists():
        pytest.fail("the stock aws-encryption-cli is not here: run make test, which installs it")
    public, private = escrow_pair()
    archive = make(SHOP, KeyRing(key, escrow_public=public))
    (tmp_path / "backup.sql.gz.enc").write_bytes(archive.stored)
    if way == "escrow":
        (tmp_path / "escrow-private.pem").write_bytes(private)
        (tmp_path / "stock").symlink_to(STOCK)
        (tmp_path / "docs").symlink_to(ROOT / "docs")
        done = follow_the_readme(tmp_path)
    else:
        command = [STOCK / "bin/aws-encryption-cli", "--decrypt", "--input", "backup.sql.gz.enc"]
        command += ["--output", "backup.sql.gz", "--wrapping-keys", f"key={arn}", "--suppress-metadata"]
        command += ["--encryption-context", "plan=shop", f"backup={archive.manifest.id}"]
        variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment(moto_url)}
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "backup.sql.gz").read_bytes() == b"".join(archive.reader().gzip())


# --- what is refused


def test_another_context_or_a_changed_data_key_is_damage(key: KmsKey) -> None:
    stored = sealed(b"x", KeyRing(key))
    wrapped = read_header(Exactly([stored]).take)[0].data_keys[0].ciphertext
    spoilt = [wrapped[:-1] + bytes([wrapped[-1] ^ 1]), wrapped[::-1]]
    for changed in (stored.replace(b"shop", b"shoq", 1), *(stored.replace(wrapped, each) for each in spoilt)):
        assert changed != stored
        with pytest.raises(Damaged, match="what it is bound to"):
            opened(changed, KeyRing(key))


def test_a_key_that_is_not_the_archives_is_told_without_asking_any(key: KmsKey, moto_url: str) -> None:
    stored = sealed(b"x", KeyRing(key))
    with pytest.raises(WrongKey, match=f"wants {key.name}; the key ring has {OTHER_ARN}"):
        opened(stored, KeyRing(key_at(moto_url, OTHER_ARN)))


def test_a_key_that_is_not_there_is_not_found(key: KmsKey, moto_url: str) -> None:
    missing = key_at(moto_url, key.name[:-4] + "0000")
    with pytest.raises(NotFound, match=r"kms:Encrypt with arn:aws:kms:.*correct `kms`"):
        sealed(b"x", KeyRing(missing))


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        ("AccessDeniedException", AccessDenied, "needs {action} on this key"),
        ("DisabledException", AccessDenied, "enable it"),
        ("KMSInvalidStateException", AccessDenied, "pending deletion"),
    ],
)
def test_what_kms_refuses_is_told_with_the_right_or_the_state_that_is_missing(
    proxy: Proxy, arn: str, key: KmsKey, answer: str, kind: type[BackproofError], says: str
) -> None:
    stored, ring = sealed(b"x", KeyRing(key)), KeyRing(key_at(proxy.url, arn))
    refusal = proxy.inject(refused(answer, times=2))
    with pytest.raises(kind, match=says.format(action="kms:Encrypt")):
        sealed(b"x", ring)
    with pytest.raises(kind, match=says.format(action="kms:Decrypt")):
        opened(stored, ring)
    assert refusal.fired == 2  # such an answer is final: nothing was asked twice


def test_throttling_is_waited_out_and_told_as_passing_where_it_stays(proxy: Proxy, arn: str) -> None:
    ring = KeyRing(key_at(proxy.url, arn, attempts=2))
    proxy.inject(refused("ThrottlingException"))
    assert opened(sealed(b"x", ring), ring) == b"x"
    proxy.inject(refused("ThrottlingException", times=100))
    with pytest.raises(KeyUnavailable, match=r"kms:Encrypt with .* failed: ThrottlingException\. Try again"):
        sealed(b"x", ring)


@pytest.mark.parametrize(("fault", "says"), [("stall", "no answer in time"), ("reset", "the connection broke")])
def test_a_kms_that_does_not_answer_is_an_error_in_bounded_time(proxy: Proxy, arn: str, fault: Any, says: str) -> None:
    ring = KeyRing(key_at(proxy.url, arn, read_seconds=0.5, attempts=2))
    proxy.inject(Fault(fault, "POST", times=100))
    begun = time.monotonic()
    with pytest.raises(KeyUnavailable, match=says):
        sealed(b"x", ring)
    assert time.monotonic() - begun < 10


def test_an_answer_of_another_key_is_not_taken(proxy: Proxy, arn: str) -> None:
    answer = json.dumps({"CiphertextBlob": "AAAA", "KeyId": OTHER_ARN}).encode()
    proxy.inject(Fault("answer", "POST", status=200, body=answer))
    with pytest.raises(BackproofError, match="did not answer with it"):
        sealed(b"x", KeyRing(key_at(proxy.url, arn)))


def refused(code: str, times: int = 1, skip: int = 0) -> Fault:
    body = json.dumps({"__type": code, "message": "no"}).encode()
    return Fault("answer", "POST", status=400, body=body, times=times, skip=skip)


# --- a plan whose key is in KMS


def fleet_with(target: Target, folder: Path, **ring: Any) -> Fleet:
    description = described(target, folder)
    description["credentials"] = {"aws": {"access_key_id": ID, "secret_access_key": SECRET}}
    description["keys"]["main"] = {"credentials": "aws", **ring}
    return built(description, folder)


def key_finding(url: str, arn: str, folder: Path) -> Finding:
    nobody = Target(host="127.0.0.1", port=1, database="shop", user="backup")
    fleet = fleet_with(nobody, folder, kms=arn, endpoint_url=url)
    (found,) = [each for each in preflight(fleet, PLAN) if each.check == "key"]
    assert found.status == "failed" or arn in found.found
    return found


def test_preflight_encrypts_and_decrypts(moto_url: str, arn: str, tmp_path: Path) -> None:
    found = key_finding(moto_url, arn, tmp_path)
    assert (found.status, found.found) == ("ok", f"{arn}: encrypts and decrypts")


def test_preflight_fails_where_kms_can_t_be_reached_or_does_not_encrypt(proxy: Proxy, arn: str, tmp_path: Path) -> None:
    found = key_finding("http://127.0.0.1:1", arn, tmp_path)
    assert (found.status, "no connection" in found.found) == ("failed", True)
    proxy.inject(refused("AccessDeniedException"))
    found = key_finding(proxy.url, arn, tmp_path)
    assert (found.status, "kms:Encrypt on this key" in found.remedy) == ("failed", True)


def test_a_machine_that_may_encrypt_alone_is_warned_of_it(proxy: Proxy, arn: str, tmp_path: Path) -> None:
    proxy.inject(refused("AccessDeniedException", skip=1))
    found = key_finding(proxy.url, arn, tmp_path)
    assert (found.status, "kms:Decrypt on this key" in found.remedy) == ("warning", True)
    assert "does not decrypt here" in found.found


def test_a_key_that_does_not_decrypt_what_it_encrypts_is_no_key(proxy: Proxy, arn: str, tmp_path: Path) -> None:
    proxy.inject(refused("InvalidCiphertextException", skip=1))
    found = key_finding(proxy.url, arn, tmp_path)
    assert (found.status, "another key" in found.remedy) == ("failed", True)


def test_a_backup_is_sealed_and_proven_with_a_key_in_kms_and_opens_with_the_escrow_key_alone(
    postgres: Target, fresh_database: FreshDatabase, moto_url: str, arn: str, tmp_path: Path
) -> None:
    shop = fresh_database(postgres, "CREATE TABLE users (name text); INSERT INTO users VALUES ('anna'), ('bert');")
    public, private = escrow_pair()
    (tmp_path / "private.pem").write_bytes(private)
    fleet = fleet_with(shop, tmp_path, kms=arn, endpoint_url=moto_url, escrow_public_key=public.decode())
    sealed_one = seal(fleet, PLAN, "manual")
    assert sealed_one.manifest.encryption is not None
    assert sealed_one.manifest.encryption.key_fingerprint == arn
    proof = prove(fleet, PLAN, sealed_one.manifest.id, "near")
    assert proof.verdict == "passed", proof.reason

    ring = fleet.spec.keys["main"]
    only = ring.model_copy(update={"kms": None, "escrow_private_key": tmp_path / "private.pem"})
    alone = Fleet(fleet.spec.model_copy(update={"keys": {"main": only}}))
    archive = catalog.open_archive(alone, sealed_one.manifest, "near")
    assert b"anna\nbert\n" in b"".join(archive.plain())

    shut = Fleet(fleet.spec.model_copy(update={"keys": {"main": ring.model_copy(update={"kms": OTHER_ARN})}}))
    proof = prove(shut, PLAN, sealed_one.manifest.id, "near")
    assert proof.verdict == "could-not-run"
    assert f"wants {arn}" in proof.reason


def test_a_proof_that_may_not_ask_kms_could_not_run(
    postgres: Target, fresh_database: FreshDatabase, proxy: Proxy, arn: str, tmp_path: Path
) -> None:
    shop = fresh_database(postgres, "CREATE TABLE users (name text)")
    fleet = fleet_with(shop, tmp_path, kms=arn, endpoint_url=proxy.url)
    backup = seal(fleet, PLAN, "manual").manifest.id
    proxy.inject(refused("AccessDeniedException"))
    proof = prove(fleet, PLAN, backup, "near")
    assert (proof.verdict, "kms:Decrypt on this key" in proof.reason) == ("could-not-run", True)
