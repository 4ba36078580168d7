"""Publish, as a task: an artifact for people, an event for automations."""

import logging
from typing import Any

from prefect.artifacts import create_markdown_artifact
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
        create_markdown_artifact(markdown, key=key, description=description)
    except API_ERRORS as error:
        log(f"the summary could not be published: {type(error).__name__}", logging.WARNING)
    if event:
        resource = {
            "prefect.resource.id": f"backproof.plan.{plan}",
            "prefect.resource.name": plan,
            "backproof.outcome": description,
        }
        emit_event(event, resource=resource, payload=facts)
