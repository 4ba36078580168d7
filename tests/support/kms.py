"""Keys in KMS for tests: in moto's, and one that obeys the contract without any server."""

from typing import Any

import boto3

from backproof.archive.message import EncryptedDataKey
from backproof.archive.wrapping import AesKey
from backproof.errors import BackproofError

REGION = "eu-west-1"
ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_ARN = "arn:aws:kms:us-east-1:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321"
ID = "AKIAEXAMPLE"
SECRET = "canary-secret-of-kms"


class StandInKey:
    """``backproof.archive.wrapping.KmsKey``, with its bytes here; raises ``refusal`` where it has one."""

    def __init__(self, name: str = ARN, key: bytes = bytes(32), refusal: BackproofError | None = None) -> None:
        self.name = name
        self.refusal = refusal
        self.asked = 0
        self._key = AesKey(key)

    def wrap(self, data_key: bytes, context: dict[str, str]) -> bytes:
        self._answer()
        wrapped = self._key.wrap(data_key, context)
        return wrapped.info[-12:] + wrapped.ciphertext

    def unwrap(self, wrapped: bytes, context: dict[str, str]) -> bytes:
        self._answer()
        return self._key.unwrap(EncryptedDataKey("", wrapped[:12], wrapped[12:]), context)

    def _answer(self) -> None:
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal


def client(url: str, region: str = REGION) -> Any:
    """KMS as an administrator sees it."""
    return boto3.client("kms", region_name=region, endpoint_url=url, aws_access_key_id=ID, aws_secret_access_key=SECRET)


def new_key(url: str, region: str = REGION, **wishes: Any) -> str:
    """The ARN of a new key."""
    arn: str = client(url, region).create_key(**wishes)["KeyMetadata"]["Arn"]
    return arn
