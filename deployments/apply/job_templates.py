"""What a run becomes on each type of work pool: Prefect's own job templates, with defaults of ours. Pure.

They are read from the installed Prefect, which carries those of its integrations too: no network is needed.
"""

import copy
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import prefect
from prefect.utilities.schema_tools.validation import ValidationError, validate

from backproof.errors import ConfigurationError

_VIEW = Path("server") / "api" / "collections_data" / "views" / "aggregate-worker-metadata.json"


def template(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The job template of a type of pool, with settings as its defaults.

    Raises:
        ConfigurationError: a setting that this type does not have, or a value that it does not take.
    """
    return with_defaults(copy.deepcopy(_templates()[kind]), kind, settings)


def with_defaults(given: dict[str, Any], kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A job template with other defaults.

    Raises:
        ConfigurationError: as for ``template``.
    """
    changed = copy.deepcopy(given)
    variables = changed["variables"]
    for name, value in settings.items():
        if name not in variables["properties"]:
            known = ", ".join(sorted(variables["properties"]))
            raise ConfigurationError(
                f"work_pool.settings: {name} is no setting of a {kind} pool", f"There are: {known}."
            )
        variables["properties"][name]["default"] = value
    try:
        validate(dict(settings), variables, raise_on_error=True, preprocess=True, ignore_required=True)
    except ValidationError as error:
        raise ConfigurationError(f"work_pool.settings: {str(error).splitlines()[0]}", "Correct it.") from None
    return changed


def defaults(given: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those defaults of a job template that settings could have put there."""
    properties = given.get("variables", {}).get("properties", {})
    return {name: properties.get(name, {}).get("default") for name in names}


@cache
def _templates() -> dict[str, dict[str, Any]]:
    collections = json.loads((Path(prefect.__file__).parent / _VIEW).read_text())
    return {
        kind: worker["default_base_job_configuration"]
        for workers in collections.values()
        for kind, worker in workers.items()
    }
