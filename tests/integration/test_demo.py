"""The demo, as a stranger runs it: to its end, and with nothing left of it."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backproof.scratch import end_processes, workspace
from tests.support.ordinary_checkout import ordinary_checkout
from tests.support.prefect_fixtures import eventually
from tests.support.proc import command_of, cwd, others, told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PROGRAM = str(Path(sys.executable).with_name("backproof"))
SOON_SECONDS = 60.0


@dataclass(frozen=True)
class Machine:
    """A user's folders, empty; whatever the demo starts has their names in its environment."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "BACKPROOF"))}
        return clean | {"XDG_STATE_HOME": str(self.folder / "state"), "TMPDIR": str(self.folder / "tmp")}

    def demo(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run it to its end."""
        finished = subprocess.run([PROGRAM, *arguments], env=self.environment, capture_output=True, text=True)
        assert "Traceback" not in finished.stderr
        return finished

    def begin(self) -> "subprocess.Popen[str]":
        """Start it, to be disturbed."""
        return subprocess.Popen(
            [PROGRAM, "demo"], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def left(self) -> list[str]:
        """Processes that work in these folders, or were told of them."""
        return processes_of(self.folder)


def processes_of(folder: Path) -> list[str]:
    return [f"{pid}: {command_of(pid)[:200]}" for pid in others() if _knows(pid, folder)]


def _knows(pid: int, folder: Path) -> bool:
    words = told(pid, "environ") + told(pid, "cmdline")
    return os.fsencode(folder) in words or cwd(pid).is_relative_to(folder)


@pytest.fixture
def machine() -> Iterator[Machine]:
    # No tmp_path: where we are root, servers run as a user who can't enter pytest's folders.
    with workspace("demotest") as folder:
        (folder / "tmp").mkdir()
        (folder / "tmp").chmod(0o711)
        yield Machine(folder)
        end_processes(folder)


def until(process: "subprocess.Popen[str]", words: str) -> None:
    """Read what a demo tells, until it tells that."""
    said = []
    for line in process.stderr or ():
        said.append(line)
        if words in line:
            return
    raise AssertionError(f"it never said {words!r}:\n{''.join(said)}")


def test_kept_it_goes_on_until_it_is_stopped(machine: Machine) -> None:
    finished = machine.demo("--json", "demo", "--keep")
    assert finished.returncode == 0, finished.stderr
    document: dict[str, Any] = json.loads(finished.stdout)
    assert (document["verdict"], document["copies"]) == ("proven", ["local", "primary", "secondary"])

    assert document["ui_url"].startswith("http://127.0.0.1:")
    with urllib.request.urlopen(document["ui_url"], timeout=30) as page:
        assert "html" in page.headers["content-type"]
    listed = machine.demo("--json", "--fleet", document["fleet"], "list", "shop")
    assert [backup["proven"] for backup in json.loads(listed.stdout)["backups"]] == [True]
    second = machine.demo("demo")
    assert second.returncode == 1
    assert "still running" in second.stderr

    assert machine.demo("demo", "--stop").stdout == "The demo's servers have ended.\n"
    assert machine.left() == []
    assert machine.demo("demo", "--stop").stdout == "No demo is running.\n"


@pytest.mark.parametrize("moment", ["PostgreSQL", "Back up"])
def test_killed_it_takes_its_servers_along(machine: Machine, moment: str) -> None:
    process = machine.begin()
    until(process, moment)
    process.kill()
    process.communicate()
    eventually(lambda: not machine.left(), SOON_SECONDS, "its servers ended")


@pytest.mark.parametrize("moment", ["S3 region", "sealed"])
def test_interrupted_it_ends_soon_and_without_a_traceback(machine: Machine, moment: str) -> None:
    process = machine.begin()
    until(process, moment)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert machine.left() == []


def test_what_a_killed_holder_left_behind_goes_with_stop(machine: Machine) -> None:
    process = machine.begin()
    until(process, "PostgreSQL")
    holder, _ = json.loads((machine.folder / "state" / "backproof" / "demo" / "host.json").read_text())
    os.kill(holder, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 1
    machine.demo("demo", "--stop")
    eventually(lambda: not machine.left(), SOON_SECONDS, "its servers ended")


def test_it_ends_proven_leaves_nothing_running_and_needs_no_more_than_a_home() -> None:
    with workspace("ordinary") as folder:
        user = ordinary_checkout(folder)
        finished = subprocess.run(
            [*user.command, "demo"], cwd=user.home, env=user.environment, capture_output=True, text=True
        )
        assert finished.returncode == 0, finished.stderr
        assert "Traceback" not in finished.stderr
        pairs = (line.split(maxsplit=1) for line in finished.stdout.splitlines())
        facts = dict(pair for pair in pairs if len(pair) == 2)
        assert facts["Copies"] == "local, primary, secondary"
        assert facts["Verdict"].startswith("proven: ")
        assert facts["Rescued"].startswith("order_items, 180,000 rows, equal by digest")
        assert "copy to secondary" in finished.stdout
        assert [path.name for path in user.home.iterdir()] == [".local"]
        assert processes_of(folder) == []
