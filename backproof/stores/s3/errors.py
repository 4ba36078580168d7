"""What S3 answers, in the words of ``backproof.errors``.

A message is made of the place, S3's error code and our own sentence; S3's own text is left out, since it can quote what
was sent.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from botocore.exceptions import ConnectionError as NoConnection
from botocore.exceptions import HTTPClientError as BrokenConnection
from botocore.parsers import ResponseParserError

from backproof.errors import (
    AccessDenied,
    AlreadyExists,
    BackproofError,
    ConfigurationError,
    Locked,
    NoSpace,
    NotFound,
    StoreUnavailable,
)

S3_ERRORS = (BotoCoreError, ClientError, ResponseParserError, ValueError)
"""All that botocore raises for one call; ``ValueError`` for an endpoint that is no URL."""

_AGAIN = "Try again later; if it stays, look at the store's own status."
_CREDENTIALS = "Give the store `credentials` in fleet.yaml, or let the machine have a role."
_KEY_PAIR = "Correct the access key and its secret in the store's `credentials`."
_CODES: dict[str, tuple[type[BackproofError], str]] = {
    "NoSuchKey": (NotFound, ""),
    "NoSuchVersion": (NotFound, ""),
    "NoSuchBucket": (NotFound, "Create the bucket, or correct `bucket` and `endpoint_url` of the store."),
    "InvalidAccessKeyId": (AccessDenied, _KEY_PAIR),
    "SignatureDoesNotMatch": (AccessDenied, _KEY_PAIR),
    "AuthFailure": (AccessDenied, _KEY_PAIR),
    "ExpiredToken": (AccessDenied, "The session token has expired: get a new one."),
    "InvalidToken": (AccessDenied, "The session token belongs to other credentials, or to none: get a new one."),
    "RequestTimeTooSkewed": (ConfigurationError, "This machine's clock is wrong: let it follow a time server."),
    "PermanentRedirect": (ConfigurationError, "Correct the store's `region`."),
    "AuthorizationHeaderMalformed": (ConfigurationError, "Correct the store's `region`."),
    "IllegalLocationConstraintException": (ConfigurationError, "Correct the store's `region`."),
    "301": (ConfigurationError, "Correct the store's `region`."),
    "InvalidStorageClass": (ConfigurationError, "Correct the store's `storage_class`."),
    "InvalidBucketName": (ConfigurationError, "Correct the store's `bucket`."),
    "NotImplemented": (ConfigurationError, "This server lacks a part of S3 that Backproof needs: use another."),
    "InsufficientStorage": (NoSpace, "Free some room there, or raise its limit."),
    "QuotaExceeded": (NoSpace, "Free some room there, or raise its limit."),
    "XMinioStorageFull": (NoSpace, "Free some room there, or raise its limit."),
    "NoSuchUpload": (StoreUnavailable, "Something else ended the upload: look for a lifecycle rule, and try again."),
}
_LOCKED = re.compile(r"object lock|legal hold|\bWORM\b", re.IGNORECASE)
"""Servers have no common code for it."""

_PASSING = frozenset(
    {
        "BadDigest",
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
        "InvalidPart",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "XAmzContentSHA256Mismatch",
    }
)
"""What passes on its own though its status can be 4xx."""


@contextmanager
def told(action: str, place: str) -> Iterator[None]:
    """Turn what botocore raises in the body into an error that names place, action and remedy.

    Args:
        action: as S3's policies write it, such as ``s3:PutObject``.
        place: as ``Store.location`` writes it.
    """
    try:
        yield
    except S3_ERRORS as error:
        raise translated(error, action, place) from error


def translated(error: Exception, action: str, place: str) -> BackproofError:
    """One exception of botocore, as a person wants to read it."""
    if isinstance(error, ClientError):
        return _answered(error, action, place)
    what = f"{action} on {place} failed"
    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
        return ConfigurationError(f"{what}: no complete credentials were found", _CREDENTIALS)
    if isinstance(error, SSLError) and "CERTIFICATE" in str(error).upper():
        return ConfigurationError(
            f"{what}: the server's certificate is not trusted",
            "Correct `endpoint_url`, or name the certificate authority in AWS_CA_BUNDLE.",
        )
    if isinstance(error, NoConnection | BrokenConnection | ResponseParserError):
        return StoreUnavailable(f"{what}: {_words(error)}", _AGAIN)
    return ConfigurationError(
        f"{what}: {_words(error)}", "Correct `bucket`, `region`, `prefix` or `endpoint_url` of the store."
    )


def status(error: ClientError) -> int:
    """The HTTP status of an answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code(error: ClientError) -> str:
    """S3's word for the error; a HEAD has no body, and so only a number."""
    return str(error.response.get("Error", {}).get("Code", "?"))


def _answered(error: ClientError, action: str, place: str) -> BackproofError:
    answer, number = code(error), status(error)
    fact = f"{action} on {place} failed: {answer}"
    if answer == "PreconditionFailed":
        return already_there(place)
    if (
        action == "s3:DeleteObject"
        and number in (400, 403, 405)
        and _LOCKED.search(error.response.get("Error", {}).get("Message", ""))
    ):
        return Locked(fact, "It can be deleted once its lock has ended.")
    if answer in _CODES:
        kind, remedy = _CODES[answer]
        return kind(fact, _region(error) or remedy)
    if number == 403:
        return AccessDenied(fact, _right(action, place, named=answer != "403"))
    if number == 404:
        return NotFound(fact)
    if number == 507:
        return NoSpace(fact, "Free some room there, or raise its limit.")
    if number == 429 or number >= 500 or answer in _PASSING:
        return StoreUnavailable(fact, _AGAIN)
    return ConfigurationError(f"{fact} (HTTP {number})", _region(error) or "Check the store's settings in fleet.yaml.")


def already_there(place: str) -> AlreadyExists:
    """The key is taken."""
    return AlreadyExists(f"{place} exists already", "It was left as it is: what is written once is never changed.")


def _right(action: str, place: str, named: bool) -> str:
    """S3 does not say why it refuses a HEAD, and refuses one of a missing key to who may not list."""
    if named:
        return f"The user or role needs {action} on {place}."
    return f"The user or role needs {action} on {place}, and s3:ListBucket on its bucket."


def _region(error: ClientError) -> str:
    """S3 names the right region when it was asked in a wrong one."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = headers.get("x-amz-bucket-region") or error.response.get("Error", {}).get("Region")
    wrong = region and status(error) in (301, 307, 400)
    return f"The bucket is in {region}: correct the store's `region`." if wrong else ""


def _words(error: Exception) -> str:
    """Our words, since botocore's can quote a URL with all that is in it."""
    if isinstance(error, ConnectTimeoutError | ReadTimeoutError):
        return "no answer in time"
    if isinstance(error, EndpointConnectionError):
        return "no connection"
    if isinstance(error, ResponseParserError):
        return "the answer is not S3's"
    return "the connection broke" if isinstance(error, NoConnection | BrokenConnection) else type(error).__name__
