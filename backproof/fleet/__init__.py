"""``fleet.yaml`` and an environment, read into typed specs, and the fleet at work that they describe.

``load`` reads the file; ``Fleet`` builds engines, stores and keys from the spec when they are asked for. The library
reads no environment by itself: whoever calls ``load`` hands one over.
"""

from backproof.fleet.loading import explain, load, parse
from backproof.fleet.notifications import NotificationSpec
from backproof.fleet.runtime import Fleet
from backproof.fleet.specs import (
    AcceptSpec,
    AdminSpec,
    ApplicationSpec,
    CheckSpec,
    CredentialsSpec,
    DatabaseSpec,
    FleetSchedulesSpec,
    FleetSettings,
    KeyRingSpec,
    LevelSpec,
    LocalStoreSpec,
    NotifySpec,
    ObjectivesSpec,
    PlanSpec,
    RetentionSpec,
    S3StoreSpec,
    SchedulesSpec,
    SigningSpec,
    WorkPoolSpec,
)
from backproof.fleet.whole import FleetSpec, StoreSpec

__all__ = [
    "AcceptSpec",
    "AdminSpec",
    "ApplicationSpec",
    "CheckSpec",
    "CredentialsSpec",
    "DatabaseSpec",
    "Fleet",
    "FleetSchedulesSpec",
    "FleetSettings",
    "FleetSpec",
    "KeyRingSpec",
    "LevelSpec",
    "LocalStoreSpec",
    "NotificationSpec",
    "NotifySpec",
    "ObjectivesSpec",
    "PlanSpec",
    "RetentionSpec",
    "S3StoreSpec",
    "SchedulesSpec",
    "SigningSpec",
    "StoreSpec",
    "WorkPoolSpec",
    "explain",
    "load",
    "parse",
]
