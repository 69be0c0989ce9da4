"""The files of config/ that are laid over config.yaml: each follows the schema, and its variants can be built."""

from pathlib import Path

import pytest

from galr.config import check_schema, load_variants, load_yaml, merge_config
from galr.features.options import features_name, frozen_encoders
from galr.train.options import check_variants

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
BELOW = {  # what a recipe is laid over, beside config.yaml
    name: ["quick.yaml"] for name in ("finetune.yaml", "ablations.yaml", "extensions.yaml")
}
RECIPES = sorted(path.name for path in (ROOT / "config").glob("*.yaml"))


def variants_of(*names):
    config = {}
    for name in ("config.yaml", *names):
        config = merge_config(config, load_yaml(ROOT / "config" / name))
    check_schema(config, SCHEMA, " ".join(names))
    return load_variants(config)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_follows_the_schema_and_can_be_built(name):
    variants = variants_of(*BELOW.get(name, []), name)
    check_variants(variants)
    assert variants


def test_all_frozen_rows_of_a_clip_share_the_same_features():
    variants = variants_of("clip.yaml")
    encoders = {
        name: {features_name(part, options) for part, options in frozen_encoders(variant).items()}
        for name, variant in variants.items()
    }
    assert encoders["clip_zeroshot"] == encoders["clip_linear"] == encoders["clip_galr"]
    assert len(encoders["clip_zeroshot"]) == 2
    assert not encoders["clip_finetuned"]


def test_a_clips_sentences_are_computed_again_for_other_templates_and_weights_alone():
    (variant,) = [variants_of("clip.yaml")["clip_zeroshot"]]
    name = features_name("text", frozen_encoders(variant)["text"])
    for changes, differs in (
        ({"prompts": ["{}"]}, True),
        ({"weights": "pretrained:laion2b_e16"}, True),
        ({"head": "linear"}, False),
        ({"views": 8}, False),
    ):
        changed = merge_config(variant, {"model": changes})
        other = features_name("text", frozen_encoders(changed)["text"])
        assert (other != name) == differs, changes
