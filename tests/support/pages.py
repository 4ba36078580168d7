"""Prefect's V1 pages by clicking, in Debian's Chromium. Whatever it waits for has two minutes: machines stall."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Locator, Page, TimeoutError, expect, sync_playwright

from tests.support.prefect_fixtures import eventually

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_MILLISECONDS = 120_000
SOON_MILLISECONDS = 5_000
RUN_MILLISECONDS = 240_000
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
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))

    @property
    def outside(self) -> list[str]:
        """What it asked somebody else for."""
        ours = (f"{self.url}/", f"{self.url.replace('http', 'ws', 1)}/", "data:", "blob:")
        return [url for url in self.asked if not url.startswith(ours)]

    def find_deployment(self, name: str) -> None:
        """From the front page to a deployment's, as somebody does who knows its name."""
        search = self.page.get_by_placeholder("Search deployments...")
        link = self.page.get_by_role("link", name=name, exact=True)
        self.page.goto(self.url)
        self._click_until_seen(self.page.get_by_role("button", name="Deployments", exact=True), search)
        search.fill(name)
        self.page.wait_for_url(f"**/deployments?*{name}")  # a second later; it would come back from where a click led
        self._click_until_seen(link, self.page.get_by_role("button", name="Run", exact=True))

    def open_form(self) -> None:
        """Of the deployment whose page it is; once more where that page, still loading, came back."""
        self._until(self._form_is_open, "the form is open")

    def _form_is_open(self) -> bool:
        submit = self.page.get_by_role("button", name="Submit")
        custom = self.page.get_by_role("link", name="Custom run")
        if not submit.is_visible():
            with suppress(TimeoutError):
                if not custom.is_visible():
                    self.page.get_by_role("button", name="Run", exact=True).click(timeout=SOON_MILLISECONDS)
                custom.click(timeout=SOON_MILLISECONDS)
                submit.wait_for(timeout=SOON_MILLISECONDS)
        return submit.is_visible() and "/run?" in self.page.url

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
        self._until(lambda: self._picked(title, value), f"{value} is picked")

    def _open_list(self, title: str) -> bool:
        """By its arrow: at a click elsewhere in the field Prefect 3.8.8 opens the list, and closes it again."""
        options = self.page.get_by_role("option")
        if not options.first.is_visible():
            self.field(title).locator(".p-select-button__icon").click()
            with suppress(TimeoutError):
                options.first.wait_for(timeout=SOON_MILLISECONDS)
        return options.first.is_visible()

    def _picked(self, title: str, value: str) -> bool:
        # While the page still loads, it draws its form anew, and an open list goes.
        if self._open_list(title):
            with suppress(TimeoutError):
                self.page.get_by_role("option", name=value, exact=True).click(timeout=SOON_MILLISECONDS)
        return self.field(title).locator(".p-select-button__value").inner_text().strip() == value

    def _click_until_seen(self, clicked: Locator, seen: Locator) -> None:
        """Once more where the page, still loading, went back to where it was."""

        def is_seen() -> bool:
            if not seen.is_visible():
                with suppress(TimeoutError):
                    clicked.click(timeout=SOON_MILLISECONDS)
                    seen.wait_for(timeout=SOON_MILLISECONDS)
            return seen.is_visible()

        self._until(is_seen, f"{seen} is seen")

    def _until(self, done: Callable[[], bool], what: str) -> None:
        eventually(done, PATIENCE_MILLISECONDS / 1000, what)

    def submit(self) -> None:
        """The form; then to the run that it started, the deployment's only one."""
        self._until(lambda: self._starts(self.page.get_by_role("button", name="Submit")), "the form is taken")
        self.open_run()

    def open_quick_run(self) -> Locator:
        """Of the deployment whose page it is: a dialog."""
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_role("button", name="Quick run").click()
        return self.page.get_by_role("dialog")

    def _starts(self, button: Locator) -> bool:
        """Whether a click starts a run. SQLite refuses it at times, where others write too: a person clicks again."""
        with self.page.expect_response(lambda answer: "create_flow_run" in answer.url) as answered:
            button.click()
        if answered.value.status != 503:
            assert answered.value.ok, answered.value.text()
        return answered.value.ok

    def open_run(self) -> None:
        """From the deployment's page, once a worker has taken the run: by then it has its own name."""
        self.page.locator('a[href*="/runs/flow-run/"]').first.click()
        self.page.wait_for_url("**/runs/flow-run/**")

    def wait_for(self, state: str) -> None:
        """Until the run whose page it is has come to a state."""
        badge = self.page.locator(".state-badge").filter(has_text=state).first
        expect(badge).to_be_visible(timeout=RUN_MILLISECONDS)

    def open_tab(self, name: str, shows: Locator) -> None:
        """Of the page that is open; once more where the page, still loading, went back to its first.

        Args:
            name: of the tab.
            shows: something that is to be seen there.
        """
        self._click_until_seen(self.page.get_by_role("listitem").filter(has_text=name).first, shows)

    def artifact(self, key: str) -> Locator:
        """Its card on a run's page."""
        return self.page.get_by_role("link").filter(has=self.page.get_by_text(key, exact=True)).first

    def open_artifact(self, key: str) -> Locator:
        """From a run's page.

        Returns:
            Its text.
        """
        self.open_tab("Artifacts", self.artifact(key))
        self.artifact(key).click()
        self.page.wait_for_url("**/artifacts/artifact/**")
        return self.page.locator("body")


@contextmanager
def browser(url: str, width: int = 1280, height: int = 2000) -> Iterator[Ui]:
    """A browser that has never been used, at a server. High: lists of artifacts draw only what is in sight."""
    if not CHROMIUM.exists():
        raise FileNotFoundError(f"{CHROMIUM} is missing: run ./tests/install-servers")
    with sync_playwright() as playwright:
        _loop_of(playwright).set_debug(False)  # else, under -X dev, each message costs a traceback and a warning
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(_OPTIONS))
        try:
            page = chromium.new_page(viewport={"width": width, "height": height}, timezone_id="UTC", locale="en-GB")
            page.set_default_timeout(PATIENCE_MILLISECONDS)
            expect.set_options(timeout=PATIENCE_MILLISECONDS)
            yield Ui(page, url)
        finally:
            chromium.close()


def _loop_of(playwright: object) -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = playwright._loop  # type: ignore[attr-defined]
    return loop
