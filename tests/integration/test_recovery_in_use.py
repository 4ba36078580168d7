"""A web application takes orders while its database is recovered: it sees one database or the other, and goes on."""

import itertools
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.fleets import PLAN
from tests.support.killing import CHECKOUT
from tests.support.prefect_fixtures import eventually
from tests.support.recovering import Live, World, on_each_engine


@dataclass
class Shop:
    """The application, and somebody who orders again and again."""

    folder: Path
    port: int
    taken: list[int] = field(default_factory=list)
    """Orders that were answered with 200."""
    answers: set[int] = field(default_factory=set)

    def asked(self, path: str, data: bytes | None = None) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", data, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def order(self, number: int) -> None:
        status = self.asked("/orders", str(number).encode())
        self.answers.add(status)
        if status == 200:
            self.taken.append(number)
        else:
            time.sleep(0.005)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Orders come in, as long as the context lasts."""
        over, numbers = threading.Event(), itertools.count(1_000_000)

        def order() -> None:
            while not over.is_set():
                self.order(next(numbers))

        buyer = threading.Thread(target=order)
        buyer.start()
        try:
            eventually(lambda: bool(self.taken), 60, "a first order")
            yield
        finally:
            over.set()
            buyer.join()


made = on_each_engine()


def _asking(path: str) -> list[str]:
    """A command that tells the application."""
    script = (
        "import sys, urllib.request; "
        "urllib.request.urlopen(f\"http://127.0.0.1:{open('port').read()}{sys.argv[1]}\", b'', timeout=60).close()"
    )
    return [sys.executable, "-S", "-E", "-c", script, path]


@pytest.fixture
def live(made: World, tmp_path: Path) -> Iterator[Live]:
    health = tmp_path / "health"
    yield made.live(
        verify_on="server",
        stores=["near"],
        application={
            "directory": str(tmp_path),
            "maintenance_on": _asking("/down"),
            "maintenance_off": _asking("/live"),
            "commands": [],
            "tests": [["test", "-e", "url"]],
            "watch": {"minutes": 0, "log_file": str(health)},
        },
    )
    made.clean()


@pytest.fixture
def shop(live: Live, tmp_path: Path) -> Iterator[Shop]:
    (tmp_path / "url").write_text(live.fleet.engine(PLAN).sqlalchemy_url(live.target))
    argv = [sys.executable, "-m", "tests.support.web_application", str(tmp_path)]
    with subprocess.Popen(argv, cwd=CHECKOUT) as process:
        try:
            eventually((tmp_path / "port").exists, 60, "the application")
            yield Shop(tmp_path, int((tmp_path / "port").read_text()))
        finally:
            process.kill()


def test_orders_taken_before_the_swap_are_set_aside_and_those_after_it_are_live(live: Live, shop: Shop) -> None:
    live.run("UPDATE parent SET name = 'gone'")
    with shop.busy():
        recovery, outcome = live.recover()
        swapped = len(shop.taken)
        eventually(lambda: len(shop.taken) > swapped + 3, 60, "orders after the recovery")
    assert (outcome.result, outcome.why) == ("recovered", "")
    assert shop.answers <= {200, 500, 503}
    now = {int(str(number)) for (number,) in live.run("SELECT id FROM bare")}
    aside = live.target.to(recovery.request.aside)
    before = {int(str(number)) for (number,) in live.world.harness.run(aside, "SELECT id FROM bare")}
    assert set(shop.taken) <= now | before, "no order that was taken is lost"
    assert not now & before, "none is in both"
    assert min(now) > max(before), "one database, then the other"
    assert shop.asked("/up") == 200
    written = recovery.journal.facts("keep")["rows written since the backup"]
    assert isinstance(written, dict)
    assert [count for table, count in written.items() if "bare" in table] == [len(before)]


def test_a_recovery_that_fails_leaves_the_application_up_with_every_order(live: Live, shop: Shop) -> None:
    (shop.folder / "url").unlink()  # its tests fail
    with shop.busy():
        _, outcome = live.recover()
        seen = len(shop.taken)
        eventually(lambda: len(shop.taken) > seen + 3, 60, "orders after it was taken back")
    assert outcome.result == "rolled back"
    now = {int(str(number)) for (number,) in live.run("SELECT id FROM bare")}
    assert set(shop.taken) <= now
