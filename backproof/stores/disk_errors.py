"""What a file system answers, in the words of ``backproof.errors``."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from backproof.errors import AccessDenied, BackproofError, ConfigurationError, NoSpace, NotFound, StoreUnavailable

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_RIGHT = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
NOT_PLAIN = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO})


@contextmanager
def told(verb: str, place: str) -> Iterator[None]:
    """Turn an ``OSError`` of the body into an error that names the place and the remedy."""
    try:
        yield
    except OSError as error:
        raise translated(error, verb, place) from error


def translated(error: OSError, verb: str, place: str) -> BackproofError:
    """One ``OSError``, as a person wants to read it."""
    fact = f"cannot {verb} {place}: {error.strerror or error}"
    if error.errno in NO_ROOM:
        return NoSpace(fact, "Free some room there, raise the quota or limit, or let the plan use a larger disk.")
    if error.errno in NO_RIGHT:
        return AccessDenied(fact, "Let the user who runs Backproof read and write there, with `chown` or a remount.")
    if error.errno == errno.ENOENT:
        return NotFound(fact, "It was deleted, or its disk is not mounted.")
    if error.errno in NOT_PLAIN:
        return ConfigurationError(fact, "Something that is not a plain file or folder lies in the way: look at it.")
    return StoreUnavailable(fact, "Look at the disk or the mount, and at the kernel's log (`dmesg`).")
