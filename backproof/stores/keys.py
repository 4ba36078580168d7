"""What a key may be, the same for every store."""

import re

from backproof.errors import ConfigurationError

_PART = re.compile(r"[A-Za-z0-9._-]+")
_PREFIX = re.compile(r"[A-Za-z0-9._/-]*")
_DOTS = (".", "..")


def is_key(text: str) -> bool:
    """Whether this is a name that a store of ours may hold."""
    return all(_PART.fullmatch(part) and part not in _DOTS for part in text.split("/"))


def checked(key: str) -> str:
    """The key itself.

    Raises:
        ConfigurationError: it is none; before any store is touched.
    """
    if not is_key(key):
        raise ConfigurationError(
            f"{key!r} is no key of a store",
            "A key is made of names of letters, digits, '.', '_' and '-', with '/' between them, and no '.' or '..'.",
        )
    return key


def checked_prefix(prefix: str) -> str:
    """The prefix itself: any beginning of a key, or nothing.

    Raises:
        ConfigurationError: no key begins like this.
    """
    folder = prefix.rpartition("/")[0]
    if not _PREFIX.fullmatch(prefix) or ((folder or "/" in prefix) and not is_key(folder)):
        raise ConfigurationError(f"no key begins with {prefix!r}", "Use the beginning of a key, such as 'shop/daily/'.")
    return prefix
