"""The kinds of value that a fleet is made of: names, keys, paths, schedules."""

import base64
import binascii
import re
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo

from backproof.fleet import cron

_KEY_ARN = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+", re.ASCII)


class Spec(BaseModel):
    """Immutable; an unknown key is an error; a message never repeats a value.

    What stands below a field is what docs/fleet.md says of it; a test holds them together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def key_bytes(secret: SecretStr) -> bytes:
    """The 32 bytes of an AES or signing key.

    Raises:
        ValueError: masked by a form, not base64, or not 32 bytes; the value is not repeated.
    """
    text = secret.get_secret_value().strip()
    if text and not text.strip("*"):
        raise ValueError("holds asterisks where the key should be: a form has saved its mask; enter the key again")
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is no base64; 'backproof keys new' makes a key") from None
    if len(key) != 32:
        raise ValueError(f"is {len(key)} bytes long and not 32; 'backproof keys new' makes a key")
    return key


def _check_public_key(text: str) -> str:
    key_bytes(SecretStr(text))
    return text


def _check_key(secret: SecretStr) -> SecretStr:
    key_bytes(secret)
    return secret


def _check_key_if_any(secret: SecretStr | None) -> SecretStr | None:
    return None if secret is None else _check_key(secret)


def _check_keys(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    return tuple(_check_key(secret) for secret in secrets)


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    if path.parts[:1] and path.parts[0].startswith("~"):
        raise ValueError(f"{path} begins with a tilde, which only a shell expands; write ${{HOME}}/… instead")
    folder = (info.context or {}).get("folder")
    return path if folder is None else folder / path


def _pem_or_path(text: str, info: ValidationInfo) -> str:
    return text if text.startswith("-----BEGIN") else str(_beside_the_file(Path(text), info))


def _check_key_arn(text: str) -> str:
    if ":alias/" in text or text.startswith("alias/"):
        raise ValueError("names an alias, which may mean another key tomorrow; write the ARN of the key itself")
    if not _KEY_ARN.fullmatch(text):
        raise ValueError("is no ARN of a key in KMS, such as arn:aws:kms:eu-west-1:111122223333:key/1234abcd-…")
    return text


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # not found, the name of a folder, a path that leads outside
        raise ValueError(f"{name!r} is no time zone; write one such as UTC or Europe/Amsterdam") from None
    return name


def _several(value: object) -> object:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""What something is called in a fleet: lower-case letters, digits and hyphens, at most 63."""

Text = Annotated[str, Field(min_length=1)]
# The checks stand outermost: Prefect looks for secrets in a field's bare type and would save "********" for what it
# does not find.
Key = Annotated[SecretStr, AfterValidator(_check_key)]
OptionalKey = Annotated[SecretStr | None, AfterValidator(_check_key_if_any)]
Keys = Annotated[tuple[SecretStr, ...], AfterValidator(_check_keys)]
"""Base64 of 32 bytes."""

PublicKey = Annotated[str, AfterValidator(_check_public_key)]
"""Base64 of 32 bytes that are no secret."""

KeyArn = Annotated[str, AfterValidator(_check_key_arn)]
"""Of a key in AWS KMS."""

PemOrPath = Annotated[str, Field(min_length=1), AfterValidator(_pem_or_path)]
"""PEM text itself, or a file that holds it."""

FilePath = Annotated[Path, AfterValidator(_beside_the_file)]
"""A relative path is relative to the folder of the file it is written in."""

Zone = Annotated[str, AfterValidator(_check_zone)]
Schedules = Annotated[tuple[Annotated[str, AfterValidator(cron.check)], ...], BeforeValidator(_several)]
"""One cron schedule or a list of them; an empty list for none."""

Command = Annotated[tuple[Text, ...], Field(min_length=1)]
"""A program and its arguments; no shell reads it."""
