"""Fixtures of every room, found by pytest; a file a room in tests/support."""

import gc
import os
import signal

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # Meant for this process, which has read it; in what it starts asyncio would report every slow callback.
    os.environ.pop("PYTHONDEVMODE", None)

# Whoever starts the tests in the background of a script lets them ignore Ctrl-C and Ctrl-\, and all that they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) == signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)

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

LONGEST = (
    "integration/test_a_fleet_in_trouble.py",
    "integration/test_recovery_killed.py",
    "integration/test_demo.py",
    "integration/test_standing.py",
    "integration/test_recovery.py",
    "integration/test_recovery_test.py",
    "integration/test_recovery_attacked.py",
    "flows/test_apply.py",
    "integration/test_large_data.py",
    "integration/test_command.py",
    "integration/test_postgresql_round_trip.py",
    "integration/test_mysql_round_trip.py",
    "integration/test_postgresql_samples.py",
    "integration/test_main_job_killed.py",
    "integration/test_postgresql_restore.py",
    "flows/test_alerts.py",
    "integration/test_recovery_without_prefect.py",
    "integration/test_recovery_failing.py",
    "integration/test_private_prefect.py",
    "ui/test_by_clicking.py",
    "integration/test_prune_killed.py",
    "integration/test_replication_killed.py",
    "unit/test_retention_histories.py",
    "flows/test_blocks.py",
)
"""Files that take longest, by and large in this order. They begin first: else one of them runs on alone at the end."""

# Only root can mount a small disk.
_MOUNTING = ["integration/test_full_disks.py", "integration/test_recovery_broken.py"]
collect_ignore = [] if os.geteuid() == 0 else _MOUNTING


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files first; within a file nothing changes."""
    turn = {config.rootpath / "tests" / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: turn.get(item.path, len(turn)))


def pytest_report_header() -> list[str]:
    """Nothing is left out in silence."""
    return [f"left out, since only root can mount a small disk: tests/{name}" for name in collect_ignore]


def pytest_collection_finish() -> None:
    """What was loaded by now stays: looking through it for garbage again and again takes time."""
    gc.collect()
    gc.freeze()
