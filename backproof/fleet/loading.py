"""From a file and an environment to a ``FleetSpec``; every mistake is named by its place in the file."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from backproof.errors import AccessDenied, ConfigurationError, NotFound
from backproof.fleet.environment import expand
from backproof.fleet.fields import Spec
from backproof.fleet.notifications import KINDS as _NOTIFICATIONS
from backproof.fleet.specs import CredentialsSpec, DatabaseSpec, KeyRingSpec, LocalStoreSpec, PlanSpec, S3StoreSpec
from backproof.fleet.whole import FleetSpec, nearest

SpecT = TypeVar("SpecT", bound=Spec)

_STORES: dict[str, type[Spec]] = {"local": LocalStoreSpec, "s3": S3StoreSpec}
KINDS: dict[str, dict[str, type[Spec]]] = {"stores": _STORES, "notifications": _NOTIFICATIONS}
"""Of parts whose things are of several kinds: the word after ``type`` to its spec."""
_PARTS: dict[str, type[Spec]] = {
    "keys": KeyRingSpec,
    "credentials": CredentialsSpec,
    "databases": DatabaseSpec,
    "plans": PlanSpec,
}


def load(path: Path, environment: Mapping[str, str]) -> FleetSpec:
    """Read a fleet file.

    Args:
        path: the file; relative paths in it are relative to its folder.
        environment: where ``${NAME}`` comes from.

    Raises:
        NotFound, AccessDenied: the file can't be read.
        ConfigurationError: something in it is wrong; all mistakes of one kind are named at once, and no value is
            repeated that could be a secret.
    """
    return parse(_read(path), environment, path)


def parse(text: str, environment: Mapping[str, str], path: Path) -> FleetSpec:
    """Read the text of a fleet file that lies, or will lie, at ``path``."""
    document = _document(text, path)
    raw = expand(document, environment)
    assert isinstance(raw, dict)  # noqa: S101 — expand keeps the shape that _document checked
    context = {"folder": path.absolute().parent}
    problems: list[str] = []
    whole = dict(raw)
    for part, model in _PARTS.items():
        whole[part] = _specs(raw.get(part), part, lambda _, model=model: model, context, problems)
    for part, kinds in KINDS.items():
        whole[part] = _specs(raw.get(part), part, lambda raw, kinds=kinds: _kind(raw, kinds), context, problems)
    if not problems:
        fleet = _spec(FleetSpec, whole, "", context, problems)
        if fleet is not None:
            return fleet
    raise ConfigurationError(f"{path} is wrong: {'; '.join(problems)}", "Correct the file, then run backproof check.")


def explain(error: ValidationError, model: type[BaseModel], where: str = "") -> list[str]:
    """Each mistake of a rejected spec: its place, what is wrong and, for an unknown key, what was probably meant."""
    return [_explain_one(detail, model, where) for detail in error.errors(include_url=False, include_input=False)]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"there is no {path}", "Make one with backproof init, or name yours with --fleet.") from None
    except PermissionError:
        raise AccessDenied(f"cannot read {path}", "Give this user the right to read it.") from None
    except (IsADirectoryError, UnicodeDecodeError):
        raise ConfigurationError(f"{path} is no text file", "Name a fleet file with --fleet.") from None


class _Loader(yaml.SafeLoader):
    """YAML's safe kinds only; a key written twice is an error, not a silent loss of the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"{key.value!r} is written twice", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _document(text: str, path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(text, _Loader)  # noqa: S506 — a subclass of the safe loader
    except yaml.MarkedYAMLError as error:
        # str(error) would quote the line, which may hold a secret.
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigurationError(f"{path}{line} is no YAML: {error.problem}", "Correct that line.") from None
    except yaml.YAMLError:
        raise ConfigurationError(f"{path} is no YAML", "It holds characters that YAML does not allow.") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} holds no keys and values", "backproof init writes one to start from.")
    return document


def _kind(raw: dict[str, Any], kinds: Mapping[str, type[Spec]]) -> type[Spec] | str:
    kind = raw.pop("type", None)
    if kind in kinds:
        return kinds[kind]
    if kind is None:
        return f"type is missing; write type: {' or type: '.join(kinds)}"
    return f"type must be {' or '.join(kinds)}"


def _specs(raw: object, part: str, model_of: Any, context: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        problems.append(f"{part} must hold names, each with its settings")
        return {}
    return dict(_named(raw, part, model_of, context, problems))


def _named(
    raw: dict[Any, Any], part: str, model_of: Any, context: dict[str, Any], problems: list[str]
) -> Iterator[tuple[str, Spec]]:
    for name, settings in raw.items():
        where = f"{part}.{name}"
        if not isinstance(settings, dict):
            problems.append(f"{where} must hold settings, such as {{{_first_field(part)}: …}}")
            continue
        settings = dict(settings)
        model = model_of(settings)
        if isinstance(model, str):
            problems.append(f"{where}.{model}")
        elif (spec := _spec(model, settings, where, context, problems)) is not None:
            yield name, spec


def _first_field(part: str) -> str:
    return "type" if part in KINDS else next(iter(_PARTS[part].model_fields))


def _spec(
    model: type[SpecT], raw: dict[str, Any], where: str, context: dict[str, Any], problems: list[str]
) -> SpecT | None:
    try:
        return model.model_validate(raw, context=context)
    except ValidationError as error:
        problems.extend(explain(error, model, where))
        return None


def _explain_one(detail: ErrorDetails, model: type[BaseModel], where: str) -> str:
    location = [part for part in detail["loc"] if part != "[key]"]
    path = ".".join([where, *map(str, location)] if where else map(str, location))
    match detail["type"]:
        case "extra_forbidden":
            known = _fields(model, location[:-1])
            meant = nearest(str(location[-1]), known)
            advice = f"did you mean {meant!r}?" if meant else f"known here: {', '.join(sorted(known))}"
            return f"{path} is unknown; {advice}"
        case "missing":
            return f"{path} is missing"
        case "string_pattern_mismatch":
            return f"{path} must be a name of lower-case letters, digits and hyphens, 63 at most"
        case "value_error":
            reason = str(detail["ctx"]["error"])
            return f"{path}.{reason}" if location[-1:] in (["plans"], ["stores"]) and not where else f"{path}: {reason}"
        case _:
            return f"{path}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _fields(model: type[BaseModel], location: list[int | str]) -> set[str]:
    """The keys that are known at a place below a spec."""
    for step in location:
        field = model.model_fields.get(step) if isinstance(step, str) else None
        if field is not None:
            model = next(_models(field.annotation), model)
    return set(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
