"""numpy, loaded by a thread that sees one processor.

Its linear algebra, which is asked for a few numbers here, would start a thread for each: with two, loading takes twice
as long.
"""

import os
from contextlib import suppress

_processors = os.sched_getaffinity(0)
with suppress(OSError):  # some containers forbid it
    os.sched_setaffinity(0, {min(_processors)})
try:
    import numpy as np
    from numpy.typing import NDArray
finally:
    with suppress(OSError):
        os.sched_setaffinity(0, _processors)

__all__ = ["NDArray", "np"]
