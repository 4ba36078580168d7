"""The escrow key pair as files: the public half is at hand, the private half only when all else is lost."""

from pathlib import Path

from pydantic import SecretStr

from backproof.errors import AccessDenied, ConfigurationError, NotFound, WrongKey


def public_pem(text_or_path: str, where: str) -> bytes:
    """The public half, from a file or from PEM text itself.

    Raises:
        NotFound, AccessDenied: the file can't be read.
        ConfigurationError: it is no RSA public key in PEM.
    """
    if text_or_path.startswith("-----BEGIN"):
        pem, source = text_or_path.encode(), where
    else:
        pem, source = _read(Path(text_or_path), where), text_or_path
    if b"-----BEGIN PUBLIC KEY-----" not in pem:
        what = "a private key" if b"PRIVATE KEY-----" in pem else "no public key in PEM"
        raise ConfigurationError(
            f"{where}: {source} holds {what}", "Name the public half that backproof keys escrow wrote."
        )
    return pem


def private_pem(path: Path, passphrase: SecretStr | None, where: str) -> bytes:
    """The private half, unlocked: PEM without passphrase, to be kept in memory only.

    Raises:
        NotFound, AccessDenied: the file can't be read.
        WrongKey: the passphrase is missing or wrong.
        ConfigurationError: it is no private key in PEM.
    """
    from cryptography.hazmat.primitives import serialization

    password = None if passphrase is None else passphrase.get_secret_value().encode()
    pem = _read(path, where)
    if password is not None and b"ENCRYPTED" not in pem:
        password = None  # an unlocked key needs none, and cryptography refuses one that is not needed
    try:
        key = serialization.load_pem_private_key(pem, password)
    except TypeError:
        raise WrongKey(f"{where}: {path} is locked", "Give its passphrase as escrow_passphrase.") from None
    except ValueError:
        if password is not None:
            raise WrongKey(f"{where}: the passphrase does not open {path}", "Give the right one.") from None
        raise ConfigurationError(f"{where}: {path} is no private key in PEM", "Name the escrow private key.") from None
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(
            f"{where}: there is no file {path}", "Make the pair with backproof keys escrow, or correct the path."
        ) from None
    except PermissionError:
        raise AccessDenied(f"{where}: cannot read {path}", "Give this user the right to read it.") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{where}: {path} is a folder", "Name the file.") from None
