"""The message format is the AWS Encryption SDK's own: what one writes the other opens."""

import gc
import logging
import re
import struct
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import aws_encryption_sdk
import pytest
from aws_encryption_sdk.identifiers import Algorithm, CommitmentPolicy, EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.raw import RawMasterKey, RawMasterKeyProvider
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from backproof.archive.chunks import Exactly, evenly
from backproof.archive.encryption import KeyRing, Opened, Sealer
from backproof.archive.keys import PROVIDER, fingerprint, key_from_text
from backproof.archive.message import Cipher, Header, context_bytes, read_header
from backproof.errors import ConfigurationError, Damaged, WrongKey
from tests.support.archives import KEY, OTHER_KEY, SHOP, escrow_pair, make

CONTEXT = {"plan": "shop", "backup": "backup_2025-11-07_020000", "kind": "daily"}
FRAME = 128
"""The SDK writes multiples of 128 only."""
SIZES = [0, 1, 16, 127, 128, 129, 255, 256, 257, 1000]
SDK = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)


def aes_master_key(key: bytes) -> RawMasterKey:
    wrapping = WrappingKey(WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING, key, EncryptionKeyType.SYMMETRIC)
    return RawMasterKey(provider_id=PROVIDER, key_id=fingerprint(key).encode(), wrapping_key=wrapping)


def escrow_master_key(private_pem: bytes, name: str) -> RawMasterKey:
    wrapping = WrappingKey(WrappingAlgorithm.RSA_OAEP_SHA256_MGF1, private_pem, EncryptionKeyType.PRIVATE)
    return RawMasterKey(provider_id=PROVIDER, key_id=name.encode(), wrapping_key=wrapping)


def sealed(plain: bytes, ring: KeyRing, frame_bytes: int = FRAME) -> bytes:
    return b"".join(Sealer(ring, CONTEXT, frame_bytes).seal(evenly([plain], 10)))


def opened(stored: bytes, ring: KeyRing) -> bytes:
    pull = Exactly([stored])
    message = Opened.read(pull.take, len(stored), ring)
    plain = b"".join(message.frames(pull.take))
    assert pull.ended()
    assert message.layout.plain_bytes == len(plain)
    return plain


@pytest.mark.parametrize("size", SIZES)
def test_the_sdk_opens_ours_with_the_aes_key(size: int) -> None:
    plain = bytes(index % 251 for index in range(size))
    stored = sealed(plain, KeyRing(KEY, escrow_public=escrow_pair()[0]))
    found, header = SDK.decrypt(source=stored, key_provider=aes_master_key(KEY))
    assert found == plain
    assert header.algorithm is Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
    assert header.encryption_context == CONTEXT


@pytest.mark.parametrize("size", SIZES)
def test_the_sdk_opens_ours_with_the_escrow_private_key_alone(size: int) -> None:
    plain = bytes(index % 251 for index in range(size))
    public, private = escrow_pair()
    ring = KeyRing(KEY, escrow_public=public)
    escrow = escrow_master_key(private, str(ring.escrow_fingerprint))
    found, header = SDK.decrypt(source=sealed(plain, ring), key_provider=escrow)
    assert found == plain
    assert header.encryption_context == CONTEXT


class BothKeys(RawMasterKeyProvider):  # type: ignore[misc]
    """What seals for the AES key and the escrow public key, in this order."""

    provider_id = PROVIDER

    def _get_raw_key(self, key_id: bytes) -> WrappingKey:
        if key_id.startswith(b"aes256:"):
            return WrappingKey(WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING, KEY, EncryptionKeyType.SYMMETRIC)
        return WrappingKey(WrappingAlgorithm.RSA_OAEP_SHA256_MGF1, escrow_pair()[0], EncryptionKeyType.PUBLIC)


def sdk_sealed(plain: bytes, frame_bytes: int = FRAME, **changes: Any) -> bytes:
    ring = KeyRing(KEY, escrow_public=escrow_pair()[0])
    keys = BothKeys()
    keys.add_master_key(str(ring.fingerprint))
    keys.add_master_key(str(ring.escrow_fingerprint))
    arguments = {
        "algorithm": Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
        "encryption_context": CONTEXT,
        "frame_length": frame_bytes,
        **changes,
    }
    stored, _ = SDK.encrypt(source=plain, key_provider=keys, **arguments)
    assert isinstance(stored, bytes)
    return stored


@pytest.mark.parametrize("size", SIZES)
def test_ours_opens_the_sdk_s_with_either_key(size: int) -> None:
    plain = bytes(index % 251 for index in range(size))
    stored = sdk_sealed(plain)
    assert opened(stored, KeyRing(KEY)) == plain
    assert opened(stored, KeyRing(OTHER_KEY, old=(KEY,))) == plain
    assert opened(stored, KeyRing(escrow_private=escrow_pair()[1])) == plain


def test_ours_writes_a_header_as_long_as_the_sdk_s_with_the_same_names_in_it() -> None:
    ours = sealed(b"x", KeyRing(KEY, escrow_public=escrow_pair()[0]))
    theirs = sdk_sealed(b"x")
    assert len(ours) == len(theirs)
    one, other = (read_header(Exactly([stored]).take)[0] for stored in (ours, theirs))
    names = [sorted((key.provider, key.info[:27]) for key in header.data_keys) for header in (one, other)]
    assert names[0] == names[1]
    assert one.context == other.context


def test_the_sdk_opens_a_whole_archive() -> None:
    archive = make(SHOP, KeyRing(KEY))
    found, header = SDK.decrypt(source=archive.stored, key_provider=aes_master_key(KEY))
    assert found == b"".join(archive.reader().gzip())
    assert header.encryption_context == {"plan": "shop", "backup": archive.manifest.id, "kind": "daily"}


@given(st.binary(max_size=500), st.integers(1, 100), st.integers(1, 50))
def test_opening_gives_back_any_bytes_however_they_came(plain: bytes, frame_bytes: int, chunk: int) -> None:
    chunks = [plain[at : at + chunk] for at in range(0, len(plain), chunk)]
    stored = b"".join(Sealer(KeyRing(KEY), CONTEXT, frame_bytes).seal(chunks))
    assert opened(stored, KeyRing(KEY)) == plain


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=4))
def test_a_context_is_written_as_the_sdk_writes_it(context: dict[str, str]) -> None:
    from aws_encryption_sdk.internal.formatting.encryption_context import serialize_encryption_context

    assert context_bytes(context) == serialize_encryption_context(context)


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384},
        {"frame_length": 0},
    ],
)
def test_what_is_not_written_by_us_in_suite_or_framing_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        opened(sdk_sealed(b"x" * 100, **changes), KeyRing(KEY))


def test_a_message_for_another_provider_is_told_as_a_wrong_key() -> None:
    wrapping = WrappingKey(WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING, KEY, EncryptionKeyType.SYMMETRIC)
    theirs = RawMasterKey(provider_id="theirs", key_id=b"mine", wrapping_key=wrapping)
    stored, _ = SDK.encrypt(source=b"x", key_provider=theirs, algorithm=Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY)
    with pytest.raises(WrongKey, match="wants theirs/mine"):
        opened(stored, KeyRing(KEY))


def test_the_sdk_refuses_ours_in_another_context(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stored = sealed(b"x" * 100, KeyRing(KEY))
    changed = stored.replace(b"shop", b"shoq", 1)
    assert changed != stored

    def refusal() -> type[Exception] | None:
        try:
            SDK.decrypt(source=changed, key_provider=aes_master_key(KEY))
        except InvalidTag as error:
            return type(error)
        return None

    # The SDK's stream complains when it is collected: here and to nobody, not in another test.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    caplog.set_level(logging.CRITICAL + 1, "aws_encryption_sdk")  # a captured log record keeps the stream alive
    assert refusal() is InvalidTag
    gc.collect()


def test_no_two_seals_share_a_data_key_or_a_message_id() -> None:
    seals = [sealed(b"x" * 64, KeyRing(KEY)) for _ in range(20)]
    headers = [read_header(Exactly([stored]).take)[0] for stored in seals]
    assert len({header.message_id for header in headers}) == 20
    assert len({header.data_keys[0].ciphertext for header in headers}) == 20
    assert len({stored[-60:] for stored in seals}) == 20


def test_a_sealer_seals_one_stream_since_a_second_would_repeat_its_ivs() -> None:
    sealer = Sealer(KeyRing(KEY), CONTEXT)
    list(sealer.seal([b"x"]))
    with pytest.raises(ValueError, match="one stream"):
        list(sealer.seal([b"y"]))


def test_a_header_that_could_be_read_in_two_ways_is_refused() -> None:
    stored = sealed(b"x", KeyRing(KEY))
    context = context_bytes(CONTEXT)
    pairs = sorted(CONTEXT.items(), reverse=True)
    other = struct.pack(">H", len(pairs)) + b"".join(
        struct.pack(">H", len(text)) + text.encode() for pair in pairs for text in pair
    )
    assert len(other) == len(context)
    with pytest.raises(Damaged, match="not in the form"):
        opened(stored.replace(context, other, 1), KeyRing(KEY))


def test_a_header_that_commits_to_another_key_is_refused_though_its_tag_is_right() -> None:
    # Without commitment one message could open to two texts, under two keys.
    data_key, message_id = bytes(32), bytes(32)
    cipher = Cipher(data_key, message_id)
    keys = KeyRing(KEY).wrap(data_key, CONTEXT)
    for commitment, error in ((cipher.commitment, None), (bytes(32), Damaged)):
        header = Header(message_id, CONTEXT, keys, FRAME, commitment)
        stored = header.written() + cipher.tag(header) + cipher.seal(0, b"x", final=True)
        with pytest.raises(error, match="header") if error else nullcontext():
            assert opened(stored, KeyRing(KEY)) == b"x"


def test_an_escrow_key_that_is_too_short_is_refused() -> None:
    short = rsa.generate_private_key(65537, 2048).public_key()
    pem = short.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ConfigurationError, match="4096 bits"):
        KeyRing(KEY, escrow_public=pem)


def test_a_key_is_read_from_base64() -> None:
    assert key_from_text(" AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n") == KEY


@pytest.mark.parametrize("text", ["", "********", "not a key", "AAEC", "ключ", "A" * 32])
def test_text_that_is_no_key_is_refused_without_telling_it(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        key_from_text(text)
    assert not text or text == "********" or text not in str(caught.value)


def test_fingerprints_read_as_the_documentation_says() -> None:
    ring = KeyRing(KEY, escrow_public=escrow_pair()[0])
    assert re.fullmatch(r"aes256:[0-9a-f]{20}", str(ring.fingerprint))
    assert re.fullmatch(r"rsa4096:[0-9a-f]{20}", str(ring.escrow_fingerprint))
    assert ring.escrow_fingerprint == KeyRing(escrow_private=escrow_pair()[1]).escrow_fingerprint


def test_an_escrow_key_with_a_passphrase_opens_with_it_alone(tmp_path: Path) -> None:
    public, private = escrow_pair()
    protected = serialization.load_pem_private_key(private, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"four words on paper"),
    )
    stored = sealed(b"x", KeyRing(KEY, escrow_public=public))
    ring = KeyRing(escrow_private=protected, escrow_passphrase=b"four words on paper")
    assert opened(stored, ring) == b"x"
    for passphrase in (None, b"wrong"):
        with pytest.raises(ConfigurationError, match="can't be read"):
            KeyRing(escrow_private=protected, escrow_passphrase=passphrase)
