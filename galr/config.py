"""Read a YAML file and hold it against its schema: an unknown key is an error, not a default."""

import difflib
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry, Resource

from galr.errors import ConfigError

SCHEMAS = Path(__file__).parent / "schemas"


def read_yaml(path: Path, schema: Path) -> dict[str, Any]:
    """Read one YAML file that a schema describes.

    Raises:
        ConfigError: the file is missing, no YAML, or not what the schema says.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}); write it or correct the name"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {error}") from error
    check_schema(document, schema, str(path))
    return document


def check_schema(document: Any, schema: Path, location: str) -> None:  # noqa: ANN401  whatever YAML held
    """Hold a document against a schema.

    Args:
        document: what was read.
        schema: a JSON schema, written in YAML.
        where: what to call the document in the message.

    Raises:
        ConfigError: names the key, what it holds and what it should.
    """
    rules = yaml.safe_load(schema.read_text(encoding="utf-8"))
    known = Registry(retrieve=_load_schema)  # type: ignore[call-arg]  # attrs renames it for its makers
    error = best_match(Draft202012Validator(rules, registry=known).iter_errors(document))
    if error is not None:
        raise ConfigError(f"{location}: {_explain(error)}")


def _load_schema(name: str) -> Resource[Any]:
    """Read a schema that another one refers to."""
    return Resource.from_contents(yaml.safe_load((SCHEMAS / name).read_text(encoding="utf-8")))


def _explain(error: ValidationError) -> str:
    """Say in one line what a key holds and what was expected."""
    key = ".".join(str(part) for part in error.absolute_path) or "the top level"
    meaning = error.schema.get("description") if isinstance(error.schema, dict) else None
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = min(set(error.instance) - set(known))
        near = difflib.get_close_matches(unknown, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        return f"unknown key '{unknown}' in {key}; {hint}"
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        says = error.schema.get("properties", {}).get(missing, {}).get("description", "")
        return f"{key} lacks '{missing}'" + (f" ({says})" if says else "")
    return f"{key}: {error.message}" + (f"; expected: {meaning}" if meaning else "")


def merge_config(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Lay changes over a document, section by section; neither is changed."""
    merged = dict(document)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge_config(merged[key], value) if both else value
    return merged
