"""One recovery test in its three forms: the signed record, and the page and the paper that are drawn from it."""

import hashlib

from backproof.archive.signing import Signer
from backproof.recovery_test.naming import REPORT_HTML, REPORT_JSON, REPORT_PDF
from backproof.recovery_test.record import RecoveryTest
from backproof.reports.stamp import stamped


def drawn(record: RecoveryTest, signer: Signer) -> dict[str, bytes]:
    """Part of a key (``report.pdf``) to what lies there; the record is the last of them, which makes them count."""
    from backproof.reports.page import page
    from backproof.reports.paper import paper

    document = signer.sign(record)
    sha256 = hashlib.sha256(document).hexdigest()
    name = (record.plan, record.test, sha256)
    return {
        REPORT_HTML: stamped(page(record, sha256), "html", signer, *name),
        REPORT_PDF: stamped(paper(record, sha256), "pdf", signer, *name),
        REPORT_JSON: document,
    }
