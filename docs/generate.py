"""Pages that are written from the code: commands from their help, config from its schema, formats from `galr.io`.

MkDocs runs `on_files` as a hook.
`python docs/generate.py` writes the table of keys into config/README.md.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import yaml

from galr.__main__ import COMMANDS, command_parser
from galr.io.formats import FORMATS

ROOT = Path(__file__).parents[1]
FORMULAS = (  # those of the pages, then those of docstrings
    (re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL), "inline"),
    (re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL), "block"),
    (re.compile(r":math:<code>(.*?)</code>", re.DOTALL), "inline"),
)
BEGIN, END = "<!-- keys: written by docs/generate.py -->", "<!-- end of keys -->"


def on_files(files: Any, config: Any) -> Any:  # noqa: ANN401  MkDocs' own types
    """Add the generated pages to the site (a MkDocs hook)."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_content(html: str, **_: Any) -> str:  # noqa: ANN401  MkDocs' own types
    """Write every formula as MathML, which browsers draw without a script (a MkDocs hook)."""
    for pattern, display in FORMULAS:
        html = pattern.sub(lambda match, display=display: to_mathml(match[1], display), html)
    return html


def to_mathml(formula: str, display: str) -> str:
    """Convert a LaTeX formula, escaped as HTML, to MathML; `display` is `inline` or `block`."""
    from latex2mathml.converter import convert

    mathml = convert(unescape(formula).strip(), display=display)
    return f"<p>{mathml}</p>" if display == "block" else mathml


def pages() -> dict[str, str]:
    """The generated pages of the reference, by name."""
    return {"commands": commands_page(), "config": config_page(), "formats": formats_page()}


def commands_page() -> str:
    """Each command with its help."""
    lines = [
        "# Commands",
        "",
        "Every rule of the workflow is a command, and every command runs alone.",
        "Bad input ends with one line and exit code 2.",
    ]
    for name, summary in COMMANDS.items():
        parser, _ = command_parser(name)
        lines += ["", f"## galr {name}", "", f"{summary[0].upper()}{summary[1:]}."]
        lines += ["", "```text", parser.format_help().rstrip(), "```"]
    return "\n".join(lines) + "\n"


def config_page() -> str:
    """Every key of the config."""
    return (
        "# Config\n\n"
        "`config/config.yaml` holds the defaults; `--configfile` lays other files over it, key by key.\n"
        "An unknown key, a value out of range or an unknown variant is one line and exit code 2, before any job"
        " starts.\n\n" + keys_table()
    )


def keys_table() -> str:
    """The table of all keys: meaning, unit or choices, default, rules that a change re-runs."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    defaults = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    rows = [
        "| key | meaning | unit or choices | default | re-runs |",
        "|---|---|---|---|---|",
    ]
    for key, rules, reruns in keys(schema):
        default: Any = defaults
        for part in key.split("."):
            default = default[part] if isinstance(default, dict) else default
        shown = "" if isinstance(default, dict) else f"`{as_yaml(default)}`"
        name = f"{key}.<name>" if isinstance(default, dict) else key
        rows.append(
            f"| `{name}` | {rules['description']} | {choices(rules)} | {shown} | {reruns} |"
        )
    return "\n".join(rows).replace("{dataset}", "`{dataset}`") + "\n"


def keys(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield every key with its rules and the rules of the workflow that it re-runs."""
    for name, rules in schema["properties"].items():
        section = resolve(schema, rules)
        if "properties" not in section:
            yield name, section, section["reruns"]
            continue
        for key, inner in section["properties"].items():
            key_rules = resolve(schema, inner)
            yield f"{name}.{key}", key_rules, key_rules.get("reruns", section["reruns"])


def resolve(schema: dict[str, Any], rules: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference to the schema's definitions."""
    if "$ref" not in rules:
        return rules
    return schema["$defs"][rules["$ref"].rpartition("/")[2]] | rules


def choices(rules: dict[str, Any]) -> str:
    """The unit, the choices or the range of a key."""
    if "enum" in rules:
        return ", ".join(f"`{value}`" for value in rules["enum"])
    if "enum" in rules.get("items", {}):
        return "list of " + choices(rules["items"])
    if rules["type"] == "array":
        return "list"
    if "boolean" in rules["type"]:
        return "`true`, `false`"
    low, high = rules.get("minimum"), rules.get("maximum")
    open_low, open_high = rules.get("exclusiveMinimum"), rules.get("exclusiveMaximum")
    bounds = [
        f"at least {low}" if low is not None else f"over {open_low}" if open_low is not None else ""
    ]
    bounds += [
        f"at most {high}"
        if high is not None
        else f"below {open_high}"
        if open_high is not None
        else ""
    ]
    nullable = ["`null`"] if "null" in rules["type"] else []
    return ", ".join(part for part in [rules.get("unit", ""), *bounds, *nullable] if part)


def as_yaml(value: Any) -> str:  # noqa: ANN401  whatever the config holds
    """A value as it is written in YAML."""
    return yaml.safe_dump(value, default_flow_style=True, width=1000).split("\n...")[0].strip()


def formats_page() -> str:
    """Every HDF5 format with its tables."""
    lines = [
        "# File formats",
        "",
        "Results are HDF5 files (and CSV tables).",
        "Each HDF5 file has the attributes `kind`, `version` and `provenance` (JSON).",
        "When it is opened, kind, version and the dtype and shape of every table are checked.",
        "Axes with one name have one length.",
        "",
        "Where a network file system has no locks, set `HDF5_USE_FILE_LOCKING=FALSE` in the environment.",
    ]
    for kind in FORMATS:
        lines += ["", *kind.describe()]
    return "\n".join(lines) + "\n"


def write_keys() -> None:
    """Write the table of keys into config/README.md."""
    path = ROOT / "config/README.md"
    text = path.read_text()
    before, rest = text.split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{keys_table()}{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    sys.exit(write_keys())
