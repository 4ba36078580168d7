"""The targets of messages, as things of a fleet: Prefect's own notification blocks, called ``<fleet>--<target>``."""

from collections.abc import Sequence
from typing import Any

from prefect.blocks.abstract import NotificationBlock
from prefect.client.orchestration import SyncPrefectClient

from backproof.fleet import FleetSpec
from blocks.notifications import Saved, block_name, data_of, notification_block, saved_data, saved_targets, secrets_of
from deployments.apply.things import Sort, Thing


class Targets(Sort):
    """A fleet's are known by the beginning of their name."""

    name = "target"

    def __init__(self) -> None:
        self._wanted: dict[str, tuple[str, NotificationBlock]] = {}

    def desired(self, spec: FleetSpec) -> Sequence[Thing]:
        """One block a target."""
        found = []
        for target, described in spec.notifications.items():
            block, name = notification_block(described, target), block_name(spec.fleet, target)
            thing = self._thing(block.get_block_type_slug(), name, data_of(block))
            self._wanted[thing.name] = name, block
            found.append(thing)
        return found

    def actual(self, client: SyncPrefectClient, spec: FleetSpec) -> Sequence[Thing]:
        """Every notification block of the fleet's."""
        mine = block_name(spec.fleet, "")
        saved = [each for each in saved_targets(client) if each.name.startswith(mine)]
        return [self._thing(each.kind, each.name, saved_data(client, each), each) for each in saved]

    def create(self, client: SyncPrefectClient, wanted: Thing) -> None:
        """Save a block."""
        name, block = self._wanted[wanted.name]
        block.save(name)

    def change(self, client: SyncPrefectClient, wanted: Thing, found: Thing) -> None:
        """Write over a block; automations go on naming it."""
        name, block = self._wanted[wanted.name]
        block.save(name, overwrite=True)

    def remove(self, client: SyncPrefectClient, found: Thing) -> None:
        """Take a block away."""
        client.delete_block_document(found.id)

    def _thing(self, kind: str, name: str, data: dict[str, Any], saved: Saved | None = None) -> Thing:
        return Thing(self.name, f"{kind}/{name}", data, secrets_of(kind), id=saved.id if saved else None)
