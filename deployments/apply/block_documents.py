"""Blocks, as things of a fleet."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient

from backproof.fleet import FleetSpec
from blocks import saving
from blocks.documents import Fleet, Plan
from blocks.saving import RECORD, Document
from deployments.apply.things import Change, Sort, Thing


class Blocks(Sort):
    """The fleet's own block holds the record of what was written: renewed before anything is written, and after."""

    name = "block"

    def __init__(self) -> None:
        self._wanted: dict[str, Document] = {}
        self._record: dict[str, str] = {}
        self._fleet: Document
        """As it is on the server, or is to be."""

    def desired(self, spec: FleetSpec) -> Sequence[Thing]:
        """Every block that the file describes."""
        self._wanted = {each.key: each for each in saving.documents(spec)}
        self._fleet = self._wanted[_fleet_key(spec.fleet)]
        return [_thing(each) for each in self._wanted.values()]

    def actual(self, client: SyncPrefectClient, spec: FleetSpec) -> Sequence[Thing]:
        """Every block in the fleet's record that is there."""
        found = saving.read_documents(client)
        saving.refuse_what_is_not_ours(spec, list(self._wanted.values()), found)
        self._record = saving.record_of(found, spec.fleet)
        own = {each.key: each for each in found if each.key in self._record}
        self._fleet = own.get(_fleet_key(spec.fleet), self._fleet)
        things = [_thing(each, self._edited(each)) for each in own.values()]
        return [self._without_gone_plans(thing, spec) for thing in things]

    def before(self, client: SyncPrefectClient, spec: FleetSpec, changes: Sequence[Change]) -> None:
        """What is about to be made is in the record first: killed now, the next run knows it for the fleet's."""
        saving.register_types()
        new = {change.thing.name for change in changes if change.action == "create"}
        self._write_fleet(client, self._fleet.data, dict.fromkeys(new | {self._fleet.key}, "") | self._record)

    def create(self, client: SyncPrefectClient, wanted: Thing) -> None:
        """Make a block."""
        self._put(client, wanted, None)

    def change(self, client: SyncPrefectClient, wanted: Thing, found: Thing) -> None:
        """Write over a block."""
        self._put(client, wanted, found.id)

    def remove(self, client: SyncPrefectClient, found: Thing) -> None:
        """Take a block away."""
        client.delete_block_document(found.id)
        self._record.pop(found.name, None)

    def after(self, client: SyncPrefectClient, spec: FleetSpec, changes: Sequence[Change]) -> None:
        """Note how all that is there was written."""
        wanted = self._wanted[self._fleet.key]
        plans = [*wanted.data["plans"], *sorted(self._plans_written() - set(wanted.data["plans"]))]
        whole = Document(wanted.slug, wanted.name, {**wanted.data, "plans": plans})
        self._record[whole.key] = whole.stamp
        self._write_fleet(client, whole.data, self._record)

    def _without_gone_plans(self, thing: Thing, spec: FleetSpec) -> Thing:
        """A plan that is gone from the file runs on until it is removed, and so stays in the fleet's list."""
        if thing.name != _fleet_key(spec.fleet):
            return thing
        gone = self._plans_written() - spec.plans.keys()
        plans = [plan for plan in thing.fields["plans"] if plan not in gone]
        return replace(thing, fields={**thing.fields, "plans": plans})

    def _plans_written(self) -> set[str]:
        prefix = f"{Plan.get_block_type_slug()}/"
        return {key.removeprefix(prefix) for key in self._record if key.startswith(prefix)}

    def _edited(self, found: Document) -> bool:
        written = self._record[found.key]
        return written != "" and written != found.stamp

    def _put(self, client: SyncPrefectClient, wanted: Thing, there: UUID | None) -> None:
        document = self._wanted[wanted.name]
        if document.key != self._fleet.key:  # that one is written with the record
            saving.write_document(client, document, there)
        self._record[document.key] = document.stamp

    def _write_fleet(self, client: SyncPrefectClient, data: Mapping[str, Any], record: Mapping[str, str]) -> None:
        fleet = self._fleet
        data = {**data, RECORD: dict(record)}
        there = saving.write_document(client, Document(fleet.slug, fleet.name, data), fleet.id)
        self._fleet = Document(fleet.slug, fleet.name, data, there)


def _thing(document: Document, by_hand: bool = False) -> Thing:
    fields = {name: value for name, value in document.data.items() if name != RECORD}
    plan = document.name if document.slug == Plan.get_block_type_slug() else None
    return Thing(Blocks.name, document.key, fields, document.secret, plan, document.id, by_hand)


def _fleet_key(fleet: str) -> str:
    return f"{Fleet.get_block_type_slug()}/{fleet}"
