"""Pretrained encoders by their options, and what identifies the features that they give."""

import hashlib
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from torch import nn

from galr.data.subwords import ClipVocabulary
from galr.features.options import ImageEncoderOptions, TextEncoderOptions, text_encoder_keys
from galr.model.clip import ClipImageTower, ClipTextTower
from galr.model.clip_config import (
    check_max_words,
    check_prompts,
    check_text_tower,
    image_tower_config,
    read_clip_config,
    text_tower_config,
)
from galr.model.clip_weights import load_clip
from galr.model.image import Backbone
from galr.model.pretrained import (
    check_max_tokens,
    load_backbone,
    load_transformer,
    read_transformer,
)
from galr.model.text import MeanTransformer
from galr.options import OptionGroup

ImageEncoder = Backbone | ClipImageTower


def build_image_encoder(options: ImageEncoderOptions, *, last_map: bool = False) -> ImageEncoder:
    """Build an image encoder with its pretrained weights, in evaluation mode.

    Args:
        options: of the encoder.
        last_map: whether it gives the last map beside what is pooled.

    Raises:
        ConfigError: the network or its weights do not exist.
        StoreError: the weights do not fit.
        ExtraError: the package with the weights is not installed.
    """
    if options.global_feature == "clip":
        config = read_clip_config(options.backbone)
        tower = ClipImageTower(options.backbone, image_tower_config(config), options.input_size)
        load_clip(options.weights, options.backbone, config, image=tower, text=None)
        return tower.eval()
    pyramid = options.global_feature == "mvsa"
    backbone = Backbone(options.backbone, pyramid=pyramid, last_map=last_map)
    load_backbone(backbone, options.weights)
    return backbone.eval()


def build_sentence_encoder(
    options: TextEncoderOptions, max_words: int
) -> tuple[MeanTransformer | ClipTextTower, str]:
    """Build a sentence encoder with its pretrained weights, in evaluation mode.

    Args:
        options: of the encoder.
        max_words: longer sentences will be cut, in the encoder's own tokens.

    Returns:
        The encoder, and its tokenizer as text, see `galr.data.subwords.open_vocabulary`.

    Raises:
        ConfigError: the encoder or its tokenizer does not exist, or it does not read such long sentences.
        StoreError: the weights are damaged.
        ExtraError: the package with the weights is not installed.
    """
    if options.text_encoder == "clip":
        config = read_clip_config(options.backbone)
        check_text_tower(options.backbone, config)
        check_max_words(options.backbone, config, max_words)
        check_prompts(options.prompts)
        tower = ClipTextTower(text_tower_config(config, options.prompts))
        load_clip(options.weights, options.backbone, config, image=None, text=tower)
        return tower.eval(), ClipVocabulary.of_prompts(options.prompts).json
    pretrained = read_transformer(options.text_weights)
    check_max_tokens(pretrained, max_words)
    network = MeanTransformer(pretrained.config)
    load_transformer(network, pretrained)
    return network.eval(), pretrained.tokenizer


def image_settings(options: ImageEncoderOptions, encoder: ImageEncoder) -> dict[str, Any]:
    """What image features follow from, beside the images."""
    keys = [field.name for field in fields(ImageEncoderOptions)]
    settings = _settings(options, keys) | map_settings(encoder)
    return settings | {"state_sha256": state_sha256(encoder)}


def map_settings(encoder: ImageEncoder) -> dict[str, Any]:
    """That features have the last map as well, where the encoder gives it; features with it serve all encoders."""
    return {"last_map": True} if encoder.gives_map else {}


def text_settings(
    options: TextEncoderOptions, encoder: nn.Module, max_words: int
) -> dict[str, Any]:
    """What sentence features follow from, beside the sentences."""
    settings = _settings(options, text_encoder_keys(options.text_encoder))
    return settings | {"max_words": max_words, "state_sha256": state_sha256(encoder)}


def _settings(options: OptionGroup, keys: Iterable[str]) -> dict[str, Any]:
    """Some options by name, as JSON types."""
    values = {key: getattr(options, key) for key in keys}
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in values.items()
    }


def state_sha256(module: nn.Module) -> str:
    """SHA-256 of a module's weights and statistics, in the order of their names."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
