"""The options that a frozen encoder's features follow from; importing them does not import torch."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from galr.options import OptionGroup, option

MAX_VIEWS = 48  # eight turns, whole and in five crops


@dataclass(frozen=True, kw_only=True)
class ImageEncoderOptions(OptionGroup):
    """What a frozen image encoder's features follow from."""

    backbone: str = option("timm's name of a network, for example resnet18.tv_in1k")
    weights: str = option(
        "pretrained, package, none, or a file with a state dict of the backbone", default="none"
    )
    input_size: int = option("height and width of the model's input, pixels; a multiple of 32")
    views: int = option("fixed views of an image, whose embeddings are averaged", default=1)
    global_feature: Literal["mvsa", "pooled"] = option(
        "the paper's MVSA, or average and maximum of the last map", default="mvsa"
    )


@dataclass(frozen=True, kw_only=True)
class TextEncoderOptions(OptionGroup):
    """What a frozen sentence encoder's features follow from."""

    text_encoder: Literal["bigru", "skipthoughts", "transformer"] = option("sentence encoder")
    text_weights: str = option(
        "none; for skipthoughts a folder; for a transformer package, a folder or a name on the hub",
        default="none",
    )


def frozen_encoders(variant: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The frozen encoders of a variant, by the part that they encode.

    Args:
        variant: its sections `model` and `train`.

    Returns:
        For `image` and `text`, if frozen, the options that the features follow from.
    """
    model, train = variant["model"], variant["train"]
    encoders = {}
    if "image" in train["freeze"]:
        names = [field.name for field in fields(ImageEncoderOptions)]
        encoders["image"] = {name: model[name] for name in names}
    if "text" in train["freeze"]:
        names = [field.name for field in fields(TextEncoderOptions)]
        encoders["text"] = {name: model[name] for name in names} | {"max_words": train["max_words"]}
    return encoders


def features_name(part: str, options: Mapping[str, Any]) -> str:
    """The name of an encoder's features: the part, the network and a hash of all options."""
    network = options["backbone"] if part == "image" else options["text_weights"]
    readable = re.sub(r"[^A-Za-z0-9_.]+", "_", network)[-40:].strip("_.")
    digest = hashlib.sha256(json.dumps(dict(options), sort_keys=True).encode()).hexdigest()
    return f"{part}-{readable}-{digest[:8]}"
