"""What KMS answers, in the words of ``backproof.errors``.

A message is made of the key's ARN, KMS's error code and our own sentence; KMS's own text is left out, since it
can quote what was sent and who sent it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError

from backproof.errors import (
    AccessDenied,
    BackproofError,
    ConfigurationError,
    Damaged,
    KeyUnavailable,
    NotFound,
)

_AGAIN = "Try again later; if it stays, look at the status of KMS in that region."
_CREDENTIALS = "Give the key ring `credentials` in fleet.yaml, or let the machine have a role."
_KEY_PAIR = "Correct the access key and its secret in the key ring's `credentials`."
_TOKEN = "The session token has expired, or belongs to other credentials: get a new one."  # noqa: S105 — a sentence
_CLOCK = "This machine's clock is wrong: let it follow a time server."
_ANOTHER_COPY = "The archive's data key was changed, or what it is bound to: use another copy of this backup."
_SYMMETRIC = "It must be a symmetric key for encryption and decryption: correct `kms`."
_CODES: dict[str, tuple[type[BackproofError], str]] = {
    "DisabledException": (AccessDenied, "The key is disabled: enable it, or give another one that is."),
    "KMSInvalidStateException": (
        AccessDenied,
        "The key is pending deletion, or has no key material. Cancel its deletion and enable it: once it is gone, only "
        "the escrow key opens what was sealed with it.",
    ),
    "NotFoundException": (NotFound, "There is no such key in that account and region: correct `kms`."),
    "InvalidArnException": (ConfigurationError, "Write the key's own ARN: correct `kms`."),
    "InvalidKeyUsageException": (ConfigurationError, _SYMMETRIC),
    "UnsupportedOperationException": (ConfigurationError, _SYMMETRIC),
    "InvalidCiphertextException": (Damaged, _ANOTHER_COPY),
    "IncorrectKeyException": (Damaged, _ANOTHER_COPY),
    "UnrecognizedClientException": (AccessDenied, _KEY_PAIR),
    "InvalidClientTokenId": (AccessDenied, _KEY_PAIR),
    "InvalidSignatureException": (AccessDenied, f"{_KEY_PAIR} If they are right, so must this machine's clock be."),
    "IncompleteSignature": (AccessDenied, _KEY_PAIR),
    "MissingAuthenticationTokenException": (AccessDenied, _CREDENTIALS),
    "ExpiredTokenException": (AccessDenied, _TOKEN),
    "RequestExpired": (ConfigurationError, _CLOCK),
}
_PASSING = frozenset(
    {
        "DependencyTimeoutException",
        "KeyUnavailableException",
        "KMSInternalException",
        "LimitExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""What passes on its own, whatever its status."""


@contextmanager
def told(action: str, arn: str) -> Iterator[None]:
    """Turn what botocore raises in the body into an error that names key, action and remedy.

    Args:
        action: as a policy writes it: ``kms:Encrypt``.
        arn: of the key.
    """
    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError, ValueError) as error:  # ValueError: an endpoint is no URL
        raise translated(error, action, arn) from error


def translated(error: Exception, action: str, arn: str) -> BackproofError:
    """One exception of botocore, as a person wants to read it."""
    if isinstance(error, ClientError):
        return _answered(error, action, arn)
    what = f"{action} with {arn} failed"
    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
        return ConfigurationError(f"{what}: no complete credentials were found", _CREDENTIALS)
    if isinstance(error, SSLError) and "CERTIFICATE" in str(error).upper():
        return ConfigurationError(
            f"{what}: the server's certificate is not trusted",
            "Correct `endpoint_url`, or name the certificate authority in AWS_CA_BUNDLE.",
        )
    if isinstance(error, NoConnection | HTTPClientError | ResponseParserError):
        return KeyUnavailable(f"{what}: {_words(error)}", _AGAIN)
    return ConfigurationError(
        f"{what}: {type(error).__name__}", "Correct `kms`, `credentials` or `endpoint_url` of the key ring."
    )


def _answered(error: ClientError, action: str, arn: str) -> BackproofError:
    answer = str(error.response.get("Error", {}).get("Code", "?"))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    fact = f"{action} with {arn} failed: {answer}"
    if answer in _PASSING or status == 429 or status >= 500:
        return KeyUnavailable(fact, _AGAIN)
    if answer in _CODES:
        kind, remedy = _CODES[answer]
        return kind(fact, remedy)
    if answer == "AccessDeniedException" or status == 403:
        return AccessDenied(fact, f"The user or role needs {action} on this key, by its own policy or by the key's.")
    return ConfigurationError(f"{fact} (HTTP {status})", "Check the key ring's settings in fleet.yaml.")


def _words(error: Exception) -> str:
    """Our words, since botocore's can quote a URL with all that is in it."""
    if isinstance(error, ConnectTimeoutError | ReadTimeoutError):
        return "no answer in time"
    if isinstance(error, EndpointConnectionError):
        return "no connection"
    return "the answer is not KMS's" if isinstance(error, ResponseParserError) else "the connection broke"
