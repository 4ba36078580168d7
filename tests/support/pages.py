"""Prefect's V1 pages by clicking, in Debian's Chromium, on a machine that may stall for a minute.

A page that is still loading goes back to where it was, draws its form anew, and loses what was clicked meanwhile. So
nothing is clicked before a page is quiet, each click is looked at for its effect, and what had none is done once more
from a page of known address.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from playwright.sync_api import Error, Locator, Page, Request, TimeoutError, expect, sync_playwright

from tests.support.prefect_fixtures import eventually

T = TypeVar("T")

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_MILLISECONDS = 120_000
SOON_MILLISECONDS = 8_000
QUIET_SECONDS = 0.5
RUN_SECONDS = 480.0
ARRIVAL_SECONDS = 300.0
_UNDER_WAY = ("Scheduled", "Late", "Pending", "Running")
_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class Ui:
    """One tab, and what it has asked for."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.asked: list[str] = []
        self.deployment = ""
        """Address of the deployment that was found last."""
        self._form_is_open: Callable[[], bool] = lambda: False
        self._open_again: Callable[[], None] = lambda: None
        """A form that was drawn away by a page that loaded once more."""
        self._filled: dict[str, Callable[[], bool]] = {}
        """What was filled in by title, to be seen to again where a form was drawn anew."""
        self._unanswered: set[Request] = set()
        self._heard_at = time.monotonic()
        page.on("request", self._asks)
        page.on("requestfinished", self._is_answered)
        page.on("requestfailed", self._is_answered)
        page.on("websocket", lambda socket: self.asked.append(socket.url))

    @property
    def outside(self) -> list[str]:
        """What it asked somebody else for."""
        ours = (f"{self.url}/", f"{self.url.replace('http', 'ws', 1)}/", "data:", "blob:")
        return [url for url in self.asked if not url.startswith(ours)]

    def find_deployment(self, name: str) -> None:
        """From the front page to a deployment's, as somebody does who knows its name."""
        search = self.page.get_by_placeholder("Search deployments...")

        def go() -> None:
            self.goto(self.url)
            self._click(self.page.get_by_role("button", name="Deployments", exact=True), search)
            search.fill(name, timeout=SOON_MILLISECONDS)
            self.page.wait_for_url(f"**/deployments?*{name}", timeout=SOON_MILLISECONDS)  # a second later
            self._click(self.page.get_by_role("link", name=name, exact=True), self._run_button)

        self._arrive(go, lambda: "/deployments/deployment/" in self.page.url and self._run_button.is_visible())
        self.deployment = self.page.url

    def open_form(self) -> None:
        """Of the deployment whose page it is."""
        custom = self.page.get_by_role("link", name="Custom run")

        def go() -> None:
            self.goto(self.deployment)
            self._click(self._run_button, custom)
            self._click(custom, self._submit_button)

        self._filled = {}
        self._form_is_open = lambda: "/run?" in self.page.url and self._submit_button.is_visible()
        self._arrive(go, self._form_is_open)
        form = self.page.url
        self._open_again = lambda: self.goto(form)

    def open_approval(self) -> Locator:
        """Of a run that waits for one, and whose page it is.

        Returns:
            A dialog, with what is approved and a form.
        """
        run, dialog = self.page.url, self.page.get_by_role("dialog")
        resume = self.page.get_by_role("button", name="Resume", exact=True)
        inputs = dialog.locator(".schema-form-property").first

        def go() -> None:
            self.goto(run)
            self._click(resume, inputs)

        self._filled = {}
        self._form_is_open = lambda: self._submit_button.is_visible() and inputs.is_visible()
        self._open_again = go
        self._arrive(go, self._form_is_open)
        return dialog

    def field(self, title: str) -> Locator:
        """One parameter of a form, with title, description and what is filled in."""
        label = self.page.get_by_text(title, exact=True)
        return self.page.locator(".schema-form-property").filter(has=label)

    def options(self, title: str) -> list[str]:
        """What a field's list offers; the list is open then."""
        self._until(lambda: self._open_list(title), f"the list of {title} is open")
        return self.page.get_by_role("option").all_inner_texts()

    def pick(self, title: str, value: str) -> None:
        """From a field's list."""
        self._fill(title, lambda: self._picked(title, value))

    def write(self, title: str, value: str) -> None:
        """Into a field for text."""
        box = self.field(title).get_by_role("textbox")

        def written() -> bool:
            if box.input_value(timeout=SOON_MILLISECONDS) != value:
                box.fill(value, timeout=SOON_MILLISECONDS)
            return box.input_value(timeout=SOON_MILLISECONDS) == value

        self._fill(title, written)

    def submit(self) -> None:
        """The form; then to the run that it started."""
        self._until(self._is_filled_in, "the form is filled in")
        run = self._until(self._started, "the form is taken")

        def go() -> None:
            self.goto(self.deployment)
            self._click(self.page.locator(f'a[href*="/runs/flow-run/{run}"]').first, self.page.locator(".state-badge"))

        self._arrive(go, lambda: f"/runs/flow-run/{run}" in self.page.url)

    def approve(self) -> None:
        """Hand in the form of a run that waits. SQLite refuses it at times: a person clicks again."""

        def handed_in() -> bool:
            if not self._is_filled_in():
                return False
            with self.page.expect_response(lambda answer: answer.url.endswith("/resume")) as answered:
                self._submit_button.click(timeout=SOON_MILLISECONDS)
            if answered.value.status == 503:
                return False
            assert answered.value.ok, answered.value.text()
            assert answered.value.json()["status"] == "ACCEPT", answered.value.text()
            return True

        self._until(handed_in, "the form is handed in")

    def submit_in_vain(self, said: str) -> None:
        """The form, which is refused with these words."""
        words = self.page.get_by_text(said).first

        def refused() -> bool:
            if self._is_filled_in():
                self._click(self._submit_button, words)
            return words.is_visible()

        self._until(refused, said)

    def open_quick_run(self) -> Locator:
        """Of the deployment whose page it is: a dialog."""
        quick, dialog = self.page.get_by_role("button", name="Quick run"), self.page.get_by_role("dialog")

        def go() -> None:
            self.goto(self.deployment)
            self._click(self._run_button, quick)
            self._click(quick, dialog)

        self._arrive(go, dialog.is_visible)
        return dialog

    def wait_for(self, state: str) -> None:
        """Until the run whose page it is has come to a state.

        Raises:
            AssertionError: it ended in another one, or does not come to it.
        """
        run, badges = self.page.url, self.page.locator(".state-badge")
        over = {"Completed", "Degraded", "Failed", "Crashed", "Cancelled", "TimedOut"} - {state}

        def came() -> bool:
            if self._is_under_way(run):
                self.page.wait_for_timeout(500)
                return False
            with suppress(Error):
                badges.first.wait_for(timeout=SOON_MILLISECONDS)
            found = badges.first.inner_text().strip() if badges.first.is_visible() else ""
            assert found not in over, f"the run is {found}: {self.page.locator('body').inner_text()}"
            if found == state:
                return True
            self.goto(run)
            return False

        eventually(came, RUN_SECONDS, f"the run is {state}")

    def open_tab(self, name: str, shows: Locator) -> None:
        """Of the page that is open.

        Args:
            name: of the tab.
            shows: something that is to be seen there.
        """
        place = self.page.url
        tab = self.page.get_by_role("listitem").filter(has_text=name).first

        def go() -> None:
            self.goto(place)
            self._click(tab, shows)

        if not shows.is_visible():
            self._arrive(go, shows.is_visible)

    def artifact(self, key: str) -> Locator:
        """Its card on a run's page."""
        return self._cards(key).first

    def open_artifact(self, key: str, says: str = "") -> Locator:
        """From a run's page.

        Args:
            key: of one, or of several, as a run leaves where it goes on after a while.
            says: which of these.

        Returns:
            Its text.
        """
        run, turns = self.page.url, itertools.count()

        def go() -> None:
            self.goto(run)
            self._click(self.page.get_by_role("listitem").filter(has_text="Artifacts").first, self.artifact(key))
            cards = self._cards(key)
            cards.nth(next(turns) % cards.count()).click(timeout=SOON_MILLISECONDS)
            self.page.wait_for_url("**/artifacts/artifact/**", timeout=SOON_MILLISECONDS)
            if says:
                self.page.get_by_text(says).first.wait_for(timeout=SOON_MILLISECONDS)

        self._arrive(go, lambda: "/artifacts/artifact/" in self.page.url)
        return self.page.locator("body")

    def _cards(self, key: str) -> Locator:
        return self.page.get_by_role("link").filter(has=self.page.get_by_text(key, exact=True))

    def goto(self, url: str) -> None:
        """Load a page, all of it."""
        self._unanswered.clear()
        self.page.goto(url)
        self._be_quiet()

    def _is_under_way(self, run: str) -> bool:
        """As the server says: to load its page costs as much as a run does."""
        answer = self.page.request.get(f"{self.url}/api/flow_runs/{run.rpartition('/')[2]}")
        return answer.ok and answer.json()["state_name"] in _UNDER_WAY

    @property
    def _run_button(self) -> Locator:
        return self.page.get_by_role("button", name="Run", exact=True)

    @property
    def _submit_button(self) -> Locator:
        return self.page.get_by_role("button", name="Submit")

    def _fill(self, title: str, filled: Callable[[], bool]) -> None:
        self._filled[title] = filled
        self._until(self._is_filled_in, f"{title} is filled in")

    def _is_filled_in(self) -> bool:
        if not self._form_is_open():
            self._open_again()
        # Looked at twice: a form that is drawn anew loses what was filled in before.
        return all(filled() for filled in 2 * list(self._filled.values()))

    def _open_list(self, title: str) -> bool:
        """By its arrow: at a click elsewhere in the field Prefect 3.8.8 opens the list, and closes it again."""
        options = self.page.get_by_role("option")
        if not options.first.is_visible():
            self._click(self.field(title).locator(".p-select-button__icon"), options.first)
        return options.first.is_visible()

    def _picked(self, title: str, value: str) -> bool:
        shown = self.field(title).locator(".p-select-button__value")
        if shown.inner_text(timeout=SOON_MILLISECONDS).strip() != value and self._open_list(title):
            self.page.get_by_role("option", name=value, exact=True).click(timeout=SOON_MILLISECONDS)
        return shown.inner_text(timeout=SOON_MILLISECONDS).strip() == value

    def _started(self) -> str:
        """The run that a click starts. SQLite refuses it at times, where others write too: a person clicks again."""
        if not self._is_filled_in():
            return ""
        with self.page.expect_response(lambda answer: "create_flow_run" in answer.url) as answered:
            self._submit_button.click(timeout=SOON_MILLISECONDS)
        if answered.value.status == 503:
            return ""
        assert answered.value.ok, answered.value.text()
        return str(answered.value.json()["id"])

    def _click(self, clicked: Locator, seen: Locator) -> None:
        """Once the page is quiet.

        Raises:
            TimeoutError: it can't be clicked, or what is to be seen then is not.
        """
        self._be_quiet()
        clicked.click(timeout=SOON_MILLISECONDS)
        seen.first.wait_for(timeout=SOON_MILLISECONDS)

    def _arrive(self, go: Callable[[], None], there: Callable[[], bool]) -> None:
        """The whole way again, until it led to where it should and the page stays there."""

        def arrived() -> bool:
            go()
            self._be_quiet()
            return there()

        self._until(arrived, "the page is there")

    def _until(self, done: Callable[[], T], what: str) -> T:
        """What it gives once that is true; what can't be clicked this time may be the next."""
        failed: list[str] = []

        def is_done() -> T | None:
            try:
                return done()
            except TimeoutError as error:
                failed.append(str(error))
                return None

        try:
            given: T = eventually(is_done, ARRIVAL_SECONDS, what)
        except AssertionError as error:
            error.add_note(f"{len(failed)} times in vain, at last: {'; '.join(failed[-1:]) or 'all clicks told'}")
            error.add_note(f"The page, at {self.page.url}:\n{self.page.locator('body').inner_text()}")
            raise
        return given

    def _be_quiet(self) -> None:
        """Wait until all it asked for is there, for a moment; some pages ask again and again, so not for long."""
        until = time.monotonic() + SOON_MILLISECONDS / 1000
        while time.monotonic() < until:
            if not self._unanswered and time.monotonic() - self._heard_at > QUIET_SECONDS:
                return
            self.page.wait_for_timeout(100)

    def _asks(self, request: Request) -> None:
        self.asked.append(request.url)
        self._unanswered.add(request)
        self._heard_at = time.monotonic()

    def _is_answered(self, request: Request) -> None:
        self._unanswered.discard(request)
        self._heard_at = time.monotonic()


@contextmanager
def browser(url: str, width: int = 1280, height: int = 2000) -> Iterator[Ui]:
    """A browser that has never been used, at a server. High: lists of artifacts draw only what is in sight."""
    if not CHROMIUM.exists():
        raise FileNotFoundError(f"{CHROMIUM} is missing: run ./tests/install-servers")
    with sync_playwright() as playwright:
        _loop_of(playwright).set_debug(False)  # else, under -X dev, each message costs a traceback and a warning
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(_OPTIONS))
        try:
            page = chromium.new_page(
                viewport={"width": width, "height": height},
                timezone_id="UTC",
                locale="en-GB",
                reduced_motion="reduce",  # what moves is drawn by the processor
            )
            page.set_default_timeout(PATIENCE_MILLISECONDS)
            expect.set_options(timeout=PATIENCE_MILLISECONDS)
            yield Ui(page, url)
        finally:
            chromium.close()


def _loop_of(playwright: object) -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = playwright._loop  # type: ignore[attr-defined]
    return loop
