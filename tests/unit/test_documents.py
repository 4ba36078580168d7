"""What the documents point at is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
_PLACEHOLDER = re.compile(r"<!-- (?:demo output|bench) -->\s*$", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    links = _LINK.findall(document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_picture_is_told_in_words_and_is_small(document: Path) -> None:
    for words, picture in re.findall(r"!\[([^]]*)\]\(([^)\s]+)\)", document.read_text()):
        assert len(words.split()) >= 5, picture
        assert (document.parent / picture).stat().st_size < 200_000, picture


def test_the_front_page_shows_real_output() -> None:
    assert _PLACEHOLDER.findall((ROOT / "README.md").read_text()) == []


def test_every_test_that_a_document_names_is_there() -> None:
    written = "\n".join(path.read_text() for path in ROOT.glob("tests/**/test_*.py"))
    named = {name for document in DOCUMENTS for name in re.findall(r"`(test_\w+)`", document.read_text())}
    assert sorted(name for name in named if f"def {name}(" not in written) == []
    files = {path for document in DOCUMENTS for path in re.findall(r"`((?:\w+/)*test_\w+\.py)`", document.read_text())}
    here = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/**/test_*.py")}
    assert sorted(path for path in files if not any(each.endswith(path) for each in here)) == []
