"""Does an application answer at an address? Its status as text, or why there is none."""

import http.client
import urllib.error
import urllib.request

_ANSWER_SECONDS = 10
_NOTHING = "nothing"


class _Staying(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


_HERE = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Staying)


def answer(url: str, elsewhere: bool = True) -> str:
    """What comes back: ``200``, ``503``, or ``nothing`` with the reason.

    Args:
        url: the plan's own address.
        elsewhere: follow redirections, and ask by the proxy that the environment names; else whoever listens at this
            very address has to answer.
    """
    ask = urllib.request.urlopen if elsewhere else _HERE.open
    try:
        with ask(url, timeout=_ANSWER_SECONDS) as given:
            return str(given.status)
    except urllib.error.HTTPError as error:
        with error:
            return str(error.code)
    except http.client.HTTPException as error:
        return f"no HTTP ({type(error).__name__})"
    except (OSError, ValueError) as error:
        return f"{_NOTHING} ({getattr(error, 'reason', None) or type(error).__name__})"


def is_silence(said: str) -> bool:
    """Whether nobody answered."""
    return said.startswith(_NOTHING)
