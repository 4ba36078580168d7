"""Prefect's worker of a process pool, for flows of this very installation. Imported, it takes that one's place."""

import os
import shlex
import signal
import sys
import warnings
from typing import Any, Self

from prefect.workers.process import ProcessJobConfiguration, ProcessWorker


class DirectJobConfiguration(ProcessJobConfiguration):
    """A run begins as itself.

    Prefect 3.8 starts a process before each that looks where the flow's code is and what it needs installed. Ours is
    here, installed: that process would only cost each run some seconds of a processor.
    """

    def prepare_for_flow_run(self, *args: Any, **fields: Any) -> None:
        """As Prefect's; a command that the work pool or the run names stays."""
        if self.command is None:
            self.command = shlex.join([sys.executable, "-m", "deployments.servers.engine_process"])
        super().prepare_for_flow_run(*args, **fields)


with warnings.catch_warnings(action="ignore"):  # that it takes the place of a type that is there

    class DirectProcessWorker(ProcessWorker):
        """Found by Prefect for work pools of type ``process``.

        Told to end by SIGTERM it takes no more runs, and ends once those it has have ended. Prefect's own kills them,
        and its server goes on thinking that they run.
        """

        job_configuration = DirectJobConfiguration
        _told = _ending = False

        async def __aenter__(self) -> Self:
            entered = await super().__aenter__()
            signal.signal(signal.SIGTERM, self._tell)  # in place of that of Prefect's command
            return entered

        async def get_and_submit_flow_runs(self) -> list[Any]:
            """As Prefect's, until it is told to end."""
            if not self._told:
                return await super().get_and_submit_flow_runs()
            self._end_when_idle()
            return []

        def _tell(self, *_: object) -> None:
            self._told = True
            self._end_when_idle()

        def _end_when_idle(self) -> None:
            if not self._ending and not self.limiter.borrowed_tokens:
                self._ending = True
                os.kill(os.getpid(), signal.SIGINT)
