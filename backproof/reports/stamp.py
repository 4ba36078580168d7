"""The last line of a report for people: who signed what stands before it, and of which record it was drawn.

::

    <!-- backproof report {"key":"ed25519:…","plan":"shop","record":"9f86d0…","test":"recovery-test_…"} <signature> -->
    %backproof report {"key":"ed25519:…","plan":"shop","record":"9f86d0…","test":"recovery-test_…"} <signature>

The Ed25519 signature (base64) is over every byte of the file that stands before it, the line's own beginning included;
what follows it is always the same. A comment of HTML stands where a page has ended; one of PDF after its ``%%EOF``.
"""

import json
import re
from dataclasses import dataclass
from typing import Literal

from backproof.archive.signing import Signer
from backproof.errors import Damaged

Form = Literal["html", "pdf"]
_MARKS: dict[Form, tuple[bytes, bytes]] = {
    "html": (b"<!-- backproof report ", b" -->\n"),
    "pdf": (b"%backproof report ", b"\n"),
}
_LINE = re.compile(rb"(\{[^\n]*\}) ([A-Za-z0-9+/]{86}==)", re.ASCII)
_REMEDY = "It was changed or cut, or is none of ours. Pull it again: `backproof reports pull`."


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the last line says."""

    plan: str
    test: str
    record: str
    """SHA-256 of the signed JSON that the report was drawn from."""
    key: str
    """The fingerprint of the key that signed it."""


def stamped(body: bytes, form: Form, signer: Signer, plan: str, test: str, record_sha256: str) -> bytes:
    """A report with its last line."""
    begins, ends = _MARKS[form]
    facts = {"key": signer.fingerprint, "plan": plan, "record": record_sha256, "test": test}
    lead = b"" if body.endswith(b"\n") else b"\n"
    signed = body + lead + begins + _written(facts) + b" "
    return signed + signer.sign_bytes(signed).encode() + ends


def verified(document: bytes, form: Form, signer: Signer) -> Stamp:
    """What the last line of a report says, once its signature holds.

    Raises:
        BadSignature: the file is not, to the byte, what a key this fleet trusts has signed.
        Damaged: it has no such line at its end.
    """
    begins, ends = _MARKS[form]
    start = document.rfind(b"\n" + begins) + 1
    line = document[start + len(begins) : len(document) - len(ends)]
    match = _LINE.fullmatch(line)
    if start == 0 or not document.endswith(ends) or match is None:
        raise Damaged("the report has no signature at its end", _REMEDY)
    stamp = _read(match[1])
    signed = document[: len(document) - len(ends) - len(match[2])]
    signer.verify_bytes(signed, stamp.key, match[2].decode())
    return stamp


def _read(facts: bytes) -> Stamp:
    try:
        read = json.loads(facts.decode())
        stamp = Stamp(**read)
    except (ValueError, TypeError, RecursionError):
        raise Damaged("the report's last line can't be read", _REMEDY) from None
    if not all(isinstance(value, str) for value in read.values()):
        raise Damaged("the report's last line can't be read", _REMEDY)
    return stamp


def _written(facts: dict[str, str]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
