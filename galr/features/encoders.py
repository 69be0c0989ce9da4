"""Pretrained encoders by their options, and what identifies the features that they give."""

import hashlib
from dataclasses import asdict, fields
from typing import Any

from torch import nn

from galr.features.options import ImageEncoderOptions, TextEncoderOptions
from galr.model.image import Backbone
from galr.model.pretrained import load_backbone, load_transformer, read_transformer
from galr.model.text import MeanTransformer


def build_image_encoder(options: ImageEncoderOptions) -> Backbone:
    """Build an image encoder with its pretrained weights, in evaluation mode.

    Raises:
        ConfigError: the network or its weights do not exist.
        StoreError: the weights do not fit.
        ExtraError: the package with the weights is not installed.
    """
    backbone = Backbone(options.backbone, pyramid=options.global_feature == "mvsa")
    load_backbone(backbone, options.weights)
    return backbone.eval()


def build_sentence_encoder(options: TextEncoderOptions) -> tuple[MeanTransformer, str]:
    """Build a sentence encoder with its pretrained weights, in evaluation mode.

    Returns:
        The encoder, and its tokenizer in the JSON of the library tokenizers.

    Raises:
        ConfigError: the encoder or its tokenizer does not exist.
        StoreError: the weights are damaged.
        ExtraError: the package with the weights is not installed.
    """
    pretrained = read_transformer(options.text_weights)
    network = MeanTransformer(pretrained.config)
    load_transformer(network, pretrained)
    return network.eval(), pretrained.tokenizer


def image_settings(options: ImageEncoderOptions, encoder: nn.Module) -> dict[str, Any]:
    """What image features follow from, beside the images."""
    return _settings(options, ImageEncoderOptions) | {"state_sha256": state_sha256(encoder)}


def text_settings(
    options: TextEncoderOptions, encoder: nn.Module, max_words: int
) -> dict[str, Any]:
    """What sentence features follow from, beside the sentences."""
    settings = _settings(options, TextEncoderOptions)
    return settings | {"max_words": max_words, "state_sha256": state_sha256(encoder)}


def _settings(options: Any, group: type) -> dict[str, Any]:  # noqa: ANN401  an option group or a larger one
    """The options of a group, by name."""
    names = {field.name for field in fields(group)}
    return {name: value for name, value in asdict(options).items() if name in names}


def state_sha256(module: nn.Module) -> str:
    """SHA-256 of a module's weights and statistics, in the order of their names."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
