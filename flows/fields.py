"""Parameters of flows, as a form shows them. What explains one below its title is its line in the flow's docstring."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from backproof.records import Kind


def shown(title: str, **schema: Any) -> Any:
    """How a form shows a parameter; a call in Python is not held against it.

    Args:
        title: above the field. Prefect would put the parameter's name there.
        schema: further JSON schema, which the server holds a form's values against.
    """
    return Field(json_schema_extra={"title": title, **schema})


PlanName = Annotated[str, shown("Plan")]
FleetName = Annotated[str, shown("Fleet")]
PlanNames = Annotated[list[str], shown("Plans")]
DryRun = Annotated[bool, shown("Only show")]
BackupKind = Annotated[Kind, shown("Counts as")]
Prove = Annotated[bool, shown("Prove it")]
BackupId = Annotated[
    str, shown("Backup", pattern=r"^(latest|latest-proven|backup_[0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9]{6})$")
]
StoreName = Annotated[str | None, shown("Copy in store")]
Reason = Annotated[str, shown("Reason", minLength=1)]
Before = Annotated[datetime | None, shown("Taken before")]
HowTo = Annotated[Literal["swap", "in-place"], shown("How")]
StartedBy = Annotated[str, shown("Started by", minLength=1)]
Accepted = Annotated[list[str], shown("Accept")]
OnlyTables = Annotated[list[str], shown("Only these tables")]
AcceptOrphans = Annotated[bool, shown("Accept rows that point at nothing")]
