"""Look back, as a task."""

from datetime import datetime

from backproof.operations import look_back as operation
from backproof.trend import Measures
from blocks import load_fleet
from tasks.steps import step


@step("look back", retries=0)
def look_back(plan: str, taken_at: datetime) -> tuple[Measures, ...]:
    """The backup of that moment and those before it, in numbers; the stores tell, and not Prefect's history."""
    return operation.look_back(load_fleet(plan), plan, taken_at)
