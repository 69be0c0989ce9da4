"""The options that a frozen encoder's features follow from; importing them does not import torch."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from galr.model.clip_config import PLAIN_PROMPT
from galr.options import OptionGroup, option

MAX_VIEWS = 48  # eight turns, whole and in five crops


@dataclass(frozen=True, kw_only=True)
class ImageEncoderOptions(OptionGroup):
    """What a frozen image encoder's features follow from."""

    backbone: str = option(
        "timm's name of a network, for example resnet18.tv_in1k; with clip open_clip's, for example ViT-B-32"
    )
    weights: str = option(
        "pretrained, package, none, or a file with a state dict of the backbone; with clip pretrained:TAG, none or a"
        " file",
        default="none",
    )
    input_size: int = option("height and width of the model's input, pixels")
    views: int = option("fixed views of an image, whose embeddings are averaged", default=1)
    global_feature: Literal["mvsa", "pooled", "clip"] = option(
        "the paper's MVSA, average and maximum of the last map, or the image tower of a CLIP",
        default="mvsa",
    )


def needs_last_map(model: Mapping[str, Any]) -> bool:
    """Whether a model reads a map that the features of its image encoder have only if told to.

    Args:
        model: the section `model`; MVSA's four maps have the last one anyway.
    """
    look = model["appearance"] == "roi"
    sequences = model["attention"] == "regions" and model["fusion"] != "sum"
    return (
        model["branches"] == "both" and model["global_feature"] == "pooled" and (look or sequences)
    )


@dataclass(frozen=True, kw_only=True)
class TextEncoderOptions(OptionGroup):
    """What a frozen sentence encoder's features follow from."""

    text_encoder: Literal["bigru", "skipthoughts", "transformer", "clip"] = option(
        "sentence encoder"
    )
    text_weights: str = option(
        "none; for skipthoughts a folder; for a transformer package, a folder or a name on the hub",
        default="none",
    )
    prompts: tuple[str, ...] = option(
        "of clip: templates of a sentence, which stands at {}; their features are averaged",
        default=(PLAIN_PROMPT,),
    )
    backbone: str = option("of clip: open_clip's name of the architecture", default="")
    weights: str = option("of clip: pretrained:TAG, none or a file", default="none")


def text_encoder_keys(text_encoder: str) -> tuple[str, ...]:
    """The options that a sentence encoder's features follow from; a CLIP has both towers in one file."""
    own = ("backbone", "weights", "prompts") if text_encoder == "clip" else ("text_weights",)
    return ("text_encoder", *own)


def frozen_encoders(variant: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The frozen encoders of a variant, by the part that they encode.

    Args:
        variant: its sections `model` and `train`.

    Returns:
        For `image` and `text`, if frozen, the options that the features follow from.
    """
    model, train = variant["model"], variant["train"]
    encoders = {}
    if "image" in train["freeze"] and model["branches"] != "local":
        names = [field.name for field in fields(ImageEncoderOptions)]
        encoders["image"] = {name: model[name] for name in names}
        if needs_last_map(model):
            encoders["image"]["last_map"] = True
    if "text" in train["freeze"]:
        keys = text_encoder_keys(model["text_encoder"])
        encoders["text"] = {key: model[key] for key in keys} | {"max_words": train["max_words"]}
    return encoders


def stored_encoders(
    variants: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> dict[str, dict[str, dict[str, Any]]]:
    """The encoders whose features are stored for each variant.

    Args:
        variants: the sections of each variant.

    Returns:
        For each variant `frozen_encoders`; one that needs no last map shares the features of one that does, if all else
        is equal, so that no image is encoded twice.
    """
    encoders = {name: frozen_encoders(variant) for name, variant in variants.items()}
    images = [each["image"] for each in encoders.values() if "image" in each]
    for each in encoders.values():
        if "image" in each and (fuller := each["image"] | {"last_map": True}) in images:
            each["image"] = fuller
    return encoders


def features_name(part: str, options: Mapping[str, Any]) -> str:
    """The name of an encoder's features: the part, the network and a hash of all options."""
    network = options["backbone"] if "backbone" in options else options["text_weights"]
    readable = re.sub(r"[^A-Za-z0-9_.]+", "_", network)[-40:].strip("_.")
    digest = hashlib.sha256(json.dumps(dict(options), sort_keys=True).encode()).hexdigest()
    return f"{part}-{readable}-{digest[:8]}"
