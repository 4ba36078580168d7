"""Whether a store does what is asked of it, tried with one small object."""

import re
from datetime import datetime
from secrets import token_hex

from backproof.errors import Damaged
from backproof.stores import Store

_KEY = re.compile(r"probe-[0-9a-f]{16}")


def write_read_delete(store: Store) -> None:
    """Write, list, read back and delete an object of our own.

    Raises:
        BackproofError: whatever stands in the way.
    """
    key, content = f"probe-{token_hex(8)}", token_hex(16).encode()
    store.put(key, [content])
    try:
        read = b"".join(store.read(key))
        listed = [each.key for each in store.list(key)]
    finally:
        store.delete(key)
    if read != content or listed != [key]:
        raise Damaged(
            f"{store.location(key)} was written, and then {len(read)} bytes of {len(content)} were read, "
            f"and {len(listed)} objects of 1 listed",
            "This store can't be trusted with a backup: use another.",
        )


def remove_probes(store: Store, before: datetime) -> list[str]:
    """Delete the objects of probes that were killed before a moment; says which."""
    found = [each for each in store.list("probe-") if _KEY.fullmatch(each.key) and each.modified_at < before]
    for each in found:
        store.delete(each.key)
    return [f"object of a probe {store.location(each.key)}" for each in found]
