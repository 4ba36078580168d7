"""What a process loads: without looking for garbage meanwhile, and without threads that nobody uses."""

import subprocess
import sys


def _told(script: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert not done.stderr
    return done.stdout.split()


def test_a_command_looks_for_garbage_seldom_and_not_at_its_end() -> None:
    script = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 1000))  # asked last
from deployments.cli import main
print(gc.get_threshold()[0] > 10_000)
try:
    main(["check", "--help"])
finally:
    print(gc.isenabled(), gc.get_threshold()[0] > 10_000, gc.get_freeze_count())
"""
    said = _told(script)
    assert (said[0], said[-4:]) == ("False", ["True", "True", "0", "True"])


def test_what_a_server_loads_is_never_looked_at_again() -> None:
    script = """
import gc
from backproof.garbage import loading
with loading():
    print(gc.isenabled())
print(gc.isenabled(), gc.get_freeze_count() > 1000)
"""
    assert _told(script) == ["False", "True", "True"]


def test_numpy_starts_no_threads_and_its_thread_keeps_its_processors() -> None:
    script = """
import os
before = os.sched_getaffinity(0)
from backproof.lines import line_ends
assert line_ends(b"a\\n" * 2_000_000, 0, 4_000_000) == 2_000_000
import numpy
print(len(os.listdir("/proc/self/task")), os.sched_getaffinity(0) == before)
"""
    assert _told(script) == ["1", "True"]


def test_numpy_is_loaded_where_a_container_forbids_it_to_choose_its_processor() -> None:
    script = """
import os
def forbidden(*_):
    raise PermissionError
os.sched_setaffinity = forbidden
from backproof.arrays import np
print(np.zeros(3).sum())
"""
    assert _told(script) == ["0.0"]
