"""Whether a store does what is asked of it, tried with one small object."""

from secrets import token_hex

from backproof.errors import Damaged
from backproof.stores import Store


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
