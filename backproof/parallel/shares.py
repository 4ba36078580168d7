"""Dividing tables among several runs of a dump tool: whole tables, about equal bytes each. Pure."""

WORTHWHILE_BYTES = 16 * 1024 * 1024
"""A further run costs a connection and a look at the whole catalogue."""

MOVED_AT_MOST = 500
"""Tables named in one argument list."""


def divided(movable: list[tuple[str, int]], rest: int, jobs: int) -> list[tuple[str, ...]]:
    """The biggest first, each to whoever has least; the first run has the rest, and keeps its share.

    Args:
        movable: what a run would be given, and its bytes; biggest first.
        rest: bytes of all that only the first run can dump.
        jobs: runs in all.

    Returns:
        The shares of the further runs, none of them empty; at most ``jobs - 1``.
    """
    loads = [rest] + [0] * (jobs - 1)
    given: list[list[str]] = [[] for _ in range(jobs)]
    for name, size in movable:
        least = loads.index(min(loads))
        loads[least] += size
        given[least].append(name)
    return [tuple(share) for share in given[1:] if share]
