"""The picture of a recovery test's report in the README: ``python -m tests.ui.report_picture FOLDER``."""

import base64
import sys
from pathlib import Path

from PIL import Image

from backproof.archive.signing import Signer
from backproof.recovery_test.naming import REPORT_HTML
from backproof.recovery_test.record import RecoveryTest
from backproof.reports.drawing import drawn
from backproof.scratch import workspace
from tests.support.pages import browser

RECORD = Path(__file__).parents[1] / "support" / "recovery_test.json"
"""Of a test on a real server, with a real application and two regions."""
NAME = "recovery-report.png"
WIDTH, HEIGHT = 1100, 1290


def main(folder: Path, record: RecoveryTest) -> None:
    """Take it of the page, as a browser shows it by day."""
    folder.mkdir(parents=True, exist_ok=True)
    document = drawn(record, Signer(base64.b64decode("A" * 43 + "=")))[REPORT_HTML]
    with workspace("picture") as home:
        (home / "report.html").write_bytes(document)
        with browser(home.as_uri(), WIDTH, HEIGHT) as ui:
            ui.page.goto((home / "report.html").as_uri())
            ui.page.evaluate("document.fonts.ready.then(() => true)")
            ui.page.screenshot(path=folder / NAME, animations="disabled")
    with Image.open(folder / NAME) as taken:
        small = taken.convert("RGB").quantize(64)
    small.save(folder / NAME, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), RecoveryTest.model_validate_json(RECORD.read_text()))
