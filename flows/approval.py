"""Waiting for somebody who approves that a live database is replaced."""

from typing import Literal
from uuid import UUID

from prefect.exceptions import FlowPauseTimeout, PrefectHTTPStatusError
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput, create_flow_run_input
from prefect.input.run_input import Keyset
from pydantic import Field

from flows.recovery_summary import proposal_summary
from tasks.recover import Proposed

APPROVAL_SECONDS = 3600
"""So long somebody may take to approve; afterwards the run ends, and nothing was touched."""
_IS_THERE = 409


class Approval(RunInput):
    """Who agrees that the live database is replaced."""

    database: str = Field(title="Name of the database that is replaced", description="Type it, to be sure.")
    approve: Literal["no", "yes"] = Field(title="Replace it?")
    approved_by: str = Field(title="Who you are", min_length=1)

    @classmethod
    def save(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> None:  # type: ignore[override]
        """What the form shows and asks for, given to the server, be it twice.

        Prefect's client sends again what the server did not answer in time. What came twice is refused as there
        already, and would end the run (Prefect 3.8.8).
        """
        _given(keyset["schema"], cls.model_json_schema(by_alias=True), flow_run_id)
        if isinstance(cls._description, str):
            _given(keyset["description"], cls._description, flow_run_id)


def approval(found: Proposed) -> Approval | str:
    """Who approved, or why nobody has. The run is paused meanwhile."""
    form = Approval.with_initial_data(description=proposal_summary(found))
    try:
        given = pause_flow_run(wait_for_input=form, timeout=APPROVAL_SECONDS)
    except FlowPauseTimeout:
        return f"Nobody approved within {APPROVAL_SECONDS // 60} minutes."
    if given.approve != "yes":
        return f"{given.approved_by} refused it."
    if given.database.strip() != found.database:
        return f"{given.approved_by} typed another name than {found.database}."
    return Approval(database=given.database, approve=given.approve, approved_by=given.approved_by)


def _given(key: str, value: object, flow_run_id: UUID | None) -> None:
    try:
        create_flow_run_input(key=key, value=value, flow_run_id=flow_run_id)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != _IS_THERE:
            raise
