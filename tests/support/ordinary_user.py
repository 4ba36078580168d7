"""Run a piece of a test as an ordinary user, where the tests themselves run as root."""

import os
import pickle
import traceback
from collections.abc import Callable
from typing import Any

from backproof.scratch import NOBODY


def as_ordinary_user(function: Callable[[], Any]) -> Any:
    """The function's result, from a forked process of uid 65534; in this one where we are no root.

    Forked, not started: the interpreter may lie in a folder that only root can enter. So import before the call
    whatever the function needs.
    """
    if os.geteuid() != 0:
        return function()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os._exit(_answer(function, writer))
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        kind, value = pickle.loads(pipe.read())
    os.waitpid(child, 0)
    if kind == "error":
        raise AssertionError(f"as an ordinary user:\n{value}")
    return value


def _answer(function: Callable[[], Any], writer: int) -> int:
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        answer = ("value", function())
    except BaseException:
        answer = ("error", traceback.format_exc())
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(pickle.dumps(answer))
    return 0
