"""Publish, as a task: an artifact for people, an event for automations."""

import json
import logging
from typing import Any
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.events import emit_event

from tasks.progress import API_ERRORS
from tasks.steps import log, step

PROVEN = "backproof.backup.proven"


@step("publish {key}", retries=0)
def publish(key: str, markdown: str, description: str, event: str | None, plan: str, facts: dict[str, Any]) -> None:
    """Show what a run did. The backup is in the stores by now: an API that is away costs the picture, not the run.

    Args:
        key: of the artifact; its history stays under it.
        markdown: the summary.
        description: one line: the outcome.
        event: what to emit, such as ``backproof.backup.proven``; None: nothing.
        plan: whose run it was; the event is about it.
        facts: goes with the event: plain, small.
    """
    try:
        _show(key, markdown, description)
    except API_ERRORS as error:
        log(f"the summary could not be published: {type(error).__name__}", logging.WARNING)
    if event:
        resource = {
            "prefect.resource.id": f"backproof.plan.{plan}",
            "prefect.resource.name": plan,
            "backproof.outcome": description,
        }
        emit_event(event, resource=resource, payload=facts)


@step("publish {key}", retries=0)
def show_table(key: str, rows: list[dict[str, str]]) -> None:
    """A table, whose history stays under its key. An API that is away costs the picture, not the run."""
    run = runtime.flow_run.get_id()
    shown = ArtifactCreate(type="table", key=key, data=json.dumps(rows), flow_run_id=UUID(run) if run else None)
    try:
        with get_client(sync_client=True) as client:
            client.create_artifact(shown)
    except API_ERRORS as error:
        log(f"the table could not be published: {type(error).__name__}", logging.WARNING)


def _show(key: str, markdown: str, description: str) -> None:
    """As the run's own artifact: first on its page, and not among those of its steps."""
    run = runtime.flow_run.get_id()
    shown = ArtifactCreate(
        type="markdown", key=key, data=markdown, description=description, flow_run_id=UUID(run) if run else None
    )
    with get_client(sync_client=True) as client:
        client.create_artifact(shown)
