"""The keys of a plan: read from what a fleet holds, and put on a ring that seals and opens archives."""

import base64
import binascii
from collections.abc import Iterable, Sequence

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from backproof.archive.message import EncryptedDataKey
from backproof.archive.wrapping import (
    PROVIDER,
    AesKey,
    EscrowPrivateKey,
    EscrowPublicKey,
    KmsKey,
    RemoteKey,
    Unwraps,
    escrow_fingerprint,
    fingerprint,
    key_name,
    same_key,
)
from backproof.errors import BackproofError, ConfigurationError, Damaged, WrongKey

__all__ = [
    "PROVIDER",
    "KeyRing",
    "KmsKey",
    "checked_key",
    "escrow_fingerprint",
    "fingerprint",
    "key_from_text",
    "key_name",
]

_NEW_KEY = "`backproof keys new` makes a key: base64 of 32 random bytes."
_NEW_ESCROW = "`backproof keys escrow` makes a pair."


def key_from_text(text: str) -> bytes:
    """The 32 bytes of a key written in base64, as a fleet holds it.

    Raises:
        ConfigurationError: it is no such key.
    """
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = text.encode()
    return checked_key(key)


def checked_key(key: bytes) -> bytes:
    """The key itself, if it can be one. What it is instead is never told.

    Raises:
        ConfigurationError: it can't.
    """
    if key and not key.strip(b"*"):
        # Prefect's second user interface saves a secret it was not shown as these asterisks.
        raise ConfigurationError("a key is the mask ******** that a form shows instead of it", "Enter the key itself.")
    if len(key) != 32:
        raise ConfigurationError(f"a key is {len(key)} bytes long, not 32", _NEW_KEY)
    return key


class KeyRing:
    """The keys of a plan: one that seals, earlier ones that still open, and the offline escrow pair.

    Args:
        current: what new archives are sealed for: 32 bytes, or a key in KMS. None for a ring that only opens.
        old: earlier keys, of either kind.
        escrow_public: PEM; new archives are sealed for it as well.
        escrow_private: PEM; only where somebody brought it out of its safe to open an archive.
        escrow_passphrase: of the escrow private key, where it has one.

    Raises:
        ConfigurationError: something given is not the key it should be.
    """

    def __init__(
        self,
        current: bytes | KmsKey | None = None,
        old: Sequence[bytes | KmsKey] = (),
        escrow_public: bytes | None = None,
        escrow_private: bytes | None = None,
        escrow_passphrase: bytes | None = None,
    ) -> None:
        self._current = None if current is None else _wrapping(current)
        self._public = None if escrow_public is None else EscrowPublicKey(_public_key(escrow_public))
        self._private = (
            None if escrow_private is None else EscrowPrivateKey(_private_key(escrow_private, escrow_passphrase))
        )
        keys: list[Unwraps | None] = [self._current, *map(_wrapping, old), self._private]
        # What is at hand first: on the day the escrow key was brought out, KMS may be what can't be reached.
        keys.sort(key=lambda key: isinstance(key, RemoteKey))
        self._keys = {key.name: key for key in keys if key is not None}

    @property
    def fingerprint(self) -> str | None:
        """Of the current key."""
        return None if self._current is None else self._current.name

    @property
    def escrow_fingerprint(self) -> str | None:
        """Of the escrow pair; None where there is none."""
        pair = self._public or self._private
        return None if pair is None else pair.name

    @property
    def opens(self) -> tuple[str, ...]:
        """Fingerprints of what this ring can open archives with, in the order in which it tries them."""
        return tuple(self._keys)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self.opens)})"

    def wrap(self, data_key: bytes, context: dict[str, str]) -> tuple[EncryptedDataKey, ...]:
        """Encrypt a data key for the current key and for the escrow key.

        Raises:
            ConfigurationError: the ring has no current key.
            BackproofError: KMS refuses, or can't be reached.
        """
        if self._current is None:
            raise ConfigurationError("the key ring has no current key to seal with", _NEW_KEY)
        return tuple(key.wrap(data_key, context) for key in (self._current, self._public) if key is not None)

    def unwrap(self, wrapped: Sequence[EncryptedDataKey], context: dict[str, str]) -> bytes:
        """Decrypt a data key with the first key that opens it: those at hand, then those in KMS.

        No key of KMS's is asked but those on the ring, whatever the archive names.

        Raises:
            WrongKey: it is wrapped for none of them.
            Damaged: it is wrapped for one of them, and was changed.
            BackproofError: KMS refuses, or can't be reached, and nothing else opens it.
        """
        refusals: list[BackproofError] = []
        for name, ours in self._keys.items():
            for key in wrapped:
                if same_key(key_name(key), name):
                    try:
                        return ours.unwrap(key, context)
                    except BackproofError as error:
                        refusals.append(error)
        if refusals:
            # Where some key could not be asked, nobody knows yet whether the archive is damaged.
            raise next((error for error in refusals if not isinstance(error, Damaged)), refusals[0])
        raise WrongKey(
            f"the archive wants {_listed(map(key_name, wrapped))}; the key ring has {_listed(self.opens)}",
            "Add the key to `old` (`old_kms` for one in KMS) of the plan's keys, or give the escrow private key.",
        )


def _wrapping(key: bytes | KmsKey) -> AesKey | RemoteKey:
    return AesKey(checked_key(key)) if isinstance(key, bytes) else RemoteKey(key)


def _listed(names: Iterable[str]) -> str:
    return " or ".join(names) or "no key"


def _public_key(pem: bytes) -> rsa.RSAPublicKey:
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError("the escrow public key is not in PEM", _NEW_ESCROW) from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 4096:
        raise ConfigurationError("the escrow public key is not an RSA key of 4096 bits", _NEW_ESCROW)
    return key


def _private_key(pem: bytes, passphrase: bytes | None) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError(
            "the escrow private key can't be read", "It must be PEM, and its passphrase given where it has one."
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ConfigurationError("the escrow private key is not an RSA key", _NEW_ESCROW)
    return key
