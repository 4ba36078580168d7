"""Prove, as a task."""

import logging

from backproof.operations import prove as operation
from backproof.records import Proof
from blocks import load_fleet
from tasks import stopping
from tasks.progress import progress
from tasks.steps import log, step


@step("prove from {store}")
def prove(plan: str, backup: str, store: str, plain_bytes: int | None = None) -> Proof:
    """Restore one copy of a backup, dump what was restored, compare, and write the signed proof beside every copy.

    Args:
        plan: whose backup it is.
        backup: its id, or ``latest``.
        store: the copy to prove.
        plain_bytes: its SQL, for the time left.

    Returns:
        The proof; a verdict of ``failed`` or ``could-not-run`` is a result, no exception.
    """
    total = 2 * plain_bytes if plain_bytes else None  # once restored, once dumped again
    with progress(f"{plan}-prove", f"proving {backup}", total) as reported:
        proof = operation.prove(load_fleet(plan), plan, backup, store, stopping.now, reported)
    log(
        f"{proof.backup} from {store}: {proof.verdict}. {proof.reason}",
        logging.INFO if proof.verdict == "passed" else logging.ERROR,
    )
    return proof
