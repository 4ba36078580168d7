"""A fleet written as a file again: for a program of ours that is given it, as a scheduled run has no file.

What is written holds the fleet's secrets in clear: it belongs into ``subprocesses.secret_file``, nowhere else.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from backproof.fleet.fields import Spec
from backproof.fleet.loading import KINDS
from backproof.fleet.whole import FleetSpec


def written(spec: FleetSpec) -> str:
    """The text of a fleet file; ``parse`` reads the same fleet from it, wherever it lies."""
    raw = _plain(spec.model_dump(mode="json"), spec.model_dump(mode="python"))
    for part, kinds in KINDS.items():
        described: dict[str, Spec] = getattr(spec, part)
        for name, each in described.items():
            raw[part][name]["type"] = next(kind for kind, model in kinds.items() if isinstance(each, model))
    text: str = yaml.safe_dump(raw, allow_unicode=True, sort_keys=False)
    return text


def _plain(as_json: Any, as_it_is: Any) -> Any:
    """JSON's way of writing everything but secrets, which it masks, and paths, which may be relative to this folder."""
    match as_it_is:
        case SecretStr():
            return as_it_is.get_secret_value().replace("$", "$$")
        case Path():
            return str(as_it_is.absolute()).replace("$", "$$")
        case dict():
            return {name: _plain(as_json[name], each) for name, each in as_it_is.items()}
        case list() | tuple():
            return [_plain(one, other) for one, other in zip(as_json, as_it_is, strict=True)]
    return as_json.replace("$", "$$") if isinstance(as_json, str) else as_json
