"""A signed document is believed to the byte, or not at all."""

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backproof import naming
from backproof.archive import manifest as manifests
from backproof.archive.encryption import KeyRing
from backproof.archive.signing import Signer, fingerprint
from backproof.errors import BadSignature, ConfigurationError, Damaged
from backproof.records import Manifest, Proof, Record, Timing
from tests.support.archives import KEY, OTHER_KEY, TAKEN_AT, make

SIGNER = Signer(KEY)
STRANGER = Signer(OTHER_KEY)


class Note(Record):
    """A small record to break in every way."""

    text: str
    seconds: float = 1.5
    written_at: datetime = TAKEN_AT
    lines: tuple[str, ...] = ()


NOTE = Note(text='umlaut ü, emoji 🐘, "quotes"\n', lines=("one", "two"))


@given(
    st.builds(
        Note, text=st.text(), seconds=st.floats(allow_nan=False, allow_infinity=False), lines=st.tuples(st.text())
    )
)
def test_what_was_signed_is_what_is_verified(note: Note) -> None:
    assert SIGNER.verify(SIGNER.sign(note), Note) == note


def test_signing_twice_gives_the_same_bytes() -> None:
    assert SIGNER.sign(NOTE) == Signer(KEY).sign(NOTE)


def test_every_flipped_bit_is_refused() -> None:
    document = SIGNER.sign(NOTE)
    for bit in range(len(document) * 8):
        changed = bytearray(document)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Damaged):
            SIGNER.verify(bytes(changed), Note)


def test_every_cut_and_everything_appended_is_refused() -> None:
    document = SIGNER.sign(NOTE)
    for length in range(len(document)):
        with pytest.raises(Damaged):
            SIGNER.verify(document[:length], Note)
    for extra in (b"\n", b" ", b"{}", document, b"\0"):
        with pytest.raises(Damaged):
            SIGNER.verify(document + extra, Note)


@pytest.mark.parametrize("change", ["text", "seconds", "written_at", "lines"])
def test_a_changed_value_is_a_bad_signature(change: str) -> None:
    other = {"text": "other", "seconds": 2.0, "written_at": "2025-11-08T02:00:00Z", "lines": []}
    signed = json.loads(SIGNER.sign(NOTE))
    signed["content"][change] = other[change]
    with pytest.raises(BadSignature, match=r"not what ed25519:[0-9a-f]{20} has signed"):
        SIGNER.verify(written(signed), Note)


@pytest.mark.parametrize(
    "spelling",
    [
        lambda document: document.replace(b":", b": ", 1),
        lambda document: b" " + document,
        lambda document: document.replace(b"1.5", b"1.50"),
        lambda document: document.replace("ü".encode(), b"\\u00fc"),
        lambda document: document.replace(b'{"content"', b'{"content":{},"content"'),
        lambda document: document.rstrip(b"\n"),
    ],
)
def test_the_same_content_spelled_otherwise_is_a_bad_signature(spelling) -> None:  # type: ignore[no-untyped-def]
    document = SIGNER.sign(NOTE)
    assert spelling(document) != document
    with pytest.raises(BadSignature):
        SIGNER.verify(spelling(document), Note)


def test_a_signature_by_a_stranger_is_told_as_that() -> None:
    with pytest.raises(BadSignature) as caught:
        SIGNER.verify(STRANGER.sign(NOTE), Note)
    assert STRANGER.fingerprint in str(caught.value)
    assert SIGNER.fingerprint in str(caught.value)


def test_a_stranger_s_signature_under_our_name_is_refused() -> None:
    signed = json.loads(STRANGER.sign(NOTE))
    signed["key"] = SIGNER.fingerprint
    with pytest.raises(BadSignature):
        SIGNER.verify(written(signed), Note)


def test_an_earlier_key_is_trusted_when_the_fleet_says_so() -> None:
    assert Signer(OTHER_KEY, also_trust=(SIGNER.public_key,)).verify(SIGNER.sign(NOTE), Note) == NOTE


@pytest.mark.parametrize(
    "document",
    [b"", b"null", b"[]", b"{}", b'{"content": {}}', b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}', b"1" * 5000],
)
def test_what_is_no_signed_document_is_damaged(document: bytes) -> None:
    with pytest.raises(Damaged) as caught:
        SIGNER.verify(document, Note)
    assert not isinstance(caught.value, BadSignature)


def test_a_signed_manifest_is_no_proof() -> None:
    with pytest.raises(Damaged, match="holds a Manifest, not a Proof"):
        SIGNER.verify(SIGNER.sign(make().manifest), Proof)


class LongerNote(Record):
    """As a later version might write it."""

    text: str
    seconds: float
    written_at: datetime
    lines: tuple[str, ...]
    mood: str


LongerNote.__name__ = "Note"


def test_an_unknown_field_is_damaged_though_well_signed() -> None:
    later = LongerNote(**NOTE.model_dump(), mood="calm")
    with pytest.raises(Damaged, match="mood") as caught:
        SIGNER.verify(SIGNER.sign(later), Note)
    assert not isinstance(caught.value, BadSignature)


class LooseNote(Record):
    """As somebody careless might sign it."""

    text: str
    seconds: str
    written_at: datetime
    lines: tuple[str, ...]


LooseNote.__name__ = "Note"


def test_a_value_of_another_type_is_damaged_though_well_signed() -> None:
    loose = LooseNote(text="x", seconds="1.5", written_at=TAKEN_AT, lines=())
    with pytest.raises(Damaged, match="wrong field: seconds"):
        SIGNER.verify(SIGNER.sign(loose), Note)


def test_an_unknown_field_outside_the_content_is_damaged() -> None:
    signed = json.loads(SIGNER.sign(NOTE))
    with pytest.raises(Damaged):
        SIGNER.verify(written({**signed, "note": "x"}), Note)


@pytest.mark.parametrize("key", [b"", b"********", bytes(31), b"*" * 32])
def test_a_signing_key_that_is_none_is_refused(key: bytes) -> None:
    with pytest.raises(ConfigurationError, match="signing key"):
        Signer(key)
    with pytest.raises(ConfigurationError, match="signing key"):
        Signer(KEY, also_trust=(key,))


def test_a_document_can_be_checked_without_backproof() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    signed = json.loads(SIGNER.sign(NOTE))
    signature = base64.b64decode(signed.pop("signature"))
    Ed25519PublicKey.from_public_bytes(SIGNER.public_key).verify(signature, written(signed))


def test_signing_brings_in_nothing_heavy() -> None:
    heavy = "{'prefect', 'boto3', 'pandas', 'sqlalchemy', 'isal', 'aws_encryption_sdk'} & set(sys.modules)"
    code = f"import sys, backproof.archive.signing; sys.exit(repr({heavy}) if {heavy} else 0)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_fingerprint_is_short_hex_after_the_kind_of_key() -> None:
    assert fingerprint(SIGNER.public_key) == SIGNER.fingerprint
    assert SIGNER.fingerprint.startswith("ed25519:")
    assert len(SIGNER.fingerprint) == len("ed25519:") + 20


MANIFEST = make(ring=KeyRing(KEY)).manifest
NAME = manifests.archive_name(MANIFEST).with_part(naming.MANIFEST)


def test_a_manifest_is_read_from_its_place() -> None:
    assert manifests.read(SIGNER.sign(MANIFEST), SIGNER, NAME) == MANIFEST


@pytest.mark.parametrize(
    "name",
    [
        naming.Name("crm", "daily", TAKEN_AT, naming.MANIFEST),
        naming.Name("shop", "manual", TAKEN_AT, naming.MANIFEST),
        naming.Name("shop", "daily", TAKEN_AT + timedelta(seconds=1), naming.MANIFEST),
    ],
)
def test_a_manifest_in_another_place_is_refused(name: naming.Name) -> None:
    with pytest.raises(Damaged, match=r"is of backup_2025-11-07_020000 of plan shop \(daily\)"):
        manifests.read(SIGNER.sign(MANIFEST), SIGNER, name)


def test_a_manifest_with_a_bad_signature_is_refused() -> None:
    with pytest.raises(BadSignature):
        manifests.read(STRANGER.sign(MANIFEST), SIGNER, NAME)


def changed(part: str, index: int = 0, **values: object) -> Manifest:
    items = list(getattr(MANIFEST, part))
    items[index] = items[index].model_copy(update=values)
    return MANIFEST.model_copy(update={part: tuple(items)})


EMPTY = MANIFEST.members[0].model_copy(update={"length": 0, "plain_bytes": 0})
CONTRADICTIONS = {
    "another id": MANIFEST.model_copy(update={"id": "backup_2025-11-07_020001"}),
    "no id": MANIFEST.model_copy(update={"id": "../../etc/passwd"}),
    "a plan that is none": MANIFEST.model_copy(update={"plan": "../shop"}),
    "a moment without zone": MANIFEST.model_copy(update={"taken_at": datetime(2025, 11, 7, 2)}),
    "no members": MANIFEST.model_copy(update={"members": ()}),
    "a member left out": MANIFEST.model_copy(update={"members": MANIFEST.members[:2] + MANIFEST.members[3:]}),
    "the last left out": MANIFEST.model_copy(update={"members": MANIFEST.members[:-1]}),
    "members swapped": MANIFEST.model_copy(update={"members": MANIFEST.members[::-1]}),
    "an empty member": MANIFEST.model_copy(update={"members": (EMPTY, *MANIFEST.members)}),
    "a negative length": changed("members", length=-1),
    "a negative number of rows": changed("members", rows=-1),
    "a gap": changed("members", 1, offset=MANIFEST.members[1].offset + 1),
    "another gzip length": MANIFEST.model_copy(update={"gzip_bytes": MANIFEST.gzip_bytes + 1}),
    "another plain length": MANIFEST.model_copy(update={"plain_bytes": MANIFEST.plain_bytes + 1}),
    "another member's plain length": changed("members", plain_bytes=7),
    "sections out of order": changed("members", section="finish"),
    "a digest that is none": changed("members", sha256="0" * 63 + "g"),
    "an upper-case digest": MANIFEST.model_copy(update={"stored_sha256": "A" * 64}),
    "another stored length": MANIFEST.model_copy(update={"stored_bytes": MANIFEST.gzip_bytes}),
    "no encryption": MANIFEST.model_copy(update={"encryption": None}),
    "other rows in a table": changed("tables", rows=9),
    "other rows in a member": changed("members", 1, rows=9),
    "a table left out": MANIFEST.model_copy(update={"tables": MANIFEST.tables[1:]}),
    "a table without members": changed("tables", name="public.nowhere"),
    "a table twice": MANIFEST.model_copy(update={"tables": MANIFEST.tables + MANIFEST.tables[:1]}),
    "a table's member given to none": changed("members", 1, table=None),
}


@pytest.mark.parametrize("contradiction", CONTRADICTIONS)
def test_a_signed_manifest_that_contradicts_itself_is_refused(contradiction: str) -> None:
    with pytest.raises(Damaged, match="contradicts itself"):
        manifests.check(CONTRADICTIONS[contradiction])


def test_an_unencrypted_manifest_that_fits_itself_passes() -> None:
    manifests.check(make().manifest)


PROOF = Proof(
    plan="shop",
    backup=MANIFEST.id,
    store="local",
    verdict="passed",
    reason="all is the same",
    started_at=TAKEN_AT,
    finished_at=TAKEN_AT + timedelta(minutes=15),
    stored_sha256=MANIFEST.stored_sha256,
    backproof_version="0",
    proven_on="scratch",
    server_version="16.4",
    timings=(Timing(phase="restore", started_at=TAKEN_AT, elapsed_seconds=1.25),),
)
PROOF_NAME = NAME.with_part(naming.ProofPart(PROOF.finished_at, "passed"))


def test_a_proof_is_read_from_its_place() -> None:
    assert manifests.read_proof(SIGNER.sign(PROOF), SIGNER, PROOF_NAME) == PROOF


@pytest.mark.parametrize(
    "name",
    [
        naming.Name("crm", "daily", TAKEN_AT, PROOF_NAME.part),
        naming.Name("shop", "daily", TAKEN_AT + timedelta(days=1), PROOF_NAME.part),
        NAME.with_part(naming.ProofPart(PROOF.finished_at, "failed")),
        NAME.with_part(naming.ProofPart(datetime(2026, 1, 1, tzinfo=UTC), "passed")),
    ],
)
def test_a_proof_copied_to_another_place_proves_nothing(name: naming.Name) -> None:
    with pytest.raises(Damaged, match="the proof at"):
        manifests.read_proof(SIGNER.sign(PROOF), SIGNER, name)


def written(signed: object) -> bytes:
    """As ``signing`` spells a document."""
    text = json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"
