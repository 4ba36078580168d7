"""Fresh keys, and the text in which they are kept."""

import base64
import secrets
from dataclasses import dataclass

from backproof.archive.keys import escrow_fingerprint, fingerprint
from backproof.archive.signing import Signer


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """A new key for archives and a new key for signatures."""

    aes256: bytes
    signing: bytes

    @property
    def fingerprints(self) -> dict[str, str]:
        """What may be shown of them."""
        return {"aes256": fingerprint(self.aes256), "signing": Signer(self.signing).fingerprint}

    def as_environment(self) -> str:
        """Lines that a shell, systemd and containers read alike."""
        return (
            f"BACKPROOF_KEY={base64.b64encode(self.aes256).decode()}\n"
            f"BACKPROOF_SIGNING_KEY={base64.b64encode(self.signing).decode()}\n"
        )


@dataclass(frozen=True, slots=True, repr=False)
class EscrowPair:
    """An RSA-4096 pair in PEM: the public half seals, the private half opens."""

    public_pem: bytes
    private_pem: bytes
    fingerprint: str


def new_keys() -> Keys:
    """From the system's random source."""
    return Keys(secrets.token_bytes(32), secrets.token_bytes(32))


def new_escrow_pair(passphrase: str | None) -> EscrowPair:
    """Make a pair; takes a few seconds. With a passphrase the private half is locked."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(65537, 4096)
    lock = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    return EscrowPair(
        private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock),
        escrow_fingerprint(private.public_key()),
    )
