"""The blocks themselves. Their fields are the library's specs: each field is written once, there.

Blocks are flat and name each other by string: a form of Prefect's that saves a block within a block destroys it.
"""

from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field

from backproof.fleet import DatabaseSpec, FleetSettings, KeyRingSpec, LocalStoreSpec, PlanSpec, S3StoreSpec
from backproof.fleet.fields import Name


class Database(DatabaseSpec, Block):
    """A database to protect, and who reads it."""

    _block_type_name: ClassVar[str] = "Backproof Database"
    _block_type_slug: ClassVar[str] = "backproof-database"


class LocalStore(LocalStoreSpec, Block):
    """A folder that holds archives, on the machine the worker runs on."""

    _block_type_name: ClassVar[str] = "Backproof Local Store"
    _block_type_slug: ClassVar[str] = "backproof-local-store"


class S3Store(S3StoreSpec, Block):
    """A bucket that holds archives; ``credentials`` is the name of an AWS Credentials block."""

    _block_type_name: ClassVar[str] = "Backproof S3 Store"
    _block_type_slug: ClassVar[str] = "backproof-s3-store"


class KeyRing(KeyRingSpec, Block):
    """The keys that open a plan's archives; ``credentials`` is the name of an AWS Credentials block."""

    _block_type_name: ClassVar[str] = "Backproof Key Ring"
    _block_type_slug: ClassVar[str] = "backproof-key-ring"


class Plan(PlanSpec, Block):
    """What is protected and how."""

    _block_type_name: ClassVar[str] = "Backproof Plan"
    _block_type_slug: ClassVar[str] = "backproof-plan"


class Fleet(FleetSettings, Block):
    """What holds for all plans of a fleet, and which they are."""

    _block_type_name: ClassVar[str] = "Backproof Fleet"
    _block_type_slug: ClassVar[str] = "backproof-fleet"

    plans: tuple[Name, ...] = Field(default=(), description="The plans of this fleet.")
    applied: dict[str, str] = Field(
        default_factory=dict,
        description="What `backproof apply` has written for this fleet, and how it was then. Not for editing.",
    )
