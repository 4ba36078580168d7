"""``${NAME}`` in a fleet file, taken from an environment that the caller hands over."""

import re
from collections.abc import Mapping

from backproof.errors import ConfigurationError

_REFERENCE = re.compile(r"\$(?:\$|\{([^}]*)(\}?))")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def expand(value: object, environment: Mapping[str, str], path: str = "") -> object:
    """Replace every ``${NAME}`` in every string below ``value``; ``$$`` becomes one dollar sign.

    A dollar sign followed by anything else stays as it is, and what was put in is not read again.

    Args:
        value: what YAML gave: mappings, lists, scalars.
        environment: names and values.
        path: where ``value`` stands in the file, for messages.

    Raises:
        ConfigurationError: names are not set, or malformed; says which and where, never a value.
    """
    missing: dict[str, str] = {}
    expanded = _expand(value, environment, path, missing)
    if missing:
        places = "; ".join(
            f"{place} takes its value from ${{{name}}}, which is not set" for name, place in missing.items()
        )
        raise ConfigurationError(
            places,
            f"Set the environment {'variable' if len(missing) == 1 else 'variables'} {', '.join(missing)}; "
            "where a file such as fleet.env holds them, load it first: set -a; . ./fleet.env; set +a",
        )
    return expanded


def _expand(value: object, environment: Mapping[str, str], path: str, missing: dict[str, str]) -> object:
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: _value(match, environment, path, missing), value)
    if isinstance(value, dict):
        return {
            key: _expand(item, environment, f"{path}.{key}" if path else str(key), missing)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_expand(item, environment, f"{path}.{index}", missing) for index, item in enumerate(value)]
    return value


def _value(match: re.Match[str], environment: Mapping[str, str], path: str, missing: dict[str, str]) -> str:
    if match[0] == "$$":
        return "$"
    name = match[1]
    if not match[2] or not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{path} holds a '${{' that is no ${{NAME}}",
            "Close it with '}', or write '$${' for the characters themselves.",
        )
    if name not in environment:
        missing.setdefault(name, path)
    return environment.get(name, "")
