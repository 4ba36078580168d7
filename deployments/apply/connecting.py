"""A client of Prefect's server that asks again at once where a server on this machine was only busy.

SQLite refuses a write while another one is under way, and the server then answers 503. Prefect's client asks again two
seconds later and more; what stood in the way is over within some hundredths of one.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL

from backproof.errors import ConfigurationError, ConnectionLost

_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4)
"""In seconds; whoever was refused so often is left to Prefect's own patience."""
_CONNECTS = 3
"""Prefect's own number of attempts."""
_HERE = ("127.0.0.1", "localhost", "::1")


class SoonAgain(httpx.HTTPTransport):
    """Carries a request over, and again after a moment where the server was busy, as Prefect's client does later."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx asks for it."""
        for pause in _PAUSES:
            response = super().handle_request(request)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE or "Retry-After" in response.headers:
                return response
            response.close()
            time.sleep(pause)
        return super().handle_request(request)


def connected() -> SyncPrefectClient:
    """A client of the server that the settings name; of one elsewhere, behind proxies perhaps, as Prefect makes it."""
    address = urlsplit(PREFECT_API_URL.value() or "")
    if address.scheme == "http" and address.hostname in _HERE:
        return get_client(httpx_settings={"transport": SoonAgain(retries=_CONNECTS)}, sync_client=True)
    return get_client(sync_client=True)


@contextmanager
def explained() -> Iterator[None]:
    """What a server refuses, or no longer answers, as an error of ours.

    Raises:
        ConnectionLost: it went away.
        ConfigurationError: it answered with something else than it should.
    """
    again = "What was done is done: once that is mended, `backproof apply` does the rest."
    try:
        yield
    except httpx.HTTPStatusError as error:
        asked = f"{error.request.method} {error.request.url}"
        raise ConfigurationError(
            f"Prefect's server answered {error.response.status_code} to {asked}", f"Its log says why. {again}"
        ) from error
    except httpx.TransportError as error:
        said = str(error) or type(error).__name__
        raise ConnectionLost(f"Prefect's server does not answer any more: {said}", again) from error
