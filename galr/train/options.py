"""What is built and how it is trained: the config's sections `model` and `train` as values."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from galr.options import OptionGroup, option
from galr.train.distributed import Precision
from galr.train.loss import LossName


@dataclass(frozen=True, kw_only=True)
class ModelOptions(OptionGroup):
    """What is built; config section `model`."""

    backbone: str = option("torchvision's name of a network in stages, for example resnet18")
    weights: str = option("imagenet, none, or a file with a state dict of the backbone")
    input_size: int = option("height and width the model sees, pixels; a multiple of 32")
    embed_dim: int = option("width of the common space")
    text_encoder: Literal["bigru", "skipthoughts"] = option("sentence encoder")
    text_weights: str = option("none, or a folder with the weights of skip-thoughts")
    word_dim: int = option("width of a word's embedding")
    gru_hidden: int = option("units of the GRU, each direction it has")
    text_dropout: float = option("share dropped in skipthoughts, in [0, 1); 0 with bigru")
    heads: int = option("attention heads of the fusion; divides embedding")
    ffn_dim: int = option("inner width of the fusion's feed-forward layers")
    dropout: float = option("share dropped in the fusion, in [0, 1)")
    fusion: Literal["midf", "midf_released", "sum"] = option("how both image features become one")
    branches: Literal["both", "global", "local"] = option("which image features are live")

    def architecture(self) -> dict[str, Any]:
        """What of it the model itself is told; weights come from elsewhere."""
        said = {each.name: getattr(self, each.name) for each in fields(ModelOptions)}
        return {key: said[key] for key in said if key not in ("weights", "text_weights")}


@dataclass(frozen=True, kw_only=True)
class TrainOptions(OptionGroup):
    """How long and how hard to train; config section `train`."""

    epochs: int = option("passes over the training images")
    batch: int = option("image-sentence pairs a step")
    sentences_per_epoch: int | None = option("sentences drawn an image and epoch; none takes all")
    group_by_image: bool = option("pairs of one image share a step, which encodes its picture once")
    learning_rate: float = option("Adam's step size")
    lr_decay: float = option("factor on the learning rate every decay-every epochs")
    lr_decay_every: int = option("epochs")
    loss: LossName = option("what is minimised")
    margin: float = option("of hinge and hardest, cosine units in [0, 2]")
    temperature: float = option("of infonce, where learning it starts")
    grad_clip_norm: float | None = option("largest norm of the gradient; none clips nothing")
    max_rotation: float = option("largest random rotation of a training picture, degrees")
    stop_words: bool = option("English stop words are in the vocabulary")
    min_word_count: int = option("how often a word must be seen to be in the vocabulary")
    max_words: int = option("longer sentences are cut, with a warning")
    augment_regions: bool = option("regions are turned and cropped with their picture")
    shared_negatives: bool = option(
        "as released: another sentence of the same image, and an image with the same sentence, are negatives"
    )
    precision: Precision = option("of encoding in a step; all else is in float32")
    compile: bool = option("let torch compile what encodes images")
