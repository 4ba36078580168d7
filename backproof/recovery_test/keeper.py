"""Runs a program in a folder until it ends, or until who started this is gone: then the program goes as well.

A file of its own, run without Backproof: ``python keeper.py FOLDER PROGRAM ARGUMENT …``. It leads the process group of
the program, so that ending the group ends both; it looks after it, since nobody else does once its parent was killed.
"""

import os
import signal
import subprocess
import sys
import time

EVERY_SECONDS = 0.2


def main() -> int:
    """The exit status of the program; 127 where it can't be run, 128 and the signal where one ended it."""
    parent = os.getppid()
    folder, *command = sys.argv[1:]
    try:
        program = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"cannot run {command[0]} in {folder}: {error.strerror}", file=sys.stderr)
        return 127
    signal.signal(signal.SIGTERM, lambda *_: None)  # the whole group has it: the program ends, and so does this
    while (status := program.poll()) is None:
        if os.getppid() != parent:
            os.killpg(0, signal.SIGTERM)
            time.sleep(1)
            os.killpg(0, signal.SIGKILL)
        time.sleep(EVERY_SECONDS)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
