"""A whole fleet at work: read from the file an environment names, or from blocks.

A command and the demo name a file in ``BACKPROOF_FLEET``. A scheduled flow has no such variable and reads the blocks.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.runtime import flow_run
from pydantic import ValidationError

from backproof import fleet as library
from backproof.errors import ConfigurationError, NotFound
from backproof.fleet import (
    CredentialsSpec,
    DatabaseSpec,
    FleetSettings,
    FleetSpec,
    KeyRingSpec,
    LocalStoreSpec,
    PlanSpec,
    S3StoreSpec,
)
from backproof.fleet.fields import Spec
from blocks.documents import Database, Fleet, KeyRing, LocalStore, Plan, S3Store
from blocks.saving import Document, read_documents

_SAVE_AGAIN = "Run `backproof apply` again."

FILE_VARIABLE = "BACKPROOF_FLEET"

_DATABASE, _KEYS, _S3, _LOCAL, _PLAN, _FLEET = (
    kind.get_block_type_slug() for kind in (Database, KeyRing, S3Store, LocalStore, Plan, Fleet)
)
_AWS = "aws-credentials"
"""Prefect's; its class is not imported by every run for the sake of its name."""

_LATELY_SECONDS = 20.0
_read_lately: dict[tuple[str | None, str | None], tuple[float, FleetSpec]] = {}
"""When a run has read which blocks. Each of a backup's dozen tasks asks for them, and few take longer than that."""

SpecT = TypeVar("SpecT", bound=Spec)


def load_fleet(plan: str | None = None, from_blocks: bool = False, anew: bool = False) -> library.Fleet:
    """The fleet at work.

    Args:
        plan: only what this plan needs is read from blocks; None reads all plans.
        from_blocks: whatever the environment says.
        anew: also where the same run has read the blocks just now, for another of its tasks.

    Raises:
        NotFound: no fleet, no such plan, or a block that another one names is not there.
        ConfigurationError: a block or the file is wrong, or two fleets have a plan of that name.
    """
    if (file := os.environ.get(FILE_VARIABLE)) and not from_blocks:
        return library.Fleet(library.load(Path(file), os.environ))
    run, now = flow_run.get_id(), time.monotonic()
    kept = None if anew else _read_lately.get((run, plan))
    if kept is None or now - kept[0] > _LATELY_SECONDS:
        with get_client(sync_client=True) as client:
            fleet = _fleet_of(client, plan)
            kept = now, _assemble(client, fleet, _plans(fleet) if plan is None else (plan,))
        if run is not None:
            _read_lately.clear()  # a process may serve many runs, one after the other
            _read_lately[run, plan] = kept
    return library.Fleet(kept[1])


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
    with get_client(sync_client=True) as client:
        return _plans(_read(client, [_FLEET], [fleet])(_FLEET, fleet))


Found = Callable[[str, str], Document]
"""Gives the block of a type and a name."""


def _read(client: SyncPrefectClient, slugs: Sequence[str], names: Iterable[str]) -> Found:
    """Read blocks at once: a question costs its server much, and hardly more when it is for many.

    Returns:
        Raises NotFound for what is not there.
    """
    found = {each.key: each for each in read_documents(client, slugs, sorted(set(names)))}

    def the(slug: str, name: str) -> Document:
        if each := found.get(f"{slug}/{name}"):
            return each
        raise NotFound(f"there is no {slug} block {name!r}", _SAVE_AGAIN)

    return the


def _plans(fleet: Document) -> tuple[str, ...]:
    return tuple(fleet.data.get("plans") or ())


def _fleet_of(client: SyncPrefectClient, plan: str | None) -> Document:
    fleets = sorted(read_documents(client, [_FLEET]), key=lambda each: each.name)
    chosen = [fleet for fleet in fleets if plan is None or plan in _plans(fleet)]
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        raise ConfigurationError(
            f"several fleets could be meant: {', '.join(fleet.name for fleet in chosen)}",
            "Give their plans different names.",
        )
    if not fleets:
        raise NotFound(
            "there is no fleet among the blocks of this Prefect server",
            f"{_SAVE_AGAIN} Or name a fleet file in {FILE_VARIABLE}.",
        )
    known = sorted(name for fleet in fleets for name in _plans(fleet))
    raise NotFound(f"no plan is called {plan!r}", f"There are: {', '.join(known)}.")


def _assemble(client: SyncPrefectClient, fleet: Document, names: Sequence[str]) -> FleetSpec:
    found = _read(client, [_PLAN], names)
    plans = {name: _spec(PlanSpec, found(_PLAN, name)) for name in names}
    databases = {plan.database for plan in plans.values()}
    databases |= {staging for plan in plans.values() if (staging := plan.recovery_test.staging.database)}
    keys = {plan.key for plan in plans.values() if plan.key is not None}
    stores = {store for plan in plans.values() for store in plan.stores}
    found = _read(client, [_DATABASE, _KEYS, _S3, _LOCAL], databases | keys | stores)
    parts: dict[str, dict[str, Spec]] = {
        "plans": dict(plans),
        "databases": {name: _spec(DatabaseSpec, found(_DATABASE, name)) for name in sorted(databases)},
        "keys": {name: _spec(KeyRingSpec, found(_KEYS, name)) for name in sorted(keys)},
        "stores": {name: _store(found, name) for name in sorted(stores)},
    }
    users = (*parts["keys"].values(), *parts["stores"].values())
    used = {each.credentials for each in users if isinstance(each, KeyRingSpec | S3StoreSpec) and each.credentials}
    parts["credentials"] = _credentials(client, used) if used else {}
    settings = {field: fleet.data[field] for field in FleetSettings.model_fields if field in fleet.data}
    with _explained(f"fleet {fleet.name}", FleetSpec):
        return FleetSpec.model_validate(settings | parts)


def _store(found: Found, name: str) -> Spec:
    try:
        return _spec(S3StoreSpec, found(_S3, name))
    except NotFound:
        return _spec(LocalStoreSpec, found(_LOCAL, name))


def _credentials(client: SyncPrefectClient, names: Iterable[str]) -> dict[str, Spec]:
    found = _read(client, [_AWS], names)
    result: dict[str, Spec] = {}
    for name in sorted(names):
        given = found(_AWS, name).data
        with _explained(f"AWS Credentials block {name}", CredentialsSpec):
            result[name] = CredentialsSpec.model_validate(
                {field: given.get(f"aws_{field}") or None for field in CredentialsSpec.model_fields}
            )
    return result


def _spec(kind: type[SpecT], block: Document) -> SpecT:
    """What a block says, without what an earlier or later release has put there besides."""
    with _explained(f"the {block.slug} block {block.name!r}", kind):
        return kind.model_validate({name: block.data[name] for name in kind.model_fields if name in block.data})


@contextmanager
def _explained(what: str, kind: type[Spec]) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        problems = "; ".join(library.explain(error, kind))
        raise ConfigurationError(
            f"{what} is wrong: {problems}",
            f"Correct it: a form may have saved asterisks in place of a key. {_SAVE_AGAIN}",
        ) from None
