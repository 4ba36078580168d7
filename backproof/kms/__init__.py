"""A key in AWS KMS, which never leaves there: each archive's own data key is sent to it to be wrapped and unwrapped.

What is stored is what KMS's ``Encrypt`` answers, bound to the message's context: the stock AWS Encryption SDK opens it
with the same key. The context reaches KMS in clear, where a key's policy can ask for it and CloudTrail writes it down.
What a backup needs is ``kms:Encrypt``, what a proof and a restore need is ``kms:Decrypt``.

botocore is imported with the first request (``kms.service``), not with this module: the command line answers at once.
"""

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backproof.kms.service import Service


@dataclass(frozen=True, slots=True)
class Access:
    """Which key it is, who asks, and with how much patience."""

    arn: str
    endpoint_url: str | None
    access_key_id: str | None = field(repr=False)
    secret_access_key: str | None = field(repr=False)
    session_token: str | None = field(repr=False)
    connect_seconds: float
    read_seconds: float
    attempts: int

    @property
    def region(self) -> str:
        """Where the key is."""
        return self.arn.split(":")[3]


class KmsKey:
    """What ``backproof.archive`` asks of a key that it does not have. From any thread.

    Args:
        arn: of the key itself, not of an alias: an archive names it for as long as it is kept.
        endpoint_url: None for Amazon's, in the region of the ARN.
        access_key_id: None takes the machine's own credentials.
        connect_seconds: how long to wait for a connection.
        read_seconds: how long to wait for an answer.
        attempts: how often in all a request is sent; a stalled KMS is an error after some ``attempts * read_seconds``.
    """

    def __init__(
        self,
        arn: str,
        endpoint_url: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        session_token: str | None = None,
        *,
        connect_seconds: float = 5,
        read_seconds: float = 10,
        attempts: int = 4,
    ) -> None:
        self.name = arn
        self._access = Access(
            arn,
            endpoint_url,
            access_key_id,
            secret_access_key,
            session_token,
            connect_seconds,
            read_seconds,
            attempts,
        )
        self._opened: Service | None = None
        self._opening = Lock()

    def wrap(self, data_key: bytes, context: dict[str, str]) -> bytes:
        """Encrypt a data key, bound to a context.

        Raises:
            KeyUnavailable: KMS can't be reached, or has too much to do.
            AccessDenied, NotFound, ConfigurationError: it refuses.
        """
        return self._service.encrypt(data_key, context)

    def unwrap(self, wrapped: bytes, context: dict[str, str]) -> bytes:
        """The inverse of ``wrap``.

        Raises:
            Damaged: this key did not wrap that, or not in this context.
            KeyUnavailable, AccessDenied, NotFound, ConfigurationError: as ``wrap``; which says nothing of the blob.
        """
        return self._service.decrypt(wrapped, context)

    def __repr__(self) -> str:
        return f"KmsKey({self.name})"

    @property
    def _service(self) -> "Service":
        with self._opening:
            if self._opened is None:
                from backproof.kms.service import Service

                self._opened = Service(self._access)
            return self._opened
