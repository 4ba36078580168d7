"""Is this file a report, and is it as it was signed? Pure: keys are the signer's."""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from backproof.archive.signing import Signer
from backproof.errors import Damaged
from backproof.recovery_test.naming import REPORT_HTML, REPORT_JSON, REPORT_PDF
from backproof.recovery_test.record import RecoveryTest, TestVerdict
from backproof.reports.stamp import verified

Format = Literal["html", "pdf", "json"]
PARTS: dict[Format, str] = {"html": REPORT_HTML, "pdf": REPORT_PDF, "json": REPORT_JSON}


@dataclass(frozen=True, slots=True)
class Genuine:
    """A report whose signature holds."""

    format: Format
    plan: str
    test: str
    signed_by: str
    """The fingerprint of the key."""
    record_sha256: str
    """Of the signed JSON: of this file itself, or of the record that it was drawn from."""
    verdict: TestVerdict | None
    """Of the test, where this is the record itself."""


def checked(document: bytes, signer: Signer) -> Genuine:
    """A report in any of its forms, its signature held against the keys that this fleet trusts.

    Raises:
        BadSignature: it is not, to the byte, what such a key has signed.
        Damaged: it is no report.
    """
    if document.startswith(b"%PDF-"):
        return _drawn(document, "pdf", signer)
    if document.startswith(b"<!doctype html>"):
        return _drawn(document, "html", signer)
    if document.startswith(b"{"):
        record = signer.verify(document, RecoveryTest)
        sha256 = hashlib.sha256(document).hexdigest()
        return Genuine("json", record.plan, record.test, json.loads(document)["key"], sha256, record.verdict)
    raise Damaged(
        "this is no report of a recovery test: it begins neither like PDF nor like HTML nor like JSON",
        "Or its first bytes were changed. Pull it again: `backproof reports pull`.",
    )


def _drawn(document: bytes, form: Literal["html", "pdf"], signer: Signer) -> Genuine:
    stamp = verified(document, form, signer)
    return Genuine(form, stamp.plan, stamp.test, stamp.key, stamp.record, None)
