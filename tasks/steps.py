"""What all tasks share: only ``Transient`` is tried again, nothing is cached or persisted, a log of our own."""

import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.serializers import JSONSerializer
from prefect.tasks import Task, exponential_backoff

from backproof.errors import Transient
from tasks import stopping

P = ParamSpec("P")
R = TypeVar("R")


def only_transient(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task is worth another try: the error's class says so, and the run is not ending."""
    failure = state.result(raise_on_failure=False)
    if not isinstance(failure, Transient) or stopping.told().is_set():
        return False
    log(f"{run.name}: {failure.fact}; trying again", logging.WARNING)  # a minute of silence looks like a hang
    return True


def step(task_run_name: str, retries: int = 5) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a task: names and plain records cross its boundary, never a secret or a stream."""

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        return Task(
            function,
            task_run_name=task_run_name,
            retries=retries,
            retry_delay_seconds=exponential_backoff(2),
            retry_jitter_factor=0.5,
            retry_condition_fn=only_transient,
            cache_policy=NO_CACHE,
            persist_result=False,
            result_serializer=JSONSerializer(),
        )

    return decorate


def carry_out(name: str, title: str, work: Callable[[], None]) -> None:
    """Run a step that the library repeats by itself, as a task of its own; Prefect tries it once."""
    named = title.replace("{", "{{").replace("}", "}}")  # Prefect fills in what is in braces
    Task(work, name=name, task_run_name=named, retries=0, cache_policy=NO_CACHE, persist_result=False)()


def log(message: str, level: int = logging.INFO) -> None:
    """One line in the run's log, under a name of ours: a terminal shows it without Prefect's own lines."""
    run: Any = get_run_logger()
    run.getChild("backproof").log(level, message)
