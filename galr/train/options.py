"""What is built and how it is trained: the config's sections `model` and `train` as values."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from galr.settings import Settings, setting
from galr.train.distributed import Precision
from galr.train.loss import LossName


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Settings):
    """What is built; config section `model`."""

    backbone: str = setting("torchvision's name of a network in stages, for example resnet18")
    weights: str = setting("imagenet, none, or a file with a state dict of the backbone")
    input_size: int = setting("height and width the model sees, pixels; a multiple of 32")
    embed_dim: int = setting("width of the common space")
    text_encoder: Literal["bigru", "skipthoughts"] = setting("sentence encoder")
    text_weights: str = setting("none, or a folder with the weights of skip-thoughts")
    word_dim: int = setting("width of a word's embedding")
    gru_hidden: int = setting("units of the GRU, each direction it has")
    text_dropout: float = setting("share dropped in skipthoughts, in [0, 1); 0 with bigru")
    heads: int = setting("attention heads of the fusion; divides embedding")
    ffn_dim: int = setting("inner width of the fusion's feed-forward layers")
    dropout: float = setting("share dropped in the fusion, in [0, 1)")
    fusion: Literal["midf", "midf_released", "sum"] = setting("how both image features become one")
    branches: Literal["both", "global", "local"] = setting("which image features are live")

    def architecture(self) -> dict[str, Any]:
        """What of it the model itself is told; weights come from elsewhere."""
        said = {each.name: getattr(self, each.name) for each in fields(ModelOptions)}
        return {key: said[key] for key in said if key not in ("weights", "text_weights")}


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Settings):
    """How long and how hard to train; config section `train`."""

    epochs: int = setting("passes over the training images")
    batch: int = setting("image-sentence pairs a step")
    sentences_per_epoch: int | None = setting("sentences drawn an image and epoch; none takes all")
    group_by_image: bool = setting(
        "pairs of one image share a step, which encodes its picture once"
    )
    learning_rate: float = setting("Adam's step size")
    lr_decay: float = setting("factor on the learning rate every decay-every epochs")
    lr_decay_every: int = setting("epochs")
    loss: LossName = setting("what is minimised")
    margin: float = setting("of hinge and hardest, cosine units in [0, 2]")
    temperature: float = setting("of infonce, where learning it starts")
    grad_clip_norm: float | None = setting("largest norm of the gradient; none clips nothing")
    max_rotation: float = setting("largest random rotation of a training picture, degrees")
    stop_words: bool = setting("English stop words are in the vocabulary")
    min_word_count: int = setting("how often a word must be seen to be in the vocabulary")
    max_words: int = setting("longer sentences are cut, with a warning")
    augment_regions: bool = setting("regions are turned and cropped with their picture")
    shared_negatives: bool = setting(
        "as released: another sentence of the same image, and an image with the same sentence, are negatives"
    )
    precision: Precision = setting("of encoding in a step; all else is in float32")
    compile: bool = setting("let torch compile what encodes images")
