"""Fixtures of every room, found by pytest; a file a room in tests/support."""

import os
import signal

from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # Meant for this process, which has read it; in what it starts asyncio would report every slow callback.
    os.environ.pop("PYTHONDEVMODE", None)

# Whoever starts the tests in the background of a script lets them ignore Ctrl-C, and all that they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# CI machines stall at times: a slow example is no failure.
settings.register_profile("backproof", deadline=None)
settings.load_profile("backproof")

pytest_plugins = [
    "tests.support.mariadb_fixtures",
    "tests.support.mysql_dumps",
    "tests.support.mysql_exchanges",
    "tests.support.operations",
    "tests.support.postgres_fixtures",
    "tests.support.prefect_fixtures",
    "tests.support.s3_fixtures",
    "tests.support.fault_fixtures",  # after those it is built on
]

# Only root can mount a small disk.
collect_ignore = [] if os.geteuid() == 0 else ["integration/test_full_disks.py"]


def pytest_report_header() -> list[str]:
    """Nothing is left out in silence."""
    return [f"left out, since only root can mount a small disk: tests/{name}" for name in collect_ignore]
