"""What runs are called, and how they are tagged."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client

from tasks.progress import API_ERRORS


def run_name() -> str:
    """``shop daily 2025-11-07``; a verification is ``shop verification 2025-11-07``. The day is UTC's."""
    parameters: dict[str, Any] = runtime.flow_run.get_parameters() or {}
    scheduled: datetime = runtime.flow_run.get_scheduled_start_time() or datetime.now(UTC)
    what = parameters.get("kind") or runtime.flow_run.get_flow_name()
    return f"{parameters.get('plan')} {what} {scheduled.astimezone(UTC):%Y-%m-%d}"


def fleet_run_name() -> str:
    """``shop-prod retention 2025-11-07``, for a flow that goes over a fleet's plans."""
    parameters: dict[str, Any] = runtime.flow_run.get_parameters() or {}
    scheduled: datetime = runtime.flow_run.get_scheduled_start_time() or datetime.now(UTC)
    return f"{parameters.get('fleet')} {runtime.flow_run.get_flow_name()} {scheduled.astimezone(UTC):%Y-%m-%d}"


def tag(plan: str) -> None:
    """Tag this run ``plan:shop``, however it was started. Not worth failing for."""
    wanted = f"plan:{plan}"
    tags = list(runtime.flow_run.get_tags() or [])
    if wanted in tags or not (run := runtime.flow_run.get_id()):
        return
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(run), tags=[*tags, wanted])
    except API_ERRORS:
        return
