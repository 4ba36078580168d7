"""Copy, as a task."""

from backproof.operations import copy as operation
from backproof.operations.copy import Copied
from blocks import load_fleet
from tasks import stopping, words
from tasks.progress import progress
from tasks.steps import log, step


@step("copy to {target}")
def copy(plan: str, backup: str, source: str, target: str, stored_bytes: int | None = None) -> Copied:
    """Bring one archive to one more store, check it there, then write its manifest.

    Args:
        plan: whose backup it is.
        backup: its id.
        source: the store to read.
        target: the store to write.
        stored_bytes: its size, for the time left.
    """
    with progress(f"{plan}-copy-{target}", f"copying {backup} to {target}", stored_bytes) as reported:
        copied = operation.copy(load_fleet(plan), plan, backup, source, target, reported, stopping.now)
    how = "was there already, and is the same" if copied.existed else _speed(copied)
    log(f"copied {backup} to {target}: {how}")
    return copied


def _speed(copied: Copied) -> str:
    seconds = copied.timing.elapsed_seconds
    return f"{words.size(copied.stored_bytes)} in {words.duration(seconds)}, {words.rate(copied.stored_bytes, seconds)}"
