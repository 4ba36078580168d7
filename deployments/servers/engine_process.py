"""The process of a flow run: ``python -m deployments.servers.engine_process``.

It is Prefect's engine, loaded in two thirds of the time.
"""

import runpy

from backproof.garbage import look_seldom

if __name__ == "__main__":
    look_seldom()
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
