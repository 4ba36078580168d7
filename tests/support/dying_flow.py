"""The flow ``recovery`` in a process of its own, killed at an entry of its journal.

``python -m tests.support.dying_flow PLAN REASON STEP WHAT``; the fleet and the Prefect server are its environment's.
"""

import sys

from flows.recovery import recovery
from tests.support.dying import dying_at


def main(plan: str, reason: str, step: str, what: str) -> None:
    """It dies once that is done, and before it could write so down."""
    dying_at(step, what, "before")
    recovery(plan, reason, return_state=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
