"""The process of a worker of ours: ``python -m deployments.servers.worker_process --pool NAME --owner PID STARTED``.

It waits until ``backproof apply`` has made its work pool: a pool that the worker made would not be the fleet's. It ends
when whoever started it is gone, also by kill -9: told to, it takes no more runs and waits for those it has.
"""

import argparse
import importlib
import os
import runpy
import signal
import sys
import threading
import time

from backproof.garbage import loading
from deployments.servers.prefect_process import LOOK_EVERY_SECONDS, owner_gone

_LOOK_FOR_THE_POOL_EVERY_SECONDS = 2.0
_DRAINING_SECONDS = 60.0


def end_with(pid: int, started: str) -> None:
    """End when the owner is gone; after a while without waiting for runs."""
    gone = owner_gone(pid, started)
    while not gone():
        time.sleep(LOOK_EVERY_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_DRAINING_SECONDS)
    os._exit(1)


def wait_for(pool: str) -> None:
    """Return once there is such a work pool."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    said = False
    with get_client(sync_client=True) as client:
        while True:
            try:
                client.read_work_pool(pool)
            except ObjectNotFound:
                if not said:
                    print(f"there is no work pool {pool} yet; `backproof apply` makes it", flush=True)
                said = True
                time.sleep(_LOOK_FOR_THE_POOL_EVERY_SECONDS)
            else:
                return


def main() -> None:
    """Work until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pool", required=True)
    parser.add_argument("--limit", type=int, required=True)
    parser.add_argument("--owner", nargs=2, required=True, metavar=("PID", "STARTED"))
    options = parser.parse_args()
    watch = (int(options.owner[0]), options.owner[1])
    threading.Thread(target=end_with, args=watch, daemon=True).start()
    with loading():
        importlib.import_module("deployments.servers.process_worker")
    wait_for(options.pool)
    sys.argv = ["prefect", "worker", "start", "--pool", options.pool, "--limit", str(options.limit)]
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
