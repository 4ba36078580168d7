"""A whole fleet: read from the file an environment names, or from blocks; and written to blocks.

A command and the demo name a file in ``BACKPROOF_FLEET``. A scheduled flow has no such variable and reads the blocks.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import SecretStr, ValidationError

from backproof import fleet as library
from backproof.errors import ConfigurationError, NotFound
from backproof.fleet import CredentialsSpec, FleetSettings, FleetSpec, KeyRingSpec, LocalStoreSpec, S3StoreSpec
from backproof.fleet.fields import Spec
from blocks.documents import Database, Fleet, KeyRing, LocalStore, Plan, S3Store

if TYPE_CHECKING:
    from prefect_aws import AwsCredentials

_SAVE_AGAIN = "Save the fleet's blocks again (README: On a schedule)."

FILE_VARIABLE = "BACKPROOF_FLEET"

SpecT = TypeVar("SpecT", bound=Spec)
BlockT = TypeVar("BlockT", bound=Block)


def load_fleet(plan: str | None = None) -> library.Fleet:
    """The fleet at work.

    Args:
        plan: only what this plan needs is read from blocks; None reads all plans.

    Raises:
        NotFound: no fleet, no such plan, or a block that another one names is not there.
        ConfigurationError: a block or the file is wrong, or two fleets have a plan of that name.
    """
    if file := os.environ.get(FILE_VARIABLE):
        return library.Fleet(library.load(Path(file), os.environ))
    name, fleet = _fleet_of(plan)
    plans = fleet.plans if plan is None else (plan,)
    return library.Fleet(_assemble(name, fleet, plans))


def plans_of(fleet: str) -> tuple[str, ...]:
    """The plans of a fleet, by name.

    Raises:
        NotFound: there is no such fleet.
        ConfigurationError: the file that the environment names is of another fleet, or wrong.
    """
    if file := os.environ.get(FILE_VARIABLE):
        spec = library.load(Path(file), os.environ)
        if spec.fleet != fleet:
            raise ConfigurationError(
                f"{FILE_VARIABLE} names the file of fleet {spec.fleet}, and {fleet} was asked for",
                "Ask for that fleet.",
            )
        return tuple(spec.plans)
    return _load(Fleet, fleet).plans


def save_fleet(spec: FleetSpec) -> None:
    """Write a fleet to blocks, over those of the same name.

    Raises:
        ConfigurationError: a plan of that name belongs to another fleet on this Prefect server.
    """
    for name, other in _fleets().items():
        if taken := sorted(set(other.plans) & spec.plans.keys()) if name != spec.fleet else []:
            raise ConfigurationError(f"plan {taken[0]} belongs to fleet {name}", "Give it another name.")
    for name, credentials in spec.credentials.items():
        _save(_aws_credentials(credentials), name)
    for name, ring in spec.keys.items():
        _save(KeyRing(**_fields(_with_escrow_text(ring))), name)
    for name, store in spec.stores.items():
        _save(LocalStore(**_fields(store)) if isinstance(store, LocalStoreSpec) else S3Store(**_fields(store)), name)
    for name, database in spec.databases.items():
        _save(Database(**_fields(database)), name)
    for name, plan in spec.plans.items():
        _save(Plan(**_fields(plan)), name)
    settings = {name: getattr(spec, name) for name in FleetSettings.model_fields}
    _save(Fleet(**settings, plans=tuple(spec.plans)), spec.fleet)


def _fleet_of(plan: str | None) -> tuple[str, Fleet]:
    fleets = _fleets()
    chosen = {name: fleet for name, fleet in fleets.items() if plan is None or plan in fleet.plans}
    if len(chosen) == 1:
        return next(iter(chosen.items()))
    if chosen:
        raise ConfigurationError(
            f"several fleets could be meant: {', '.join(sorted(chosen))}", "Give their plans different names."
        )
    if not fleets:
        raise NotFound(
            "there is no fleet among the blocks of this Prefect server",
            f"{_SAVE_AGAIN} Or name a fleet file in {FILE_VARIABLE}.",
        )
    known = sorted(name for fleet in fleets.values() for name in fleet.plans)
    raise NotFound(f"no plan is called {plan!r}", f"There are: {', '.join(known)}.")


def _fleets() -> dict[str, Fleet]:
    with get_client(sync_client=True) as client:
        try:
            documents = client.read_block_documents_by_type(Fleet.get_block_type_slug())
        except PrefectHTTPStatusError as error:
            if error.response.status_code != 404:
                raise
            return {}  # no block of this type was ever saved here
    names = [document.name for document in documents if document.name]
    return {name: _load(Fleet, name) for name in sorted(names)}


def _assemble(name: str, fleet: Fleet, plans: tuple[str, ...]) -> FleetSpec:
    parts: dict[str, dict[str, Spec]] = {"plans": {}, "databases": {}, "keys": {}, "stores": {}, "credentials": {}}
    for plan_name in plans:
        plan = _load(Plan, plan_name)
        parts["plans"][plan_name] = _spec(library.PlanSpec, plan)
        parts["databases"][plan.database] = _spec(library.DatabaseSpec, _load(Database, plan.database))
        if plan.key is not None:
            parts["keys"][plan.key] = _spec(KeyRingSpec, _load(KeyRing, plan.key))
        for store_name in plan.stores:
            parts["stores"][store_name] = _store(store_name)
    for user in (*parts["keys"].values(), *parts["stores"].values()):
        if isinstance(user, KeyRingSpec | S3StoreSpec) and user.credentials is not None:
            parts["credentials"][user.credentials] = _credentials(user.credentials)
    settings = {field: getattr(fleet, field) for field in FleetSettings.model_fields}
    with _explained(f"fleet {name}"):
        return FleetSpec.model_validate(settings | parts)


def _store(name: str) -> LocalStoreSpec | S3StoreSpec:
    try:
        return _spec(S3StoreSpec, _load(S3Store, name))
    except NotFound:
        return _spec(LocalStoreSpec, _load(LocalStore, name))


def _credentials(name: str) -> CredentialsSpec:
    from prefect_aws import AwsCredentials

    block = _load(AwsCredentials, name)
    with _explained(f"AWS Credentials block {name}"):
        return CredentialsSpec(
            access_key_id=cast(str, block.aws_access_key_id),
            secret_access_key=cast(SecretStr, block.aws_secret_access_key),
            session_token=SecretStr(block.aws_session_token) if block.aws_session_token else None,
        )


def _aws_credentials(spec: CredentialsSpec) -> "AwsCredentials":
    from prefect_aws import AwsCredentials

    token = spec.session_token
    return AwsCredentials(
        aws_access_key_id=spec.access_key_id,
        aws_secret_access_key=spec.secret_access_key,
        # The block of prefect-aws shows a session token in clear; such tokens live for hours at most.
        aws_session_token=None if token is None else token.get_secret_value(),
    )


def _with_escrow_text(ring: KeyRingSpec) -> KeyRingSpec:
    """The public half itself instead of a file's name: a worker may run on another machine."""
    public = ring.escrow_public_key
    if public is None or public.startswith("-----BEGIN"):
        return ring
    return ring.model_copy(update={"escrow_public_key": Path(public).read_text()})


def _load(kind: type[BlockT], name: str) -> BlockT:
    try:
        return cast(BlockT, kind.load(name))
    except ValueError:
        raise NotFound(
            f"there is no {kind.get_block_type_slug()} block {name!r}",
            _SAVE_AGAIN,
        ) from None
    except RuntimeError:
        raise ConfigurationError(
            f"the {kind.get_block_type_slug()} block {name!r} is wrong: a field is missing, or a form has saved "
            "asterisks in place of a key",
            _SAVE_AGAIN,
        ) from None


def _save(block: Block, name: str) -> None:
    block.save(name, overwrite=True)


def _spec(kind: type[SpecT], block: Block) -> SpecT:
    with _explained(f"block {block._block_document_name}"):
        return kind(**{name: getattr(block, name) for name in kind.model_fields})


def _fields(spec: Spec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in type(spec).model_fields}


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        problems = "; ".join(library.explain(error, FleetSpec))
        raise ConfigurationError(
            f"{what} is wrong: {problems}",
            f"Correct the block. {_SAVE_AGAIN}",
        ) from None
