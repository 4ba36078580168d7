"""The two requests that are made of a key in KMS."""

import threading
from typing import Any

from botocore.config import Config
from botocore.loaders import create_loader
from botocore.session import Session

from backproof.errors import ConfigurationError
from backproof.kms import Access
from backproof.kms.errors import told

_DESCRIPTIONS = create_loader()
"""Of KMS's API: read once a process, not once for every archive that is opened."""

_READING = threading.Lock()


class Service:
    """KMS as one key is asked there.

    Raises:
        ConfigurationError: endpoint, region or credentials are not of the form they must have.
    """

    def __init__(self, access: Access) -> None:
        self._arn = access.arn
        with told("kms:Encrypt", access.arn), _READING:
            session = Session()
            session.register_component("data_loader", _DESCRIPTIONS)
            self._client: Any = session.create_client(
                "kms",
                region_name=access.region,
                endpoint_url=access.endpoint_url,
                aws_access_key_id=access.access_key_id,
                aws_secret_access_key=access.secret_access_key,
                aws_session_token=access.session_token,
                config=Config(
                    connect_timeout=access.connect_seconds,
                    read_timeout=access.read_seconds,
                    retries={"mode": "standard", "total_max_attempts": access.attempts},
                ),
            )

    def encrypt(self, plain: bytes, context: dict[str, str]) -> bytes:
        """``kms:Encrypt``."""
        with told("kms:Encrypt", self._arn):
            answer = self._client.encrypt(KeyId=self._arn, Plaintext=plain, EncryptionContext=context)
        return self._of_this_key(answer, "CiphertextBlob")

    def decrypt(self, blob: bytes, context: dict[str, str]) -> bytes:
        """``kms:Decrypt``, by this key and no other, whatever the blob says."""
        with told("kms:Decrypt", self._arn):
            answer = self._client.decrypt(KeyId=self._arn, CiphertextBlob=blob, EncryptionContext=context)
        return self._of_this_key(answer, "Plaintext")

    def _of_this_key(self, answer: dict[str, Any], part: str) -> bytes:
        if answer.get("KeyId") != self._arn or not isinstance(answer.get(part), bytes):
            raise ConfigurationError(
                f"KMS was asked for {self._arn} and did not answer with it",
                "Write the ARN of the key itself, in its own region; where `endpoint_url` is given, correct it.",
            )
        return bytes(answer[part])
