"""A process that writes to a store and is killed in the middle."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

WRITER = """
import sys, time
from backproof.stores.local import LocalStore
from backproof.stores.s3 import S3Store

def chunks():
    for _ in range(20):
        yield bytes(1024 * 1024)
    print("written", flush=True)
    time.sleep(600)

STORE.put("shop/daily/a", chunks())
"""


@contextmanager
def writer(store: str) -> Iterator["subprocess.Popen[str]"]:
    """A process in the middle of a put; killed, not asked, at the end.

    Args:
        store: an expression that makes the store.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER.replace("STORE", store)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    with process.stdout:
        try:
            assert process.stdout.readline() == "written\n"
            yield process
        finally:
            process.kill()
            process.wait()
