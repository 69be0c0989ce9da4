"""The config sections `model` and `train` as values; importing them does not import torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from galr.errors import ConfigError
from galr.features.options import MAX_VIEWS, ImageEncoderOptions, TextEncoderOptions
from galr.model.clip_config import (
    PLAIN_PROMPT,
    check_input_size,
    check_max_words,
    check_prompts,
    check_text_tower,
    check_weights,
    read_clip_config,
)
from galr.model.encoder_sources import check_image_encoder, check_transformer
from galr.options import OptionGroup, option

LossName = Literal["triplet_sum", "triplet_hardest", "infonce"]
OptimizerName = Literal["adam", "adamw"]
ScheduleName = Literal["step", "cosine"]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class ModelOptions(ImageEncoderOptions, TextEncoderOptions):
    """What the model is built from; config section `model`."""

    embed_dim: int = option("width of the common embedding space")
    head: Literal["mlp", "linear", "none"] = option(
        "from a pretrained encoder's feature to the common space", default="mlp"
    )
    head_dim: int = option("inner width of the head mlp", default=1024)
    head_dropout: float = option("dropout of the head mlp, in [0, 1)", default=0.3)
    word_dim: int = option("width of a word's embedding")
    word_vectors: str = option(
        "what the words of bigru start from: none, package, or a file of GloVe or word2vec",
        default="none",
    )
    gru_hidden: int = option("units of the GRU in each of its directions")
    text_dropout: float = option("dropout of skipthoughts, in [0, 1); 0 with the others")
    heads: int = option("attention heads of the fusion; a divisor of embed_dim")
    ffn_dim: int = option("inner width of the fusion's feed-forward layers")
    dropout: float = option("dropout of the fusion, in [0, 1)")
    fusion: Literal["midf", "midf_released_bug", "midf_gated", "sum"] = option(
        "how global and local image feature are fused"
    )
    branches: Literal["both", "global", "local"] = option("which image features are used")
    appearance: Literal["none", "roi"] = option(
        "whether a region's row has its look, by RoIAlign over the last map", default="none"
    )
    attention: Literal["length1", "regions"] = option(
        "what the fusion attends to: the two features alone, as released, or regions and cells of the last map",
        default="length1",
    )

    def architecture(self) -> dict[str, Any]:
        """The arguments of the model itself, by name; initial weights are loaded separately."""
        names = [field.name for field in fields(ModelOptions)]
        apart = ("weights", "text_weights", "prompts", "word_vectors")
        return {name: getattr(self, name) for name in names if name not in apart}


@dataclass(frozen=True, kw_only=True)
class TrainOptions(OptionGroup):
    """How the model is trained; config section `train`."""

    epochs: int = option("passes over the training images; 0 trains nothing")
    batch: int = option("image-sentence pairs a step")
    sentences_per_epoch: int | None = option("sentences sampled an image and epoch; none takes all")
    group_by_image: bool = option("put all pairs of an image into one step, which encodes it once")
    optimizer: OptimizerName = option("adam, or adamw with its weight decay", default="adam")
    weight_decay: float = option(
        "of adamw; biases, norms and the temperature do not decay", default=0.0
    )
    learning_rate: float = option("step size of the optimizer")
    encoder_learning_rate: float | None = option(
        "step size for pretrained encoders; none takes learning-rate", default=None
    )
    schedule: ScheduleName = option(
        "of the learning rate: by lr-decay, or half a cosine to 0", default="step"
    )
    warmup: float = option(
        "fraction of all steps, in [0, 1), in which the learning rate rises from 0", default=0.0
    )
    lr_decay: float = option("factor on the learning rate every lr-decay-every epochs")
    lr_decay_every: int = option("epochs between two decays of the learning rate")
    average: float = option(
        "decay, in [0, 1), of the average of the weights that is validated and kept; 0 is off",
        default=0.0,
    )
    loss: LossName = option("loss to minimize")
    soft_targets: bool = option(
        "with infonce: all sentences of an image, and equal ones, share its target", default=False
    )
    margin: float = option("margin of the triplet losses, cosine units in [0, 2]")
    temperature: float = option("initial temperature of infonce")
    grad_clip_norm: float | None = option("largest norm of the gradient; none clips nothing")
    freeze: tuple[Literal["image", "text", "norms"], ...] = option(
        "pretrained encoders that are not trained; norms: statistics of the image encoder's batch normalisation",
        default=(),
    )
    freeze_until: int | None = option(
        "layers up to the map of 1/N of the image are not trained; none trains all", default=None
    )
    augment: Literal["rotate", "turns"] = option(
        "of training images: any rotation and a crop of one size, as released; or quarter turns, mirroring and"
        " crops of any size",
        default="rotate",
    )
    min_crop: float = option("with turns: smallest side of a crop, of the image's", default=0.7)
    max_rotation: float = option(
        "with rotate: largest random rotation of a training image, degrees"
    )
    stop_words: bool = option("keep English stop words in the vocabulary")
    min_word_count: int = option("how often a word must occur to be in the vocabulary")
    max_words: int = option("longer sentences are cut, with a warning")
    augment_regions: bool = option("rotate and crop the regions together with their image")
    shared_negatives: bool = option(
        "as released: another sentence of the same image, and an image with the same sentence, are negatives"
    )
    precision: Precision = option("of the encoders in a step; all else is float32")
    compile: bool = option("compile the image encoder with torch.compile")

    def check(self) -> None:
        """Check values against their ranges and each other.

        Raises:
            ConfigError: values contradict each other or have no meaning.
        """
        if self.batch < 2:
            raise ConfigError(
                f"train.batch must be at least 2, a pair and a negative, got {self.batch}"
            )
        if self.epochs < 0:
            raise ConfigError(f"train.epochs must be at least 0, got {self.epochs}")
        for key in ("warmup", "average"):
            if not 0 <= (value := getattr(self, key)) < 1:
                raise ConfigError(f"train.{key} must be in [0, 1), got {value}")
        for key in ("learning_rate", "encoder_learning_rate"):
            if (value := getattr(self, key)) is not None and not value > 0:
                raise ConfigError(f"train.{key} must be over 0, got {value}")
        if not 0 < self.min_crop <= 1:
            raise ConfigError(f"train.min_crop must be in (0, 1], got {self.min_crop}")
        if not self.weight_decay >= 0:
            raise ConfigError(f"train.weight_decay must be at least 0, got {self.weight_decay}")
        if self.weight_decay and self.optimizer != "adamw":
            raise ConfigError(
                f"train.weight_decay is {self.weight_decay} and train.optimizer {self.optimizer};"
                " set optimizer: adamw, or weight_decay: 0"
            )
        if self.soft_targets and self.loss != "infonce":
            raise ConfigError(
                f"train.soft_targets is true and train.loss {self.loss}, which has no targets;"
                " set loss: infonce, or soft_targets: false"
            )


@dataclass(frozen=True, kw_only=True)
class VariantOptions(ModelOptions, TrainOptions):
    """The config sections `model` and `train` of a variant.

    Raises:
        ConfigError: values contradict each other or have no meaning.
    """

    def __post_init__(self) -> None:
        """Check values against each other."""
        if self.embed_dim % self.heads:
            raise ConfigError(
                f"model.heads must divide model.embed_dim, got {self.heads} and {self.embed_dim}"
            )
        for key in ("dropout", "head_dropout"):
            if not 0 <= (value := getattr(self, key)) < 1:
                raise ConfigError(f"model.{key} must be in [0, 1), got {value}")
        if not 1 <= self.views <= MAX_VIEWS:
            raise ConfigError(f"model.views must be from 1 to {MAX_VIEWS}, got {self.views}")
        reads_maps = self.global_feature == "mvsa" and self.branches != "local"
        if reads_maps and self.input_size % 32:
            raise ConfigError(f"model.input_size must be a multiple of 32, got {self.input_size}")
        if self.word_vectors != "none" and self.text_encoder != "bigru":
            raise ConfigError(
                f"model.word_vectors are for model.text_encoder bigru, and it is {self.text_encoder}; set"
                " word_vectors: none"
            )
        self._check_appearance()
        self._check_clip()
        self._check_freeze()
        self.check()

    def _check_appearance(self) -> None:
        """Check that the look of regions can be read at their boxes.

        Raises:
            ConfigError: there is no map, or the boxes do not follow their image.
        """
        if self.appearance == "none" or self.branches == "global":
            return
        if self.branches == "local":
            raise ConfigError(
                "model.appearance roi reads the backbone's map, and the model of model.branches local has no backbone;"
                " set appearance: none for this variant"
            )
        if not self.augment_regions:
            raise ConfigError(
                "model.appearance roi reads the map at each region's box, and train.augment_regions false leaves boxes"
                " where they were before the image was rotated and cropped; set augment_regions: true"
            )

    def _check_clip(self) -> None:
        """Check that a CLIP exists and reads what it is given.

        Raises:
            ConfigError: it does not, or an option is of other encoders.
            ExtraError: open_clip is not installed.
        """
        both = self.global_feature == "clip" and self.text_encoder == "clip"
        if self.text_encoder != "clip" and self.prompts != (PLAIN_PROMPT,):
            raise ConfigError(
                f"model.prompts are for model.text_encoder clip, and it is {self.text_encoder}; set prompts:"
                f' ["{PLAIN_PROMPT}"]'
            )
        if self.text_encoder == "clip" and not both:
            raise ConfigError(
                f"model.text_encoder is clip and model.global_feature {self.global_feature}; both towers are of the"
                " architecture of model.backbone: set global_feature: clip, or another text_encoder"
            )
        if self.global_feature != "clip":
            return
        config = read_clip_config(self.backbone)
        check_weights(self.backbone, self.weights)
        if self.branches != "local":
            check_input_size(self.backbone, config, self.input_size)
        if self.freeze_until is not None:
            raise ConfigError(
                "train.freeze_until counts maps of the image, and a CLIP has none; set freeze_until: null, or freeze image"
            )
        if self.appearance != "none" or (self.attention != "length1" and self.branches == "both"):
            raise ConfigError(
                "model.global_feature clip gives no map of the image; set appearance: none and attention: length1"
            )
        if both:
            check_text_tower(self.backbone, config)
            check_max_words(self.backbone, config, self.max_words)
            check_prompts(self.prompts)
            if self.text_weights != "none":
                raise ConfigError(
                    f"model.text_weights is {self.text_weights}, and a CLIP has the weights of both towers in"
                    " model.weights; set text_weights: none"
                )
        if self.head == "none" and self.embed_dim != config["embed_dim"]:
            raise ConfigError(
                f"model.head none keeps the {config['embed_dim']} numbers of {self.backbone}, and model.embed_dim is"
                f" {self.embed_dim}; set embed_dim to {config['embed_dim']}, or head to linear or mlp"
            )

    def _check_freeze(self) -> None:
        """Check that what is frozen has pretrained weights.

        Raises:
            ConfigError: it has none.
        """
        # A variant without a global branch has no image encoder, so the key means nothing to it.
        if "image" in self.freeze and self.weights == "none" and self.branches != "local":
            raise ConfigError(
                "train.freeze has image, and the model has no pretrained image encoder (model.weights none); set"
                " model.weights, or leave image out"
            )
        if "text" in self.freeze and self.text_encoder not in ("transformer", "clip"):
            raise ConfigError(
                f"train.freeze has text, and model.text_encoder {self.text_encoder} is trained from the beginning;"
                " set text_encoder: transformer or clip, or leave text out"
            )
        if "text" in self.freeze and self.text_encoder == "clip" and self.weights == "none":
            raise ConfigError(
                "train.freeze has text, and model.weights is none; set model.weights to those of the CLIP, or leave text"
                " out"
            )
        if self.text_encoder == "transformer" and self.text_weights == "none":
            raise ConfigError(
                "model.text_encoder transformer needs model.text_weights: package, a folder, or a name on the hub"
            )

    def check_encoders(self) -> None:
        """Check that pretrained encoders exist, as far as that is known without building them.

        Raises:
            ConfigError: one does not exist, or a file or folder of the user's is missing.
            ExtraError: the package with the weights is not installed.
        """
        if self.branches != "local" and self.global_feature != "clip":
            check_image_encoder(self.backbone, self.weights)
        if self.text_encoder == "transformer":
            check_transformer(self.text_weights)

    def config(self) -> dict[str, Any]:
        """Both sections, by key."""
        names = {field.name for field in fields(VariantOptions)}
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if key in names
        }


def check_variants(variants: Mapping[str, Mapping[str, Any]]) -> None:
    """Check the options of every variant before any job starts.

    Args:
        variants: the sections `model` and `train` of each variant, checked against the schema.

    Raises:
        ConfigError: the first variant whose values contradict each other, or whose encoders do not exist.
        ExtraError: a package with weights is not installed.
    """
    for name, sections in variants.items():
        try:
            options = VariantOptions(
                **_with_tuples(sections["model"]), **_with_tuples(sections["train"])
            )
            options.check_encoders()
        except ConfigError as error:
            raise ConfigError(f"variant {name}: {error}") from error


def _with_tuples(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section with its lists as tuples, as options have them."""
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in section.items()
    }
