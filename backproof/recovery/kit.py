"""A folder with which the holder of the escrow key restores a plan without Backproof, with stock tools alone.

It holds public facts, fingerprints, commands and a plugin of a few lines; never a secret.
"""

import os
import shutil
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import backproof
from backproof import catalog
from backproof.archive.signing import fingerprint
from backproof.errors import AccessDenied, AlreadyExists, NotFound, Permanent
from backproof.fleet import Fleet
from backproof.records import Manifest, Record
from backproof.recovery.kit_page import page

_ROOT = Path(backproof.__file__).parents[1]
_PLUGIN = _ROOT / "docs" / "stock"
_REQUIREMENTS = _ROOT / "constraints-stock.txt"


class Kit(Record):
    """One kit that was written."""

    plan: str
    folder: str
    backup: str
    """The one whose roles, settings and digests are in it; any can be restored by it."""
    escrow: str | None
    """Fingerprint of the key whose private half opens the archives; None: they are not encrypted."""
    signers: tuple[str, ...]
    """Fingerprints of the keys whose signatures it checks."""
    files: tuple[str, ...]


def write_kit(fleet: Fleet, plan: str, to: Path, now: datetime) -> Kit:
    """Write a plan's kit into a new folder; it appears whole or not at all.

    Args:
        fleet: where the plan is found.
        plan: its name.
        to: the folder to make.
        now: aware UTC.

    Raises:
        NotFound: the plan has no backup, or its newest one can't be opened by an escrow key.
        AlreadyExists: ``to`` is there; it is never overwritten.
    """
    if to.exists() or to.is_symlink():
        raise AlreadyExists(f"{to} exists", "Name another folder, or move this one away.")
    manifest, _ = catalog.manifest(fleet, plan)
    if manifest.encryption is not None and manifest.encryption.escrow_fingerprint is None:
        raise NotFound(
            f"the newest backup of plan {plan} was sealed for no escrow key",
            "Make one with `backproof keys escrow`, name its public half in fleet.yaml, take a backup, and try again.",
        )
    signers = _signers(fleet)
    files = _files(fleet, plan, manifest, signers, now)
    _write(to, files)
    return Kit(
        plan=plan,
        folder=str(to),
        backup=manifest.id,
        escrow=manifest.encryption.escrow_fingerprint if manifest.encryption else None,
        signers=tuple(signers),
        files=tuple(sorted(files)),
    )


def _files(fleet: Fleet, plan: str, manifest: Manifest, signers: Mapping[str, bytes], now: datetime) -> dict[str, str]:
    by_hand = fleet.engine(plan).by_hand(fleet.restorer(plan), manifest)
    stores = {store.name: (store.location(), store.by_hand(plan)) for store in fleet.stores(plan)}
    public = {name: b64encode(key).decode() for name, key in signers.items()}
    files = {
        "README.md": page(manifest, by_hand, stores, public, now),
        **by_hand.files,
        **{f"signers/{name.removeprefix('ed25519:')}.pem": _pem(key) for name, key in signers.items()},
        "requirements.txt": _own(_REQUIREMENTS),
    }
    if manifest.encryption is not None:
        entries = _PLUGIN / "backproof_escrow-1.dist-info"
        for path in (_PLUGIN / "backproof_escrow.py", entries / "METADATA", entries / "entry_points.txt"):
            files[path.relative_to(_PLUGIN).as_posix()] = _own(path)
    return files


def _own(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        raise NotFound(
            f"{path} is missing", "It belongs to Backproof: run the command from a whole checkout."
        ) from None


def _signers(fleet: Fleet) -> dict[str, bytes]:
    """Each public key whose signatures count, by its fingerprint."""
    keys = [fleet.signer.public_key, *map(b64decode, fleet.spec.signing.also_trust)]
    return {fingerprint(key): key for key in keys}


def _pem(key: bytes) -> str:
    public = Ed25519PublicKey.from_public_bytes(key)
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _write(to: Path, files: Mapping[str, str]) -> None:
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.absolute().parent))
        try:
            for name, text in files.items():
                path = made / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
                path.chmod(0o600 if name == "server.conf" else 0o644)
            made.chmod(0o755)
            made.rename(to)
        finally:
            with suppress(FileNotFoundError):
                shutil.rmtree(made)
    except OSError as error:
        kind = AccessDenied if isinstance(error, PermissionError) else Permanent
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise kind(f"cannot write {to}: {reason}", "Name a folder in a place that you may write to.") from None
