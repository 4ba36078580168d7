"""What ``apply`` says where Prefect's server fails in the middle of it."""

import httpx
import pytest

from backproof.errors import ConfigurationError, ConnectionLost
from deployments.apply.connecting import explained

ASKED = httpx.Request("POST", "http://127.0.0.1:4200/api/deployments/")


def test_an_answer_that_should_not_be_is_named_without_what_was_sent() -> None:
    with pytest.raises(ConfigurationError, match="answered 500 to POST http") as told, explained():
        httpx.Response(500, request=ASKED, text="canary").raise_for_status()
    assert "`backproof apply` does the rest" in told.value.remedy
    assert "canary" not in str(told.value)


@pytest.mark.parametrize(("text", "said"), [("All connection attempts failed", "All connection"), ("", "ReadTimeout")])
def test_a_server_that_goes_away_is_told_from_one_that_refuses(text: str, said: str) -> None:
    with pytest.raises(ConnectionLost, match=f"does not answer any more: {said}"), explained():
        raise httpx.ReadTimeout(text, request=ASKED)
