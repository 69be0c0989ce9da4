"""The functions that the workflow's rules call: variants merged over the config, sections as flags."""

import argparse
import shlex
from dataclasses import dataclass

import pytest
import yaml

from galr.config import drop_keys, load_variants
from galr.errors import ConfigError
from galr.options import OptionGroup, as_flag, as_flags, option

CONFIG = yaml.safe_load(
    """
run: [small, plain]
graphs: {max_regions: 20, salience: true}
model: {embed_dim: 512, text_encoder: skipthoughts, text_weights: none}
train: {epochs: 20}
variants:
  plain: {}
  small: {model: {embed_dim: 8}}
  other: {train: {epochs: 1}}
"""
)


def test_a_variant_changes_its_own_keys_and_no_others():
    variants = load_variants(CONFIG)
    assert list(variants) == ["small", "plain"]
    plain = {section: CONFIG[section] for section in ("graphs", "model", "train")}
    assert variants["plain"] == plain
    assert variants["small"] == plain | {"model": CONFIG["model"] | {"embed_dim": 8}}
    assert CONFIG["model"]["embed_dim"] == 512


def test_an_unknown_variant_is_named():
    with pytest.raises(
        ConfigError, match=r"variant 'smal' is unknown; choose from plain, small, other"
    ):
        load_variants(CONFIG | {"run": ["smal"]})


def test_missing_text_weights_are_named_with_the_ways_out(tmp_path):
    model = CONFIG["model"] | {"text_weights": str(tmp_path / "skipthoughts")}
    with pytest.raises(
        ConfigError, match=r"variant plain: .*no folder .*skipthoughts; put .* or set text_weights"
    ):
        load_variants(CONFIG | {"model": model, "run": ["plain"]})
    (tmp_path / "skipthoughts").mkdir()
    assert load_variants(CONFIG | {"model": model, "run": ["plain"]})["plain"]["model"] == model


def test_dropped_keys_leave_the_section_as_it_was():
    section = {"size": 64, "limit": 2}
    assert drop_keys(section, "limit", "absent") == {"size": 64}
    assert section == {"size": 64, "limit": 2}


@dataclass(frozen=True, kw_only=True)
class Everything(OptionGroup):
    """An option of every kind that a config has."""

    name: str = option("text")
    rate: float = option("a number")
    k: tuple[int, ...] = option("numbers")
    parts: tuple[str, ...] = option("words, or none at all", default=())
    limit: int | None = option("a number or none")
    fast: bool = option("a switch")
    slow: bool = option("a switch")


@pytest.mark.parametrize("parts", [[], ["image"], ["image", "text"]])
def test_flags_are_read_back_to_the_section_they_were_written_from(parts):
    section = {
        "slow": False,
        "fast": True,
        "name": "two words; and 'quotes'",
        "rate": 2e-4,
        "k": [1, 20],
        "parts": parts,
        "limit": None,
    }
    parser = argparse.ArgumentParser()
    Everything.add_arguments(parser)
    read = Everything.from_args(parser.parse_args(shlex.split(as_flags(section))))
    assert vars(read) == section | {"k": (1, 20), "parts": tuple(parts)}


def test_flags_do_not_depend_on_the_order_of_the_keys():
    section = {"b_key": 1, "a_key": "x"}
    assert as_flags(section) == as_flags(dict(reversed(section.items()))) == "--a-key x --b-key 1"
    assert as_flag("--x", False) == "--no-x"
