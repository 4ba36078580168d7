"""Lets the stock ``aws-encryption-cli`` open a Backproof archive with the escrow private key. See README.md here."""

from getpass import getpass
from pathlib import Path

import attr
from aws_encryption_sdk.identifiers import EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.base import MasterKeyProviderConfig
from aws_encryption_sdk.key_providers.raw import RawMasterKeyProvider


@attr.s
class Arguments(MasterKeyProviderConfig):
    file = attr.ib()
    key_ids = attr.ib(default=())


class EscrowKey(RawMasterKeyProvider):
    provider_id = "backproof"
    _config_class = Arguments

    def __init__(self, **arguments):
        """The arguments are in ``self.config`` already."""

    def _get_raw_key(self, key_id):
        pem = Path(self.config.file[0]).read_bytes()
        passphrase = getpass("Passphrase of the escrow key: ").encode() if b"ENCRYPTED" in pem else None
        return WrappingKey(WrappingAlgorithm.RSA_OAEP_SHA256_MGF1, pem, EncryptionKeyType.PRIVATE, passphrase)
