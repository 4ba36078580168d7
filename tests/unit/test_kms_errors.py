"""KMS's answers, in our words: the class is the retry policy, the message names key, right and remedy and no secret."""

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from backproof.errors import AccessDenied, BackproofError, ConfigurationError, Damaged, KeyUnavailable, NotFound
from backproof.kms.errors import translated
from tests.support.kms import ARN, SECRET


def answered(code: str, status: int = 400) -> boto.ClientError:
    answer = {
        "Error": {"Code": code, "Message": f"you sent {SECRET}"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return boto.ClientError(answer, "Decrypt")  # type: ignore[arg-type]


ANSWERS = [
    (answered("AccessDeniedException"), AccessDenied, "needs kms:Decrypt on this key"),
    (answered("SomethingNew", 403), AccessDenied, "needs kms:Decrypt"),
    (answered("DisabledException"), AccessDenied, "enable it"),
    (answered("KMSInvalidStateException"), AccessDenied, "pending deletion"),
    (answered("UnrecognizedClientException"), AccessDenied, "access key and its secret"),
    (answered("InvalidSignatureException"), AccessDenied, "clock"),
    (answered("MissingAuthenticationTokenException"), AccessDenied, "`credentials`"),
    (answered("ExpiredTokenException"), AccessDenied, "expired"),
    (answered("NotFoundException"), NotFound, "correct `kms`"),
    (answered("InvalidKeyUsageException"), ConfigurationError, "symmetric"),
    (answered("RequestExpired"), ConfigurationError, "clock"),
    (answered("InvalidCiphertextException"), Damaged, "another copy"),
    (answered("IncorrectKeyException"), Damaged, "another copy"),
    (answered("ThrottlingException"), KeyUnavailable, "Try again"),
    (answered("LimitExceededException"), KeyUnavailable, "Try again"),
    (answered("KMSInternalException", 500), KeyUnavailable, "Try again"),
    (answered("KeyUnavailableException", 500), KeyUnavailable, "Try again"),
    (answered("DependencyTimeoutException", 503), KeyUnavailable, "Try again"),
    (answered("SomethingNew", 502), KeyUnavailable, "Try again"),
    (answered("SomethingNew"), ConfigurationError, "HTTP 400"),
    (boto.EndpointConnectionError(endpoint_url=f"http://a:{SECRET}@b"), KeyUnavailable, "no connection"),
    (boto.ConnectTimeoutError(endpoint_url=f"http://a:{SECRET}@b"), KeyUnavailable, "no answer in time"),
    (boto.ReadTimeoutError(endpoint_url=f"http://a:{SECRET}@b"), KeyUnavailable, "no answer in time"),
    (boto.ConnectionClosedError(endpoint_url=f"http://a:{SECRET}@b"), KeyUnavailable, "the connection broke"),
    (boto.SSLError(endpoint_url="", error="EOF occurred"), KeyUnavailable, "the connection broke"),
    (boto.SSLError(endpoint_url="", error="CERTIFICATE_VERIFY_FAILED"), ConfigurationError, "AWS_CA_BUNDLE"),
    (ResponseParserError(SECRET), KeyUnavailable, "not KMS's"),
    (boto.NoCredentialsError(), ConfigurationError, "`credentials`"),
    (boto.PartialCredentialsError(provider="env", cred_var="x"), ConfigurationError, "`credentials`"),
    (boto.ParamValidationError(report=SECRET), ConfigurationError, "`endpoint_url`"),
    (ValueError(f"Invalid endpoint: {SECRET}"), ConfigurationError, "`endpoint_url`"),
]


@pytest.mark.parametrize(("error", "kind", "says"), ANSWERS, ids=lambda each: getattr(each, "__name__", None))
def test_an_answer_becomes_one_fact_and_its_remedy(error: Exception, kind: type[BackproofError], says: str) -> None:
    told = translated(error, "kms:Decrypt", ARN)
    assert type(told) is kind
    assert told.fact.startswith(f"kms:Decrypt with {ARN} failed: ")
    assert says in str(told)
    assert SECRET not in str(told)
