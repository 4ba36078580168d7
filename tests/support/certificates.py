"""Certificates for servers of tests that speak TLS."""

import os
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from backproof.scratch import NOBODY


def certificates(folder: Path) -> None:
    """Authorities ``ca.pem`` and ``other.pem``, and ``server.pem`` for 127.0.0.1, by the first; with their keys.

    A server that is run by another user than us can read them.
    """
    day, now = timedelta(days=1), datetime.now(UTC)

    def write(name: str, key: ec.EllipticCurvePrivateKey, signer: str, by: ec.EllipticCurvePrivateKey) -> None:
        def named(common: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])

        certificate = (
            x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(signer)).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
            .add_extension(x509.BasicConstraints(ca=name == signer, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .sign(by, hashes.SHA256())
        )  # fmt: skip
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        text = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        (folder / f"{name}.key").write_bytes(text)
        (folder / f"{name}.key").chmod(0o600)
        if os.getuid() == 0:
            os.chown(folder / f"{name}.key", NOBODY, -1)

    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "other", "server")}
    for name, key in keys.items():
        signer = "ca" if name == "server" else name
        write(name, key, signer, keys[signer])
