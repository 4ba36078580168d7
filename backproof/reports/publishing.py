"""Bring a report into every store of its plan, once."""

from backproof.errors import AlreadyExists, BackproofError
from backproof.fleet import Fleet
from backproof.recovery_test.naming import REPORT_JSON, TestName, key
from backproof.recovery_test.record import RecoveryTest
from backproof.reports.drawing import drawn
from backproof.stores import Store


def publish(fleet: Fleet, record: RecoveryTest) -> list[str]:
    """Draw a recovery test's report and write it, as HTML, PDF and JSON, into every store of the plan that takes it.

    The JSON is written last: a report exists in a store once that is there. What is there already stays as it is.

    Returns:
        A sentence for each store that lacks any of it, and one where page and paper could not be drawn.

    Raises:
        BackproofError: no store holds the record: a test of which nothing is left shows nothing.
    """
    problems: list[str] = []
    try:
        documents = drawn(record, fleet.signer)
    except Exception as error:  # what draws fails in ways of its own; the record of a test must outlive that
        documents = {REPORT_JSON: fleet.signer.sign(record)}
        problems.append(
            f"page and paper of {record.test} could not be drawn ({type(error).__name__}): only the record is kept"
        )
    stores, refused = fleet.stores(record.plan), []
    for store in stores:
        try:
            _put(store, record.plan, record.test, documents)
        except BackproofError as error:
            refused.append(error)
            problems.append(
                f"store {store.name} has no report of {record.test}, or not all of it: {error.fact}. Once it takes "
                f"writes, `backproof replicate {record.plan}`, or the next scheduled replication, brings it there."
            )
    if len(refused) == len(stores):  # the record is written last
        raise refused[0]
    return problems


def _put(store: Store, plan: str, test: str, documents: dict[str, bytes]) -> None:
    """What is there already has to be the same: two tests may have begun in one second of a clock that was set back."""
    for part, document in documents.items():
        place = key(TestName(plan, test, part))
        try:
            store.put(place, [document], len(document))
        except AlreadyExists:
            if b"".join(store.read(place)) != document:
                raise AlreadyExists(
                    f"{store.location(place)} is there, and is another one",
                    "Find out which test it is of; then run the test again.",
                ) from None
