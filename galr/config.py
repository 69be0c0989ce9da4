"""Read YAML files and check them against their schemas; an unknown key is an error."""

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galr.errors import ConfigError

if TYPE_CHECKING:
    import yaml
    from jsonschema.exceptions import ValidationError
    from referencing import Resource

SCHEMAS = Path(__file__).parent / "schemas"


def read_yaml(path: Path, schema: Path) -> dict[str, Any]:
    """Read one YAML file that a schema describes.

    Raises:
        ConfigError: the file is missing or not YAML, or does not follow the schema.
    """
    document = load_yaml(path)
    check_schema(document, schema, str(path))
    return document


def load_yaml(path: Path) -> Any:  # noqa: ANN401  whatever YAML holds
    """Read one YAML file.

    Raises:
        ConfigError: the file is missing or not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}); write it or correct the name"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not YAML: it is not UTF-8 text") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, location: str) -> Any:  # noqa: ANN401  whatever YAML holds
    """Read YAML; `location` names it in the message.

    Raises:
        ConfigError: the text is not YAML.
    """
    import yaml  # here and below: a command's --help reads no file

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{location} is not YAML: {explain_yaml_error(error)}") from error


def explain_yaml_error(error: "yaml.YAMLError") -> str:
    """Describe in one line what is wrong with a YAML file, and where."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    if mark is None or problem is None:
        return " ".join(str(error).split())
    context = getattr(error, "context", None)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" + (
        f" ({context})" if context else ""
    )


def check_schema(document: Any, schema: Path, location: str) -> None:  # noqa: ANN401  whatever YAML held
    """Check a document against a schema.

    A section of the schema may name the page that shows it, by the key `see`.

    Args:
        document: the document.
        schema: path of a JSON schema, written in YAML.
        location: name of the document in the message.

    Raises:
        ConfigError: the first wrong key, its value and what was expected.
    """
    import yaml
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match
    from referencing import Registry

    rules = yaml.safe_load(schema.read_text(encoding="utf-8"))
    registry = Registry(retrieve=_load_schema)  # type: ignore[call-arg]  # attrs renames the argument
    error = best_match(Draft202012Validator(rules, registry=registry).iter_errors(document))
    if error is not None:
        section = rules.get("properties", {}).get(next(iter(error.absolute_path), None), {})
        text = f"{location}: {_explain(error)}"
        if "see" in section:
            text += f"{'' if text.endswith('?') else ';'} {section['see']}"
        raise ConfigError(text)


def _load_schema(name: str) -> "Resource[Any]":
    """Read a schema that another one refers to."""
    import yaml
    from referencing import Resource

    return Resource.from_contents(yaml.safe_load((SCHEMAS / name).read_text(encoding="utf-8")))


def _explain(error: "ValidationError") -> str:
    """Describe in one line the value of a key and what was expected."""
    key = ".".join(str(part) for part in error.absolute_path) or "the top level"
    description = error.schema.get("description") if isinstance(error.schema, dict) else None
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = min(set(error.instance) - set(known))
        near = difflib.get_close_matches(unknown, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        return f"unknown key '{unknown}' in {key}; {hint}"
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        text = error.schema.get("properties", {}).get(missing, {}).get("description", "")
        return f"{key} lacks '{missing}'" + (f" ({text})" if text else "")
    return f"{key}: {error.message}" + (f"; expected: {description}" if description else "")


def merge_config(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Merge changes into a copy of a document, section by section."""
    merged = dict(document)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge_config(merged[key], value) if both else value
    return merged


def drop_keys(section: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Copy a section without some of its keys."""
    return {key: value for key, value in section.items() if key not in keys}


def load_variants(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Merge the changes of every variant that runs into the sections graphs, model and train.

    Args:
        config: the whole config, checked against its schema.

    Returns:
        The three sections of each variant, in the order of `run`.

    Raises:
        ConfigError: a variant is unknown, or the folder of its text weights does not exist.
    """
    unknown = [name for name in config["run"] if name not in config["variants"]]
    if unknown:
        known = ", ".join(config["variants"])
        raise ConfigError(f"run: variant '{unknown[0]}' is unknown; choose from {known}")
    sections = {section: config[section] for section in ("graphs", "model", "train")}
    variants = {name: merge_config(sections, config["variants"][name]) for name in config["run"]}
    for name, variant in variants.items():
        folder = variant["model"]["text_weights"]
        skipthoughts = variant["model"]["text_encoder"] == "skipthoughts"
        if skipthoughts and folder != "none" and not Path(folder).is_dir():
            raise ConfigError(
                f"variant {name}: model.text_weights: no folder {folder}; put dictionary.txt, utable.npy"
                " and uni_skip.npz of skip-thoughts there, or set text_weights: none to start from"
                " random numbers"
            )
    return variants
