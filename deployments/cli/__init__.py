"""The command ``backproof``: one file a group of commands, loaded when it is asked for.

``backup`` and ``verify`` run the scheduler's flows. All others call the library and never import Prefect: they are the
way out when Prefect is down.
"""

from backproof.garbage import look_seldom

look_seldom()  # before all that is loaded now

from deployments.cli.root import main  # noqa: E402

__all__ = ["main"]
