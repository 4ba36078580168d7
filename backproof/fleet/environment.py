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
        ConfigurationError: a name is not set or malformed; says where, never a value.
    """
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: _value(match, environment, path), value)
    if isinstance(value, dict):
        return {key: expand(item, environment, f"{path}.{key}" if path else str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, environment, f"{path}.{index}") for index, item in enumerate(value)]
    return value


def _value(match: re.Match[str], environment: Mapping[str, str], path: str) -> str:
    if match[0] == "$$":
        return "$"
    name = match[1]
    if not match[2] or not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{path} holds a '${{' that is no ${{NAME}}",
            "Close it with '}', or write '$${' for the characters themselves.",
        )
    if name not in environment:
        raise ConfigurationError(
            f"{path} takes its value from ${{{name}}}, which is not set",
            f"Set the environment variable {name}; if it stands in a file, load that first: set -a; . ./FILE; set +a",
        )
    return environment[name]
