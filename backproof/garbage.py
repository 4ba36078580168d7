"""When Python looks for cyclic garbage: not while it loads what stays, which a third of the loading time went into."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_SELDOM = 50_000


def look_seldom() -> None:
    """For a process that ends by itself: look after many more objects than 700, and not through all at its end."""
    gc.set_threshold(_SELDOM)
    atexit.unregister(gc.freeze)  # where it has been said before
    atexit.register(gc.freeze)  # what ends a process looks at none of these


@contextmanager
def no_garbage() -> Iterator[None]:
    """Around work that makes a great many small objects and no cycle of them: to look for cycles doubles its time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def loading() -> Iterator[None]:
    """Around imports of a process that lives long: nothing is looked for meanwhile, nor among it ever after."""
    with no_garbage():
        yield
        gc.freeze()
