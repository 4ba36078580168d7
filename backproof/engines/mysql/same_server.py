"""Are two servers one? Shown by a lock that is held on the one and seen on the other; a name or a port shows little."""

from secrets import token_hex

from backproof.engines.mysql.connect import connected, rows
from backproof.engines.mysql.provide import comes_from
from backproof.errors import Permanent
from backproof.records import Manifest, Target


def same_server(one: Target, other: Target) -> bool:
    """The contract is ``Engine.same_server``."""
    name = f"backproof {token_hex(16)}"
    with connected(one, database=False) as holder:
        if rows(holder, "SELECT GET_LOCK(%s, 0)", [name]) != [(1,)]:
            raise Permanent(f"{one.host}:{one.port} gives no lock that nobody has", "Look at the server.")
        with connected(other, database=False) as connection:
            ((held_by,),) = rows(connection, "SELECT IS_USED_LOCK(%s)", [name])
    return held_by is not None


def is_home(target: Target, manifest: Manifest) -> bool:
    """The contract is ``Engine.is_home``."""
    with connected(target, database=False) as connection:
        return comes_from(connection, manifest)
