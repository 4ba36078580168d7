"""``backproof apply``: a Prefect server brought to the state of fleet.yaml, again and again with the same result.

What a fleet has there is of several sorts; each is a module with a ``Sort`` in it (see ``things``), listed in ``SORTS``
in the order in which they are made. Another sort is one more module and one more line there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prefect.client.orchestration import SyncPrefectClient

from backproof.fleet import FleetSpec
from deployments.apply.alerts import Alerts
from deployments.apply.block_documents import Blocks
from deployments.apply.connecting import connected
from deployments.apply.deployments import Deployments
from deployments.apply.due import Deadlines
from deployments.apply.lost_runs import LostRuns
from deployments.apply.targets import Targets
from deployments.apply.things import Change, Sort, Thing, compare
from deployments.apply.work_pools import WorkPools

SORTS: tuple[type[Sort], ...] = (Blocks, Targets, WorkPools, Deployments, LostRuns, Alerts, Deadlines)


@dataclass(frozen=True)
class Outlook:
    """What ``apply`` has to do."""

    spec: FleetSpec
    changes: tuple[Change, ...]
    """To create or to change, in order; and to remove, of sorts of which nothing may be left over."""
    gone: tuple[Change, ...]
    """What bears the fleet's name and is no longer in the file, in the order of removal."""
    right: int
    """How many things are as they should be."""
    there: tuple[Thing, ...]
    """All there is."""
    sorts: tuple[Sort, ...]

    @property
    def plans_gone(self) -> tuple[str, ...]:
        """Plans that are no longer in the file."""
        named = {change.thing.plan for change in self.gone if change.thing.plan}
        return tuple(sorted(named - self.spec.plans.keys()))


def outlook(client: SyncPrefectClient, spec: FleetSpec, sorts: Sequence[type[Sort]] = SORTS) -> Outlook:
    """Compare a server with a fleet, or some sorts of things of it; changes nothing.

    Raises:
        ConfigurationError: something that is wanted is there already, and not this fleet's.
    """
    asked = tuple(sort() for sort in sorts)
    changes: list[Change] = []
    gone: list[Change] = []
    there: list[Thing] = []
    right = 0
    for sort in asked:
        wanted = sort.desired(spec)
        actual = sort.actual(client, spec)
        different, unwanted, alike = compare(wanted, actual)
        there += actual
        if sort.removed_at_once:
            different, unwanted = different + unwanted, []
        changes += different
        gone = unwanted[::-1] + gone  # what names others goes before them
        right += alike
    return Outlook(spec, tuple(changes), tuple(gone), right, tuple(there), asked)


def carry_out(
    client: SyncPrefectClient, seen: Outlook, remove: bool, told: Callable[[Change], None] = lambda change: None
) -> None:
    """Do what an outlook says, one thing after the other: SQLite would only queue them.

    Args:
        client: of the server.
        seen: the outlook.
        remove: also take away what is gone from the file.
        told: called with each change once it is done.
    """
    for sort in seen.sorts:
        _carry_out(client, seen, sort, [change for change in seen.changes if change.thing.sort == sort.name], told)
    for sort in reversed(seen.sorts) if remove else ():
        _carry_out(client, seen, sort, [change for change in seen.gone if change.thing.sort == sort.name], told)


def deploy(spec: FleetSpec, sorts: Sequence[type[Sort]] = SORTS) -> Outlook:
    """Bring the server that the settings name to the state of a fleet; what is gone from the file stays."""
    with connected() as client:
        seen = outlook(client, spec, sorts)
        carry_out(client, seen, remove=False)
    return seen


def _carry_out(
    client: SyncPrefectClient,
    seen: Outlook,
    sort: Sort,
    changes: Sequence[Change],
    told: Callable[[Change], None],
) -> None:
    if not changes:
        return
    sort.before(client, seen.spec, changes)
    for change in changes:
        match change:
            case Change("create", wanted) if wanted:
                sort.create(client, wanted)
            case Change("change", wanted, found) if wanted and found:
                sort.change(client, wanted, found)
            case Change("remove", _, found) if found:
                sort.remove(client, found)
        told(change)
    sort.after(client, seen.spec, changes)
