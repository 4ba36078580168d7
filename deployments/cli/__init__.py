"""The command ``backproof``: one file a group of commands, loaded when it is asked for.

``backup`` and ``verify`` run the scheduler's flows. All others call the library and never import Prefect: they are the
way out when Prefect is down.
"""

from deployments.cli.root import main

__all__ = ["main"]
