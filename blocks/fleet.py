"""A whole fleet at work: read from the file an environment names, or from blocks.

A command and the demo name a file in ``BACKPROOF_FLEET``. A scheduled flow has no such variable and reads the blocks.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import SecretStr, ValidationError

from backproof import fleet as library
from backproof.errors import ConfigurationError, NotFound
from backproof.fleet import CredentialsSpec, FleetSettings, FleetSpec, KeyRingSpec, LocalStoreSpec, S3StoreSpec
from backproof.fleet.fields import Spec
from blocks.documents import Database, Fleet, KeyRing, LocalStore, Plan, S3Store

_SAVE_AGAIN = "Run `backproof apply` again."

FILE_VARIABLE = "BACKPROOF_FLEET"

SpecT = TypeVar("SpecT", bound=Spec)
BlockT = TypeVar("BlockT", bound=Block)


def load_fleet(plan: str | None = None, from_blocks: bool = False) -> library.Fleet:
    """The fleet at work.

    Args:
        plan: only what this plan needs is read from blocks; None reads all plans.
        from_blocks: whatever the environment says.

    Raises:
        NotFound: no fleet, no such plan, or a block that another one names is not there.
        ConfigurationError: a block or the file is wrong, or two fleets have a plan of that name.
    """
    if (file := os.environ.get(FILE_VARIABLE)) and not from_blocks:
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
        staging = plan.recovery_test.staging.database
        for database in (plan.database, *([staging] if staging else [])):
            parts["databases"][database] = _spec(library.DatabaseSpec, _load(Database, database))
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


def _spec(kind: type[SpecT], block: Block) -> SpecT:
    with _explained(f"block {block._block_document_name}"):
        return kind(**{name: getattr(block, name) for name in kind.model_fields})


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
