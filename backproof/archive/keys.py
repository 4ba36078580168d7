"""The keys that open archives, and the fingerprints that name them.

A fingerprint names a key without telling it: ``aes256:`` and the first 20 hex digits of
SHA-256(``backproof aes256 key`` + the 32 bytes); ``rsa4096:`` and those of SHA-256 of the public key in DER
(SubjectPublicKeyInfo). In an archive's header the provider id is ``backproof`` and a key's name is its fingerprint:
that is what a raw-key plugin of the stock ``aws-encryption-cli`` has to answer to.
"""

import base64
import binascii
import hashlib
import os
import struct
from collections.abc import Iterable, Sequence

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backproof.archive.message import EncryptedDataKey
from backproof.errors import ConfigurationError, Damaged, WrongKey

PROVIDER = "backproof"
_NEW_KEY = "`backproof keys new` makes a key: base64 of 32 random bytes."
_NEW_ESCROW = "`backproof keys escrow` makes a pair."
_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
_AES_PARAMETERS = struct.pack(">II", 128, 12)
"""Tag bits and IV length, which the format writes after the name of an AES key."""


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


def fingerprint(key: bytes) -> str:
    """The name of an AES-256 key."""
    return f"aes256:{hashlib.sha256(b'backproof aes256 key' + key).hexdigest()[:20]}"


def escrow_fingerprint(public_key: rsa.RSAPublicKey) -> str:
    """The name of an escrow key pair."""
    der = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"rsa{public_key.key_size}:{hashlib.sha256(der).hexdigest()[:20]}"


class KeyRing:
    """The keys of a plan: one that seals, earlier ones that still open, and the offline escrow pair.

    Args:
        current: 32 bytes; what new archives are sealed for. None for a ring that only opens.
        old: earlier keys.
        escrow_public: PEM; new archives are sealed for it as well.
        escrow_private: PEM; only where somebody brought it out of its safe to open an archive.
        escrow_passphrase: of the escrow private key, where it has one.

    Raises:
        ConfigurationError: something given is not the key it should be.
    """

    def __init__(
        self,
        current: bytes | None = None,
        old: Sequence[bytes] = (),
        escrow_public: bytes | None = None,
        escrow_private: bytes | None = None,
        escrow_passphrase: bytes | None = None,
    ) -> None:
        self._current = None if current is None else checked_key(current)
        keys = [*filter(None, [self._current]), *map(checked_key, old)]
        self._aes = {fingerprint(key): key for key in keys}
        self._public = None if escrow_public is None else _public_key(escrow_public)
        self._private = None if escrow_private is None else _private_key(escrow_private, escrow_passphrase)

    @property
    def fingerprint(self) -> str | None:
        """Of the current key."""
        return None if self._current is None else fingerprint(self._current)

    @property
    def escrow_fingerprint(self) -> str | None:
        """Of the escrow pair; None where there is none."""
        public = self._public or (self._private.public_key() if self._private else None)
        return escrow_fingerprint(public) if public else None

    @property
    def opens(self) -> tuple[str, ...]:
        """Fingerprints of what this ring can open archives with, in the order in which it tries them."""
        private = (escrow_fingerprint(self._private.public_key()),) if self._private else ()
        return (*self._aes, *private)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self.opens)})"

    def wrap(self, data_key: bytes, context: bytes) -> tuple[EncryptedDataKey, ...]:
        """Encrypt a data key for the current key and for the escrow key.

        Raises:
            ConfigurationError: the ring has no current key.
        """
        if self._current is None:
            raise ConfigurationError("the key ring has no current key to seal with", _NEW_KEY)
        name = fingerprint(self._current).encode()
        iv = os.urandom(12)
        info = name + _AES_PARAMETERS + iv
        wrapped = [EncryptedDataKey(PROVIDER, info, AESGCM(self._current).encrypt(iv, data_key, context))]
        if self._public:
            name = escrow_fingerprint(self._public).encode()
            wrapped.append(EncryptedDataKey(PROVIDER, name, self._public.encrypt(data_key, _OAEP)))
        return tuple(wrapped)

    def unwrap(self, wrapped: Sequence[EncryptedDataKey], context: bytes) -> bytes:
        """Decrypt a data key with the first key at hand that opens it: current, old, then escrow.

        Raises:
            WrongKey: it is wrapped for none of them.
            Damaged: it is wrapped for one of them, and was changed.
        """
        candidates = {name: [key for key in wrapped if key_name(key) == name] for name in self.opens}
        for name, keys in candidates.items():
            for key in keys:
                opened = self._opened(name, key, context)
                if opened is not None:
                    return opened
        if any(candidates.values()):
            raise Damaged("the archive's data key was changed, or what it is bound to", "Use another copy.")
        raise WrongKey(
            f"the archive wants {_listed(map(key_name, wrapped))}; the key ring has {_listed(self.opens)}",
            "Add the key to `old` of the plan's keys, or give the escrow private key.",
        )

    def _opened(self, name: str, wrapped: EncryptedDataKey, context: bytes) -> bytes | None:
        try:
            if name in self._aes:
                return AESGCM(self._aes[name]).decrypt(wrapped.info[-12:], wrapped.ciphertext, context)
            return self._private.decrypt(wrapped.ciphertext, _OAEP) if self._private else None
        except (InvalidTag, ValueError):
            return None


def key_name(wrapped: EncryptedDataKey) -> str:
    """The fingerprint in an encrypted data key, or what another program wrote there."""
    name = wrapped.info
    if len(name) > 20 and name[-20:-12] == _AES_PARAMETERS:
        name = name[:-20]
    text = name.decode("utf-8", "backslashreplace")
    return text if wrapped.provider == PROVIDER else f"{wrapped.provider}/{text}"


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
