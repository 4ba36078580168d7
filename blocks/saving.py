"""A whole fleet as blocks: what each holds, whose it is, and what was written last.

A block bears no label, and two fleets may live on one server. So the fleet's own block keeps a record: the blocks that
were written for it, each with the digest of what was written. A block that is not in it is somebody else's; one that no
longer has its digest was edited by hand.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import SecretStr

from backproof.errors import ConfigurationError
from backproof.fleet import CredentialsSpec, FleetSettings, FleetSpec, KeyRingSpec, LocalStoreSpec
from backproof.fleet.fields import Spec
from blocks.documents import Database, Fleet, KeyRing, LocalStore, Plan, S3Store

PAGE = 200
RECORD = "applied"
"""The field of a fleet's block that holds the record; it is no part of what the fleet says."""

_SHOWN_BY_MISTAKE = {"aws_session_token"}
"""A secret that its block's type does not call one."""


@dataclass(frozen=True, slots=True)
class Document:
    """One block, as its server stores it."""

    slug: str
    """Of its type: ``backproof-plan``."""
    name: str
    data: Mapping[str, Any]
    """Plain JSON, secrets in clear."""
    id: UUID | None = None
    """None: it is wanted, and not known to be there."""

    @property
    def key(self) -> str:
        """``backproof-plan/shop``."""
        return f"{self.slug}/{self.name}"

    @property
    def secret(self) -> frozenset[str]:
        """The fields that hold secrets."""
        return secret_fields(_kinds()[self.slug])

    @property
    def stamp(self) -> str:
        """A digest of all that is no secret: a guessed password can't be tried on it."""
        plain = {name: value for name, value in self.data.items() if name not in self.secret and name != RECORD}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def documents(spec: FleetSpec) -> list[Document]:
    """Every block of a fleet: what others name comes first, the fleet itself last. Asks no server."""
    return [Document(kind.get_block_type_slug(), name, data) for kind, name, data in _blocks(spec)]


def read_documents(
    client: SyncPrefectClient, slugs: Sequence[str] | None = None, names: Sequence[str] | None = None
) -> list[Document]:
    """Blocks there are of our types, of all fleets, with what they hold; by pages.

    Args:
        client: of their server.
        slugs: of their types; None: all of ours.
        names: None: however they are called.
    """
    slugs = slugs or list(_kinds())
    if names is None:
        return list(_pages(client, slugs, {}))
    some = [names[start : start + PAGE] for start in range(0, len(names), PAGE)]
    return [each for part in some for each in _pages(client, slugs, {"name": {"any_": part}})]


def write_document(client: SyncPrefectClient, wanted: Document, there: UUID | None) -> UUID:
    """Make a block, or write over one; returns its id."""
    kind = _kinds()[wanted.slug]
    schema = {"block_schema_id": str(kind._block_schema_id), "data": wanted.data}
    if there is None:
        body = {"name": wanted.name, "block_type_id": str(kind._block_type_id), "is_anonymous": False, **schema}
        try:
            return UUID(client.request("POST", "/block_documents/", json=body).json()["id"])
        except PrefectHTTPStatusError as error:
            if error.response.status_code != HTTPStatus.CONFLICT:
                raise
        # A busy server made it and its answer was lost, so that the client asked again.
        there = client.read_block_document_by_name(wanted.name, wanted.slug).id
    body = {**schema, "merge_existing_data": False}
    client.request("PATCH", "/block_documents/{id}", path_params={"id": there}, json=body)
    return there


def register_types() -> None:
    """Make our kinds of blocks known to the server; needed once before ``write_document``."""
    for kind in block_types():
        kind.register_type_and_schema()


def block_types() -> tuple[type[Block], ...]:
    """Every kind of block a fleet is made of, in the order of ``documents``."""
    from prefect_aws import AwsCredentials

    return (AwsCredentials, KeyRing, LocalStore, S3Store, Database, Plan, Fleet)


@cache
def secret_fields(kind: type[Block]) -> frozenset[str]:
    """Fields of a kind of block that hold secrets, wholly or somewhere within."""
    marked = kind.model_json_schema().get("secret_fields", [])
    return frozenset(name.partition(".")[0] for name in marked) | (_SHOWN_BY_MISTAKE & kind.model_fields.keys())


def record_of(found: list[Document], fleet: str) -> dict[str, str]:
    """What was written for a fleet, by key: its digest then; empty where the fleet is new here."""
    own = next((each for each in found if each.slug == Fleet.get_block_type_slug() and each.name == fleet), None)
    return dict(own.data.get(RECORD) or {}) if own else {}


def refuse_what_is_not_ours(spec: FleetSpec, wanted: list[Document], found: list[Document]) -> None:
    """Write over nothing that another fleet, or a person, has made.

    Raises:
        ConfigurationError: a plan or a block of that name belongs to somebody else.
    """
    own = record_of(found, spec.fleet).keys() | {f"{Fleet.get_block_type_slug()}/{spec.fleet}"}
    others = [each for each in found if each.slug == Fleet.get_block_type_slug() and each.name != spec.fleet]
    there = {each.key for each in found}
    for other in others:
        if taken := sorted(set(other.data.get("plans") or []) & spec.plans.keys()):
            raise ConfigurationError(f"plan {taken[0]} belongs to fleet {other.name}", "Give it another name.")
    for each in wanted:
        if each.key not in there or each.key in own:
            continue
        owner = next((other.name for other in others if each.key in (other.data.get(RECORD) or {})), None)
        raise ConfigurationError(
            f"the block {each.key} belongs to fleet {owner}"
            if owner
            else f"there is a block {each.key} already, which was not made for fleet {spec.fleet}",
            "Use another name in fleet.yaml, or delete that block in the Prefect UI if nobody needs it.",
        )


def with_record(fleet: Document, record: Mapping[str, str]) -> Document:
    """The fleet's own block, with the record in it."""
    return Document(fleet.slug, fleet.name, {**fleet.data, RECORD: dict(record)}, fleet.id)


def save_fleet(spec: FleetSpec) -> None:
    """Write all blocks of a fleet, whether they differ or not.

    Raises:
        ConfigurationError: a plan or a block of that name belongs to another fleet on this Prefect server.
    """
    with get_client(sync_client=True) as client:
        wanted, found = documents(spec), read_documents(client)
        refuse_what_is_not_ours(spec, wanted, found)
        register_types()
        ids = {each.key: each.id for each in found}
        record = record_of(found, spec.fleet) | {each.key: each.stamp for each in wanted}
        for each in [with_record(wanted[-1], record), *wanted[:-1]]:  # the record first: what follows is then known
            write_document(client, each, ids.get(each.key))


@cache
def _kinds() -> Mapping[str, type[Block]]:
    return {kind.get_block_type_slug(): kind for kind in block_types()}


def _pages(client: SyncPrefectClient, slugs: Sequence[str], which: Mapping[str, Any]) -> Iterator[Document]:
    offset = 0
    while True:
        page = client.request(
            "POST",
            "/block_documents/filter",
            json={
                "block_types": {"slug": {"any_": slugs}},
                "block_documents": {"is_anonymous": {"eq_": False}, **which},
                "include_secrets": True,
                "limit": PAGE,
                "offset": offset,
            },
        ).json()
        for each in page:
            yield Document(each["block_type"]["slug"], each["name"], each["data"], UUID(each["id"]))
        if len(page) < PAGE:
            return
        offset += PAGE


def _blocks(spec: FleetSpec) -> Iterator[tuple[type[Block], str, dict[str, Any]]]:
    from prefect_aws import AwsCredentials

    for name, credentials in spec.credentials.items():
        yield AwsCredentials, name, _aws_credentials(credentials)
    for name, ring in spec.keys.items():
        yield KeyRing, name, in_clear(_with_escrow_text(ring))
    for name, store in spec.stores.items():
        yield LocalStore if isinstance(store, LocalStoreSpec) else S3Store, name, in_clear(store)
    for name, database in spec.databases.items():
        yield Database, name, in_clear(database)
    for name, plan in spec.plans.items():
        yield Plan, name, in_clear(plan)
    whole = in_clear(spec, set(FleetSettings.model_fields))
    yield Fleet, spec.fleet, {**whole, "plans": list(spec.plans), RECORD: {}}


def in_clear(spec: Spec, only: set[str] | None = None) -> dict[str, Any]:
    """A spec as plain JSON, its secrets revealed: what Prefect makes of a block, in a thousandth of the time."""
    revealed: dict[str, Any] = _revealed(spec.model_dump(mode="json", include=only), spec.model_dump(include=only))
    return revealed


def _revealed(masked: Any, typed: Any) -> Any:
    if isinstance(typed, SecretStr):
        return typed.get_secret_value()
    if isinstance(typed, dict):
        return {name: _revealed(masked[name], value) for name, value in typed.items()}
    if isinstance(typed, list | tuple):
        return [_revealed(*pair) for pair in zip(masked, typed, strict=True)]
    return masked


def _aws_credentials(spec: CredentialsSpec) -> dict[str, Any]:
    from prefect_aws import AwsCredentials

    token = spec.session_token
    block = AwsCredentials(
        aws_access_key_id=spec.access_key_id,
        aws_secret_access_key=spec.secret_access_key,
        # The block of prefect-aws shows a session token in clear; such tokens live for hours at most.
        aws_session_token=None if token is None else token.get_secret_value(),
    )
    data: dict[str, Any] = block.model_dump(
        mode="json", by_alias=True, include=set(AwsCredentials.model_fields), context={"include_secrets": True}
    )
    return data


def _with_escrow_text(ring: KeyRingSpec) -> KeyRingSpec:
    """The public half itself instead of a file's name: a worker may run on another machine."""
    public = ring.escrow_public_key
    if public is None or public.startswith("-----BEGIN"):
        return ring
    return ring.model_copy(update={"escrow_public_key": Path(public).read_text()})
