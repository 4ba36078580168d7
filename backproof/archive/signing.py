"""Signed documents: manifests, proofs and later journals and reports, as JSON.

::

    {"content":{…},"key":"ed25519:3f9a…","record":"Manifest","signature":"…"}

One way of writing only: keys sorted, no spaces, UTF-8, a newline at the end. The Ed25519 signature (base64) is over the
same document without ``signature``, so over the kind of record and the signing key as well. A fingerprint is
``ed25519:`` and the first 20 hex digits of SHA-256 of the 32 bytes of the public key.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ValidationError

from backproof.errors import BadSignature, ConfigurationError, Damaged

_ANOTHER_COPY = "Use another copy of this backup."
_FIELDS = {"content", "key", "record", "signature"}

RecordType = TypeVar("RecordType", bound=BaseModel)


def fingerprint(public_key: bytes) -> str:
    """The name of a public signing key (32 bytes)."""
    return f"ed25519:{hashlib.sha256(public_key).hexdigest()[:20]}"


class Signer:
    """Signs records with one key, and verifies them with this and further ones.

    Args:
        private_key: 32 bytes.
        also_trust: public keys (32 bytes each) of earlier signing keys, or of other fleets.

    Raises:
        ConfigurationError: a key is not 32 bytes, or is the mask ``********``.
    """

    def __init__(self, private_key: bytes, also_trust: Sequence[bytes] = ()) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(_checked(private_key))
        self.public_key = self._private.public_key().public_bytes_raw()
        self._trusted = {fingerprint(key): _checked(key) for key in (self.public_key, *also_trust)}

    @property
    def fingerprint(self) -> str:
        """Of the key that signs."""
        return fingerprint(self.public_key)

    def sign(self, record: BaseModel) -> bytes:
        """A record as a signed document; the same record always gives the same bytes."""
        content = record.model_dump(mode="json")
        unsigned = {"content": content, "key": self.fingerprint, "record": type(record).__name__}
        signature = base64.b64encode(self._private.sign(_canonical(unsigned))).decode()
        return _canonical({**unsigned, "signature": signature})

    def sign_bytes(self, content: bytes) -> str:
        """The signature of any bytes, as base64; the same bytes always give the same."""
        return base64.b64encode(self._private.sign(content)).decode()

    def verify_bytes(self, content: bytes, key: str, signature: str) -> None:
        """Make sure that these bytes are what a key has signed.

        Args:
            content: the bytes.
            key: the fingerprint of the key that is said to have signed them.
            signature: base64, in the one way that ``sign_bytes`` writes it.

        Raises:
            BadSignature: they are not, or this fleet does not trust the key.
        """
        public_key = self._public(key)
        try:
            raw = base64.b64decode(signature, validate=True)
            Ed25519PublicKey.from_public_bytes(public_key).verify(raw, content)
            genuine = base64.b64encode(raw).decode() == signature
        except (InvalidSignature, ValueError):
            genuine = False
        if not genuine:
            raise BadSignature(f"the document is not what {key} has signed", f"It was changed. {_ANOTHER_COPY}")

    def verify(self, document: bytes, record_type: type[RecordType]) -> RecordType:
        """The record in a document.

        Raises:
            BadSignature: it is not, to the byte, what a key this fleet trusts has signed.
            Damaged: it is no such document, or holds no record of this type.
        """
        signed = _parsed(document)
        if signed["record"] != record_type.__name__:
            raise Damaged(f"the document holds a {signed['record']}, not a {record_type.__name__}", _ANOTHER_COPY)
        self._check_signature(document, signed)
        try:
            return record_type.model_validate_json(_canonical(signed["content"]), strict=True)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "its content"
            raise Damaged(
                f"the {record_type.__name__} has an unknown or wrong field: {where}",
                "It may be of a later version of Backproof: update this one.",
            ) from None

    def _check_signature(self, document: bytes, signed: dict[str, Any]) -> None:
        public_key = self._public(signed["key"])
        unsigned = {name: value for name, value in signed.items() if name != "signature"}
        try:
            signature = base64.b64decode(signed["signature"], validate=True)
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, _canonical(unsigned))
            # What could be written in two ways is accepted in one only, base64's unused last bits included.
            genuine = _canonical({**unsigned, "signature": base64.b64encode(signature).decode()}) == document
        except (InvalidSignature, ValueError):
            genuine = False
        if not genuine:
            raise BadSignature(
                f"the document is not what {signed['key']} has signed", f"It was changed. {_ANOTHER_COPY}"
            )

    def _public(self, key: str) -> bytes:
        public_key = self._trusted.get(key)
        if public_key is None:
            raise BadSignature(
                f"the document is signed by {key}; this fleet trusts {', '.join(self._trusted)}",
                "If it is an earlier key of yours, add its public key to signing.also_trust in fleet.yaml.",
            )
        return public_key


def _canonical(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def _parsed(document: bytes) -> dict[str, Any]:
    try:
        signed = json.loads(document.decode())
    except (ValueError, RecursionError):
        raise Damaged("the document is not JSON", f"It was changed or cut. {_ANOTHER_COPY}") from None
    if not isinstance(signed, dict) or signed.keys() != _FIELDS:
        raise Damaged("the document is not a signed one", f"It was changed or cut. {_ANOTHER_COPY}")
    if not all(isinstance(signed[name], str) for name in ("key", "record", "signature")):
        raise Damaged("the document is not a signed one", f"It was changed or cut. {_ANOTHER_COPY}")
    return signed


def _checked(key: bytes) -> bytes:
    if key and not key.strip(b"*"):
        raise ConfigurationError("a signing key is the mask ******** that a form shows instead of it", "Enter the key.")
    if len(key) != 32:
        raise ConfigurationError(
            f"a signing key is {len(key)} bytes long, not 32", "`backproof keys new` makes one: base64 of 32 bytes."
        )
    return key
