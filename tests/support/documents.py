"""docs/json.md as a yardstick: a command's document has exactly the keys of its example."""

import json
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[2] / "docs" / "json.md"


def example(title: str) -> dict[str, Any]:
    """The example of one section."""
    sections = dict(part.split("\n", 1) for part in DOCUMENT.read_text().split("\n## ")[1:])
    read: dict[str, Any] = json.loads(sections[title].split("```json\n", 1)[1].split("```", 1)[0])
    return read


def check_keys(found: object, documented: object, place: str = "") -> None:
    """Hold a document against its example: the same keys at every place, the same kinds of values.

    An empty list or mapping of the example says nothing of what it holds; null stands for any kind.
    """
    if isinstance(documented, dict) and isinstance(found, dict):
        if documented:
            assert set(found) == set(documented), f"keys at {place or 'the top'}"
        for key, value in documented.items():
            check_keys(found[key], value, f"{place}.{key}")
    elif isinstance(documented, list) and isinstance(found, list):
        for index, value in enumerate(found):
            if documented:
                check_keys(value, documented[0], f"{place}.{index}")
    elif found is not None and documented is not None:
        kinds = (int, float) if isinstance(documented, float) else type(documented)
        assert isinstance(found, kinds), f"{place} is a {type(found).__name__}"
