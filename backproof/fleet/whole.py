"""The whole fleet as one spec, whose names all lead somewhere."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import Field, ValidationInfo, field_validator

from backproof.fleet.fields import Name
from backproof.fleet.notifications import NotificationSpec
from backproof.fleet.specs import (
    CredentialsSpec,
    DatabaseSpec,
    FleetSettings,
    KeyRingSpec,
    LocalStoreSpec,
    NotifySpec,
    PlanSpec,
    S3StoreSpec,
)

StoreSpec = LocalStoreSpec | S3StoreSpec
AskerT = TypeVar("AskerT", bound=KeyRingSpec | StoreSpec)


class FleetSpec(FleetSettings):
    """Everything ``fleet.yaml`` says. A plan's left-out stores, key, targets and escalation are filled in."""

    credentials: dict[Name, CredentialsSpec] = Field(default_factory=dict)
    """AWS credentials by name."""
    keys: dict[Name, KeyRingSpec] = Field(default_factory=dict)
    """Key rings by name."""
    stores: dict[Name, StoreSpec] = Field(default_factory=dict)
    """Stores by name."""
    databases: dict[Name, DatabaseSpec] = Field(default_factory=dict)
    """Databases by name."""
    notifications: dict[Name, NotificationSpec] = Field(default_factory=dict)
    """Targets of messages by name."""
    plans: dict[Name, PlanSpec] = Field(default_factory=dict)
    """Plans by name."""

    @field_validator("keys", "stores")
    @classmethod
    def _known_credentials(cls, users: dict[str, AskerT], info: ValidationInfo) -> dict[str, AskerT]:
        for name, user in users.items():
            if not isinstance(user, LocalStoreSpec) and user.credentials is not None and "credentials" in info.data:
                _known(user.credentials, info.data["credentials"], "credentials", f"{name}.credentials")
        return users

    @field_validator("plans")
    @classmethod
    def _complete_plans(cls, plans: dict[str, PlanSpec], info: ValidationInfo) -> dict[str, PlanSpec]:
        if not {"keys", "stores", "databases", "notify", "escalation"} <= info.data.keys():
            return plans  # one of them is wrong, and said to be
        complete = {name: _complete(name, plan, info.data) for name, plan in plans.items()}
        for name, plan in complete.items():
            _require_no_live_server(name, plan, complete, info.data["databases"])
        return complete


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was most likely meant."""
    return next(iter(difflib.get_close_matches(name, list(known), 1)), None)


def _complete(name: str, plan: PlanSpec, parts: Mapping[str, Any]) -> PlanSpec:
    _known(plan.database, parts["databases"], "database", f"{name}.database")
    if (staging := plan.recovery_test.staging.database) is not None:
        _known(staging, parts["databases"], "database", f"{name}.recovery_test.staging.database")
    for store in plan.stores:
        _known(store, parts["stores"], "store", f"{name}.stores")
    if len(set(plan.stores)) < len(plan.stores):
        raise ValueError(f"{name}.stores: names a store twice")
    stores = plan.stores or tuple(parts["stores"])
    if not stores:
        raise ValueError(f"{name}.stores: there is no store; describe one under stores")
    filled = {"stores": stores, "key": _key(name, plan, parts["keys"]), "notify": _notify(plan.notify, parts["notify"])}
    if "escalation" not in plan.model_fields_set:
        filled["escalation"] = parts["escalation"]
    return plan.model_copy(update=filled)


def _require_no_live_server(
    name: str, plan: PlanSpec, plans: Mapping[str, PlanSpec], databases: Mapping[str, DatabaseSpec]
) -> None:
    """A test loads its server, and lets an application be its administrator."""
    if plan.recovery_test.staging.database is None:
        return
    staging = databases[plan.recovery_test.staging.database]
    for other, its in plans.items():
        live = databases[its.database]
        if (live.host, live.port) == (staging.host, staging.port):
            raise ValueError(
                f"{name}.recovery_test.staging.database: is on {live.host}:{live.port}, the live server of plan "
                f"{other}; name another server's, or leave it out for a throwaway one"
            )


def _notify(plan: NotifySpec, fleet: NotifySpec) -> NotifySpec:
    """What a plan says, and where it does not, what the fleet says."""
    said = plan.model_fields_set
    return NotifySpec(**{name: getattr(plan if name in said else fleet, name) for name in NotifySpec.model_fields})


def _key(name: str, plan: PlanSpec, rings: Mapping[str, object]) -> str | None:
    if plan.encryption == "none":
        if plan.key is not None:
            raise ValueError(f"{name}.key: is given, but encryption is none; leave one of them out")
        return None
    if plan.key is not None:
        _known(plan.key, rings, "key ring", f"{name}.key")
        return plan.key
    if len(rings) != 1:
        count = "no key ring" if not rings else f"{len(rings)} key rings"
        raise ValueError(f"{name}.key: is needed, since there is {count}; name one, or write encryption: none")
    return next(iter(rings))


def _known(name: str, known: Mapping[str, object], what: str, path: str) -> None:
    if name not in known:
        meant = nearest(name, known)
        raise ValueError(f"{path}: no {what} is called {name!r}" + (f"; did you mean {meant!r}?" if meant else ""))
