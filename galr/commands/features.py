"""Compute what a frozen encoder says of every image or sentence, once for all variants and folds.

IN   dataset.h5
OUT  features.h5   with --part image: for each image, under each fixed view, four maps or one table of numbers in
                   half precision; with --part text: a feature of each distinct sentence
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from galr.errors import ConfigError
from galr.features.options import ImageEncoderOptions, TextEncoderOptions
from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The encoder, inputs, outputs, and where to compute."""

    dataset: Path = option("dataset.h5")
    part: Literal["image", "text"] = option("of what the features are")
    backbone: str | None = option(
        "of images: timm's name of a network; of a CLIP: open_clip's name", default=None
    )
    weights: str = option(
        "of images: pretrained, package, or a file with a state dict; of a CLIP: pretrained:TAG or a file",
        default="package",
    )
    input_size: int = option("of images: height and width of the network's input", default=224)
    views: int = option("of images: number of fixed views", default=1)
    global_feature: Literal["mvsa", "pooled", "clip"] = option(
        "of images: four maps, average and maximum of the last, or the image tower of a CLIP",
        default="pooled",
    )
    last_map: bool = option(
        "of images: store the last map too, for appearance roi and attention regions", default=False
    )
    text_encoder: Literal["transformer", "clip"] = option("of sentences", default="transformer")
    text_weights: str = option(
        "of sentences: package, a folder or a name on the hub", default="package"
    )
    prompts: tuple[str, ...] = option(
        "of sentences, with clip: templates of a sentence, which stands at {}", default=("{}",)
    )
    max_words: int = option("of sentences: longer ones are cut", default=100)
    batch: int = option("images or sentences at a time", default=32)
    device: str = option("auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)
    output: Path = option("features.h5 to write")

    def __post_init__(self) -> None:
        """Check values against each other."""
        if self.backbone is None and (self.part == "image" or self.text_encoder == "clip"):
            needs = "--part image" if self.part == "image" else "--text-encoder clip"
            raise ConfigError(f"{needs} needs --backbone; got none")
        if self.last_map and (self.part != "image" or self.global_feature != "pooled"):
            raise ConfigError(
                f"--last-map stores a map beside --global-feature pooled, got --part {self.part} and"
                f" {self.global_feature}; leave it out, mvsa has the map among its four"
            )


def run(options: Options) -> None:
    """Compute the features of one encoder, and write features.h5."""
    # Imported here, so that --help starts without torch.
    import torch

    from galr.devices import resolve_device
    from galr.features.compute import write_image_features, write_text_features

    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    if options.part == "image":
        write_image_features(
            options.dataset,
            ImageEncoderOptions(
                backbone=options.backbone or "",
                weights=options.weights,
                input_size=options.input_size,
                views=options.views,
                global_feature=options.global_feature,
            ),
            options.output,
            batch_size=options.batch,
            device=device,
            last_map=options.last_map,
        )
        return
    write_text_features(
        options.dataset,
        TextEncoderOptions(
            text_encoder=options.text_encoder,
            text_weights=options.text_weights,
            backbone=options.backbone or "",
            weights=options.weights,
            prompts=options.prompts,
        ),
        options.output,
        max_words=options.max_words,
        batch_size=options.batch,
        device=device,
    )
