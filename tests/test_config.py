import re
from pathlib import Path

import pytest
import yaml

from galr.config import SCHEMAS, check_schema, merge_config, read_yaml
from galr.data.dataset_spec import read_dataset_spec
from galr.errors import ConfigError
from galr.regions.detector_spec import read_detector_spec

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"


def configs():
    """The shipped config, and with each file that is merged into it."""
    base = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    yield base
    for name in ("demo", "quick", "drea"):
        yield merge_config(base, yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()))


def keys(document, above=""):
    """Every key of a config as the README spells it."""
    for key, value in document.items():
        if key == "variants":
            yield "variants.<name>"
        elif isinstance(value, dict):
            yield from keys(value, f"{above}{key}.")
        else:
            yield above + key


def test_the_shipped_configs_are_valid():
    for config in configs():
        check_schema(config, SCHEMA, "config")
    assert {read_dataset_spec(p).name for p in (ROOT / "config/datasets").glob("*.yaml")} >= {
        "rsitmd", "rsicd", "ucm", "sydney", "demo",
    }  # fmt: skip
    assert {read_detector_spec(p).name for p in (ROOT / "config/detectors").glob("*.yaml")} >= {
        "demo", "hrplanes", "rtmdet-coco", "dota", "coco-results",
    }  # fmt: skip


def test_the_readme_explains_every_key_with_its_default():
    rows = re.findall(r"^\| `([^`]+)` \|.*$", (ROOT / "config/README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(keys(next(configs())))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": {"epoch": 3}}, "unknown key 'epoch' in train; did you mean 'epochs'?"),
        ({"colour": 1}, "unknown key 'colour' in the top level; known: data, "),
        (
            {"train": {"epochs": -1}},
            "train.epochs: -1 is less than the minimum of 0; expected: passes",
        ),
        ({"variants": {"x": {"model": {"depth": 1}}}}, "unknown key 'depth' in variants.x.model"),
        ({"evaluate": {"ties": "lucky"}}, "evaluate.ties: 'lucky' is not one of"),
    ],
)
def test_an_error_is_named(change, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_schema(merge_config(next(configs()), change), SCHEMA, "config")


def test_a_missing_key_is_named():
    config = next(configs())
    del config["train"]["margin"]
    with pytest.raises(ConfigError, match="train lacks 'margin'"):
        check_schema(config, SCHEMA, "config")


def test_merging_changes_only_the_given_keys():
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merge_config(base, {"a": {"c": [3]}, "e": 2}) == {
        "a": {"b": 1, "c": [3]},
        "d": 1,
        "e": 2,
    }
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 1}


def test_files_that_are_not_yaml_are_errors(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path / "none.yaml", SCHEMAS / "dataset.schema.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match=r"bad.yaml is not YAML: line 1, column 6: expected"):
        read_yaml(tmp_path / "bad.yaml", SCHEMAS / "dataset.schema.yaml")
