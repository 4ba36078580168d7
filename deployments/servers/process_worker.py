"""Prefect's worker of a process pool, for flows of this very installation. Imported, it takes that one's place."""

import shlex
import sys
import warnings
from typing import Any

from prefect.workers.process import ProcessJobConfiguration, ProcessWorker


class DirectJobConfiguration(ProcessJobConfiguration):
    """A run begins as itself.

    Prefect 3.8 starts a process before each that looks where the flow's code is and what it needs installed. Ours is
    here, installed: that process would only cost each run some seconds of a processor.
    """

    def prepare_for_flow_run(self, *args: Any, **fields: Any) -> None:
        """As Prefect's; a command that the work pool or the run names stays."""
        if self.command is None:
            self.command = shlex.join([sys.executable, "-m", "prefect.engine"])
        super().prepare_for_flow_run(*args, **fields)


with warnings.catch_warnings(action="ignore"):  # that it takes the place of a type that is there

    class DirectProcessWorker(ProcessWorker):
        """Found by Prefect for work pools of type ``process``."""

        job_configuration = DirectJobConfiguration
