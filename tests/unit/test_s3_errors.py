"""S3's answers, in our words: the class is the retry policy, the message names place and remedy and no secret."""

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from backproof.errors import (
    AccessDenied,
    AlreadyExists,
    BackproofError,
    ConfigurationError,
    NoSpace,
    NotFound,
    StoreUnavailable,
)
from backproof.stores.s3.errors import translated

SECRET = "canary-secret"
PLACE = "s3://shop-backups/shop/daily/a"


def answered(code: str, status: int, region: str = "") -> boto.ClientError:
    headers = {"x-amz-bucket-region": region} if region else {}
    answer = {
        "Error": {"Code": code, "Message": f"you sent {SECRET}"},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
    }
    return boto.ClientError(answer, "PutObject")  # type: ignore[arg-type]


ANSWERS = [
    (answered("SlowDown", 503), StoreUnavailable, "Try again"),
    (answered("503", 503), StoreUnavailable, "Try again"),
    (answered("InternalError", 500), StoreUnavailable, "Try again"),
    (answered("TooManyRequests", 429), StoreUnavailable, "Try again"),
    (answered("RequestTimeout", 400), StoreUnavailable, "Try again"),
    (answered("BadDigest", 400), StoreUnavailable, "Try again"),
    (answered("ConditionalRequestConflict", 409), StoreUnavailable, "Try again"),
    (answered("NoSuchUpload", 404), StoreUnavailable, "lifecycle rule"),
    (answered("PreconditionFailed", 412), AlreadyExists, "left as it is"),
    (answered("AccessDenied", 403), AccessDenied, f"needs s3:PutObject on {PLACE}"),
    (answered("403", 403), AccessDenied, "needs s3:PutObject"),
    (answered("InvalidAccessKeyId", 403), AccessDenied, "access key"),
    (answered("SignatureDoesNotMatch", 403), AccessDenied, "access key and its secret"),
    (answered("ExpiredToken", 400), AccessDenied, "expired"),
    (answered("KMS.DisabledException", 400), ConfigurationError, "settings"),
    (answered("NoSuchKey", 404), NotFound, ""),
    (answered("404", 404), NotFound, ""),
    (answered("NoSuchBucket", 404), NotFound, "Create the bucket"),
    (answered("RequestTimeTooSkewed", 403), ConfigurationError, "clock"),
    (answered("PermanentRedirect", 301), ConfigurationError, "Correct the store's `region`"),
    (answered("PermanentRedirect", 301, "eu-west-1"), ConfigurationError, "The bucket is in eu-west-1"),
    (answered("AuthorizationHeaderMalformed", 400, "eu-west-1"), ConfigurationError, "The bucket is in eu-west-1"),
    (answered("400", 400, "eu-west-1"), ConfigurationError, "The bucket is in eu-west-1"),
    (answered("InvalidStorageClass", 400), ConfigurationError, "storage_class"),
    (answered("SomethingNew", 400), ConfigurationError, "settings"),
    (answered("NotImplemented", 501), ConfigurationError, "use another"),
    (answered("InsufficientStorage", 507), NoSpace, "Free some room"),
    (answered("XMinioStorageFull", 507), NoSpace, "Free some room"),
    (boto.EndpointConnectionError(endpoint_url=f"http://a:{SECRET}@b"), StoreUnavailable, "no connection"),
    (boto.ConnectTimeoutError(endpoint_url=f"http://a:{SECRET}@b"), StoreUnavailable, "no answer in time"),
    (boto.ReadTimeoutError(endpoint_url=f"http://a:{SECRET}@b"), StoreUnavailable, "no answer in time"),
    (boto.ConnectionClosedError(endpoint_url=f"http://a:{SECRET}@b"), StoreUnavailable, "the connection broke"),
    (boto.SSLError(endpoint_url="", error="EOF occurred"), StoreUnavailable, "the connection broke"),
    (boto.SSLError(endpoint_url="", error="CERTIFICATE_VERIFY_FAILED"), ConfigurationError, "AWS_CA_BUNDLE"),
    (ResponseParserError(SECRET), StoreUnavailable, "not S3's"),
    (boto.NoCredentialsError(), ConfigurationError, "`credentials`"),
    (boto.PartialCredentialsError(provider="env", cred_var="x"), ConfigurationError, "`credentials`"),
    (boto.ParamValidationError(report=SECRET), ConfigurationError, "`bucket`"),
    (ValueError(f"Invalid endpoint: {SECRET}"), ConfigurationError, "`endpoint_url`"),
]


@pytest.mark.parametrize(("error", "kind", "says"), ANSWERS, ids=lambda each: getattr(each, "__name__", None))
def test_an_answer_becomes_one_fact_and_its_remedy(error: Exception, kind: type[BackproofError], says: str) -> None:
    told = translated(error, "s3:PutObject", PLACE)
    assert type(told) is kind
    assert PLACE in told.fact
    assert says in str(told)
    assert SECRET not in str(told)
    assert not told.fact.endswith(".")
