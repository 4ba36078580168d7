"""Archives sealed for a key that is not here: what the ring asks of it, when, and what it makes of the answer."""

import dataclasses

import pytest
from aws_encryption_sdk.key_providers.kms import _check_mrk_arns_equal
from hypothesis import given
from hypothesis import strategies as st

from backproof.archive.chunks import Exactly
from backproof.archive.encryption import KeyRing, Opened, Sealer
from backproof.archive.keys import fingerprint
from backproof.archive.message import EncryptedDataKey, read_header
from backproof.archive.wrapping import key_name, same_key
from backproof.errors import AccessDenied, BackproofError, Damaged, KeyUnavailable, WrongKey
from tests.support.archives import KEY, OTHER_KEY, SHOP, escrow_pair, make
from tests.support.kms import ARN, OTHER_ARN, StandInKey

CONTEXT = {"plan": "shop", "backup": "backup_2025-11-07_020000", "kind": "daily"}
REFUSALS = [AccessDenied("kms:Decrypt failed", "Ask for it."), KeyUnavailable("no connection", "Try again.")]
REGIONS = ("eu-west-1", "us-east-1")


def sealed(ring: KeyRing) -> bytes:
    return b"".join(Sealer(ring, CONTEXT).seal([b"x"]))


def opened(stored: bytes, ring: KeyRing) -> bytes:
    pull = Exactly([stored])
    return b"".join(Opened.read(pull.take, len(stored), ring).frames(pull.take))


def test_an_archive_is_sealed_for_the_key_in_kms_and_the_escrow_key_and_says_so() -> None:
    ring = KeyRing(StandInKey(), escrow_public=escrow_pair()[0])
    assert (ring.fingerprint, ring.opens) == (ARN, (ARN,))
    archive = make(SHOP, ring)
    assert archive.manifest.encryption is not None
    assert archive.manifest.encryption.key_fingerprint == ARN
    assert archive.manifest.encryption.escrow_fingerprint == ring.escrow_fingerprint
    keys = read_header(Exactly([archive.stored]).take)[0].data_keys
    assert [(key.provider, key.info) for key in keys] == [
        ("aws-kms", ARN.encode()),
        ("backproof", str(ring.escrow_fingerprint).encode()),
    ]
    assert archive.reader().read(archive.manifest.members[0]) == SHOP[0].head


def test_kms_is_asked_once_an_archive_and_not_once_a_member() -> None:
    key = StandInKey()
    archive = make(SHOP, KeyRing(key))
    assert key.asked == 1
    reader = archive.reader()
    for member in archive.manifest.members:
        reader.read(member)
    assert key.asked == 2


@pytest.mark.parametrize("refusal", [None, *REFUSALS])
def test_the_escrow_key_alone_opens_it_and_does_not_even_ask_kms(refusal: BackproofError | None) -> None:
    public, private = escrow_pair()
    stored = sealed(KeyRing(StandInKey(), escrow_public=public))
    key = StandInKey(refusal=refusal)
    for ring in (KeyRing(escrow_private=private), KeyRing(key, escrow_private=private)):
        assert opened(stored, ring) == b"x"
    assert key.asked == 0


def test_keys_change_from_aes_to_kms_and_back_and_earlier_archives_stay_readable() -> None:
    key = StandInKey()
    before, after = sealed(KeyRing(KEY)), sealed(KeyRing(key, old=(KEY,)))
    for ring in (KeyRing(key, old=(KEY,)), KeyRing(KEY, old=(key,)), KeyRing(OTHER_KEY, old=(KEY, key))):
        assert opened(before, ring) == opened(after, ring) == b"x"
        assert ring.opens[-1] == ARN  # what is at hand is tried first


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: type(each).__name__)
def test_what_kms_refuses_is_told_as_that_since_it_says_nothing_of_the_archive(refusal: BackproofError) -> None:
    stored = sealed(KeyRing(StandInKey()))
    with pytest.raises(type(refusal)) as caught:
        opened(stored, KeyRing(StandInKey(refusal=refusal), old=(KEY,)))
    assert caught.value is refusal
    with pytest.raises(type(refusal)):
        Sealer(KeyRing(StandInKey(refusal=refusal)), CONTEXT)


def test_a_changed_escrow_copy_of_the_data_key_is_no_damage_while_kms_could_not_be_asked() -> None:
    public, private = escrow_pair()
    stored = sealed(KeyRing(StandInKey(), escrow_public=public))
    escrow = read_header(Exactly([stored]).take)[0].data_keys[1].ciphertext
    changed = stored.replace(escrow, bytes(len(escrow)))
    with pytest.raises(KeyUnavailable):
        opened(changed, KeyRing(StandInKey(refusal=REFUSALS[1]), escrow_private=private))
    with pytest.raises(Damaged, match="data key was changed"):
        opened(changed, KeyRing(escrow_private=private))


def test_an_archive_of_another_key_names_it_and_that_key_is_never_asked() -> None:
    stored = sealed(KeyRing(StandInKey(OTHER_ARN)))
    key = StandInKey()
    with pytest.raises(WrongKey, match=f"wants {OTHER_ARN}; the key ring has {ARN}.*old_kms"):
        opened(stored, KeyRing(key))
    assert key.asked == 0
    assert opened(stored, KeyRing(key, old=(StandInKey(OTHER_ARN),))) == b"x"


@pytest.mark.parametrize("part", ["data key", "context"])
def test_a_changed_data_key_or_context_is_damage(part: str) -> None:
    stored = sealed(KeyRing(StandInKey()))
    wrapped = read_header(Exactly([stored]).take)[0].data_keys[0].ciphertext
    old, new = (wrapped, wrapped[:-1] + bytes([wrapped[-1] ^ 1])) if part == "data key" else (b"shop", b"shoq")
    with pytest.raises(Damaged):
        opened(stored.replace(old, new, 1), KeyRing(StandInKey()))


def test_a_data_key_of_another_length_is_damage() -> None:
    key = StandInKey()
    (wrapped,) = KeyRing(key).wrap(bytes(32), CONTEXT)
    short = dataclasses.replace(wrapped, ciphertext=key.wrap(bytes(16), CONTEXT))
    with pytest.raises(Damaged):
        KeyRing(key).unwrap([short], CONTEXT)


def test_no_key_is_taken_for_one_of_another_kind() -> None:
    names = [(provider, name) for provider in ("aws-kms", "backproof", "x") for name in (ARN, fingerprint(KEY))]
    told = [key_name(EncryptedDataKey(provider, name.encode(), b"")) for provider, name in names]
    assert len(set(told)) == len(told)
    assert (told[0], told[3]) == (ARN, fingerprint(KEY))


def test_a_replica_opens_what_was_sealed_in_a_region_that_is_gone() -> None:
    one, other = (f"arn:aws:kms:{region}:111122223333:key/mrk-1234abcd" for region in REGIONS)
    stored = sealed(KeyRing(StandInKey(one)))
    assert opened(stored, KeyRing(StandInKey(other))) == b"x"
    assert opened(stored, KeyRing(StandInKey(one, refusal=REFUSALS[1]), old=(StandInKey(other),))) == b"x"


arns = st.builds(
    "arn:{}:kms:{}:{}:{}/{}".format,
    st.sampled_from(["aws", "aws-cn"]),
    st.sampled_from(REGIONS),
    st.sampled_from(["111122223333", "444455556666"]),
    st.sampled_from(["key"]),
    st.sampled_from(["mrk-1", "mrk-2", "1", "2"]),
)


@given(arns, arns)
def test_two_names_are_of_one_key_where_the_sdk_says_so(one: str, other: str) -> None:
    assert same_key(one, other) == _check_mrk_arns_equal(one, other)
