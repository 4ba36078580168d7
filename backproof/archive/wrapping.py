"""The kinds of key that an archive's data key is wrapped with, and the names they go by in its header.

A name tells which key it is and not what it is: ``aes256:`` and the first 20 hex digits of
SHA-256(``backproof aes256 key`` + the 32 bytes); ``rsa4096:`` and those of SHA-256 of the public key in DER
(SubjectPublicKeyInfo); for a key in AWS KMS its ARN. Provider ids are ``backproof``, which a raw-key plugin of the
stock ``aws-encryption-cli`` has to answer to, and its own ``aws-kms``.
"""

import hashlib
import os
import struct
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backproof.archive.message import EncryptedDataKey, context_bytes
from backproof.errors import Damaged

PROVIDER = "backproof"
KMS_PROVIDER = "aws-kms"
DATA_KEY_BYTES = 32
_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
_AES_PARAMETERS = struct.pack(">II", 128, 12)
"""Tag bits and IV length, which the format writes after the name of an AES key."""


class KmsKey(Protocol):
    """A key that never leaves its service: what it wraps only it unwraps."""

    @property
    def name(self) -> str:
        """Its ARN."""

    def wrap(self, data_key: bytes, context: dict[str, str]) -> bytes:
        """Encrypt a data key, bound to a context. Raises what stands in the way, as ``backproof.errors``."""

    def unwrap(self, wrapped: bytes, context: dict[str, str]) -> bytes:
        """The inverse of ``wrap``.

        Raises:
            Damaged: this key did not wrap that, or not in this context. Other errors say that nobody can tell.
        """


class Wraps(Protocol):
    """What archives are sealed for."""

    @property
    def name(self) -> str:
        """Its fingerprint."""

    def wrap(self, data_key: bytes, context: dict[str, str]) -> EncryptedDataKey:
        """Encrypt a data key."""


class Unwraps(Protocol):
    """What archives are opened with."""

    @property
    def name(self) -> str:
        """Its fingerprint."""

    def unwrap(self, wrapped: EncryptedDataKey, context: dict[str, str]) -> bytes:
        """Decrypt a data key that bears the name of this key.

        Raises:
            Damaged: it was changed, or what it is bound to.
        """


class AesKey:
    """32 bytes of our own."""

    def __init__(self, key: bytes) -> None:
        self._gcm = AESGCM(key)
        self.name = fingerprint(key)

    def wrap(self, data_key: bytes, context: dict[str, str]) -> EncryptedDataKey:
        """By AES-256-GCM, bound to the context."""
        iv = os.urandom(12)
        info = self.name.encode() + _AES_PARAMETERS + iv
        return EncryptedDataKey(PROVIDER, info, self._gcm.encrypt(iv, data_key, context_bytes(context)))

    def unwrap(self, wrapped: EncryptedDataKey, context: dict[str, str]) -> bytes:
        """The inverse of ``wrap``."""
        try:
            return self._gcm.decrypt(wrapped.info[-12:], wrapped.ciphertext, context_bytes(context))
        except (InvalidTag, ValueError):
            raise _changed() from None


class EscrowPublicKey:
    """The half that seals."""

    def __init__(self, key: rsa.RSAPublicKey) -> None:
        self._key = key
        self.name = escrow_fingerprint(key)

    def wrap(self, data_key: bytes, context: dict[str, str]) -> EncryptedDataKey:
        """By RSA-OAEP, which binds to nothing: the message's own header does."""
        return EncryptedDataKey(PROVIDER, self.name.encode(), self._key.encrypt(data_key, _OAEP))


class EscrowPrivateKey:
    """The half that opens."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key
        self.name = escrow_fingerprint(key.public_key())

    def unwrap(self, wrapped: EncryptedDataKey, context: dict[str, str]) -> bytes:
        """The inverse of the public half's ``wrap``."""
        try:
            return self._key.decrypt(wrapped.ciphertext, _OAEP)
        except ValueError:
            raise _changed() from None


class RemoteKey:
    """A key in AWS KMS, as the AWS Encryption SDK writes one into a header."""

    def __init__(self, key: KmsKey) -> None:
        self._key = key
        self.name = key.name

    def wrap(self, data_key: bytes, context: dict[str, str]) -> EncryptedDataKey:
        """By KMS, which binds to the context."""
        return EncryptedDataKey(KMS_PROVIDER, self.name.encode(), self._key.wrap(data_key, context))

    def unwrap(self, wrapped: EncryptedDataKey, context: dict[str, str]) -> bytes:
        """The inverse of ``wrap``."""
        data_key = self._key.unwrap(wrapped.ciphertext, context)
        if len(data_key) != DATA_KEY_BYTES:  # whoever may encrypt with that key may have put anything there
            raise _changed()
        return data_key


def fingerprint(key: bytes) -> str:
    """The name of an AES-256 key."""
    return f"aes256:{hashlib.sha256(b'backproof aes256 key' + key).hexdigest()[:20]}"


def escrow_fingerprint(public_key: rsa.RSAPublicKey) -> str:
    """The name of an escrow key pair."""
    der = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"rsa{public_key.key_size}:{hashlib.sha256(der).hexdigest()[:20]}"


def same_key(name: str, other: str) -> bool:
    """Whether two names are of one key: they are equal, or those of one multi-Region key of KMS's in two regions."""
    return _anywhere(name) == _anywhere(other)


def _anywhere(name: str) -> str:
    # arn:aws:kms:REGION:ACCOUNT:key/mrk-…: the replicas share their material, and so all but the region
    parts = name.split(":")
    return ":".join((*parts[:3], *parts[4:])) if ":key/mrk-" in name and len(parts) == 6 else name


def key_name(wrapped: EncryptedDataKey) -> str:
    """The name of the key a data key is wrapped with, or what another program wrote there."""
    name = wrapped.info
    if len(name) > 20 and name[-20:-12] == _AES_PARAMETERS:
        name = name[:-20]
    text = name.decode("utf-8", "backslashreplace")
    # An ARN names a key of KMS's and nothing else, so that no two kinds of key are taken for one another.
    ours = KMS_PROVIDER if text.startswith("arn:") else PROVIDER
    return text if wrapped.provider == ours else f"{wrapped.provider}/{text}"


def _changed() -> Damaged:
    return Damaged("the archive's data key was changed, or what it is bound to", "Use another copy.")
