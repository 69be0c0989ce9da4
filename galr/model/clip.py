"""The two towers of a CLIP of open_clip: an image encoder, and a sentence encoder that agrees with it (our extension).

Each tower stands alone, and says of an image or a sentence a vector of length 1. Heads bring these into the common
space; with the head `none` the model's similarity is CLIP's own cosine.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from galr.model.clip_config import CONTEXT_LENGTH, check_input_size
from galr.model.heads import ProjectionHead


class ClipImageTower(nn.Module):
    r"""The image encoder of a CLIP.

    Shapes:
        - **pixels:** :math:`(B, 3, S, S)` float, normalised by `pixel_mean` and `pixel_std`
        - **output:** one table :math:`(B, D)` float, rows of length 1

    Args:
        name: of the architecture.
        config: of the architecture, see `galr.model.clip_config.image_tower_config`.
        input_size: S, height and width of the images in pixels.

    Attributes:
        name: as given.
        channels: D alone.
        pixel_mean: (3,) float, mean of each colour in [0, 1] that the weights expect.
        pixel_std: (3,) float, its standard deviation.
        gives_map: False: a vector is all it says.
        map_channels: 0, for the same reason.

    Raises:
        ConfigError: the tower reads images of another size.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, name: str, config: Mapping[str, Any], input_size: int) -> None:
        super().__init__()
        check_input_size(name, dict(config), input_size)
        self.name = name
        self.gives_map = False
        self.map_channels = 0
        self.network = build_image_tower(config)
        self.channels: tuple[int, ...] = (config["embed_dim"],)
        mean, std = pixel_statistics(name)
        self.register_buffer("pixel_mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("pixel_std", torch.tensor(std, dtype=torch.float32))

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Compute CLIP's feature of each image: one table (B, D) float, rows of length 1."""
        return (normalize(self.network(pixels)),)


class ClipFeature(nn.Module):
    r"""One feature of the whole image: CLIP's, and a head.

    Shapes:
        - **pixels:** :math:`(B, 3, S, S)` float, normalised
        - **output:** :math:`(B, embed\_dim)` float, rows of length 1

    Args:
        backbone: name of the architecture.
        config: of the architecture, see `galr.model.clip_config.image_tower_config`.
        input_size: S, height and width of the images in pixels.
        embed_dim: width of the output.
        head: `mlp`, `linear` or `none`, see `build_head`.
        head_dim: inner width of the head `mlp`.
        dropout: fraction dropped in the head, in [0, 1).

    Raises:
        ConfigError: the tower reads images of another size, or the head does not fit.
    """

    def __init__(
        self,
        backbone: str,
        config: Mapping[str, Any],
        input_size: int,
        embed_dim: int,
        *,
        head: str,
        head_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.backbone = ClipImageTower(backbone, config, input_size)
        width = self.backbone.channels[0]
        self.head = build_head(width, embed_dim, head, head_dim, dropout)
        self.scale = width**0.5

    def features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Compute what CLIP says of each image: all that can be computed once where it is frozen.

        Args:
            pixels: (B, 3, S, S) float, normalised by the tower's statistics.

        Returns:
            One table (B, D) float, rows of length 1.
        """
        return self.backbone(pixels)

    def forward(self, feature: Tensor) -> Tensor:
        """Compute the global feature of each image.

        Args:
            feature: (B, D) float, of `features`.

        Returns:
            (B, embed_dim) float, rows of length 1.
        """
        return normalize(self.head(feature * self.scale))


class ClipTextTower(nn.Module):
    r"""The sentence encoder of a CLIP, for sentences in one or several templates.

    The feature of a sentence is the mean of the features of its templates, each of length 1, scaled to length 1, as in
    CLIP's own zero-shot classification (Radford and others 2021, arXiv 2103.00020, section 3.1.4).

    Shapes:
        - **token_ids:** :math:`(B, P \cdot L)` int64, the tokens of P templates, see
          `galr.data.subwords.ClipVocabulary`
        - **lengths:** :math:`(B,)` int64 on the CPU; not read, since CLIP finds a sentence's end by its last token
        - **output:** :math:`(B, width)` float, rows of length 1

    Args:
        config: of the architecture, see `galr.model.clip_config.text_tower_config`.

    Attributes:
        width: of the output.
        num_prompts: P.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.network = build_text_tower(config)
        self.width: int = config["embed_dim"]
        self.num_prompts: int = config["num_prompts"]
        settings = config["text_cfg"]
        self._context_length = settings.get("context_length", CONTEXT_LENGTH)
        # Where tokens read those before them alone, what follows a sentence's end changes nothing.
        causal = not settings.get("no_causal_mask", False)
        self._trimmed = causal and settings.get("pool_type", "argmax") == "argmax"
        self._causal = causal
        if causal:  # the mask is of one length alone, and in no state dict: it is made in each call
            self.network.register_buffer("attn_mask", None, persistent=False)

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Compute CLIP's feature of each sentence.

        Args:
            token_ids: (B, P · L) int64.
            lengths: (B,) int64 on the CPU; not read.

        Returns:
            (B, width) float, rows of length 1.
        """
        ids = token_ids.unflatten(1, (self.num_prompts, -1)).flatten(0, 1)  # (B·P, L)
        if self._trimmed:  # the end of a sentence has the highest id
            ids = ids[:, : int(ids.argmax(dim=1).max()) + 1]
        else:
            ids = pad(ids, (0, self._context_length - ids.shape[1]))
        if self._causal:
            blank = torch.full((ids.shape[1], ids.shape[1]), float("-inf"), device=ids.device)
            self.network.attn_mask = blank.triu_(1)
        features = normalize(self.network(ids))
        if self.num_prompts == 1:
            return features
        return normalize(features.unflatten(0, (-1, self.num_prompts)).mean(dim=1))


class ClipText(nn.Module):
    r"""The sentence encoder of a CLIP, and a head.

    Shapes:
        - **token_ids:** :math:`(B, P \cdot L)` int64, the tokens of P templates
        - **lengths:** :math:`(B,)` int64 on the CPU
        - **output:** :math:`(B, embed\_dim)` float, rows of length 1

    Args:
        config: of the architecture, see `galr.model.clip_config.text_tower_config`.
        embed_dim: width of the output.
        head: `mlp`, `linear` or `none`, see `build_head`.
        head_dim: inner width of the head `mlp`.
        dropout: fraction dropped in the head, in [0, 1).

    Raises:
        ConfigError: the head does not fit.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        embed_dim: int,
        *,
        head: str,
        head_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.network = ClipTextTower(config)
        width = self.network.width
        self.head = build_head(width, embed_dim, head, head_dim, dropout)
        self.scale = width**0.5

    def features(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Compute CLIP's feature of each sentence.

        Args:
            token_ids: (B, P · L) int64.
            lengths: (B,) int64 on the CPU.

        Returns:
            (B, width) float, rows of length 1.
        """
        return self.network(token_ids, lengths)

    def forward(self, features: Tensor) -> Tensor:
        """Embed sentences.

        Args:
            features: (B, width) float, of `features`.

        Returns:
            (B, embed_dim) float, rows of length 1.
        """
        return normalize(self.head(features * self.scale))


def build_head(
    width: int, embed_dim: int, kind: str, hidden_dim: int, dropout: float
) -> ProjectionHead:
    """Build the head of a tower; `linear` of equal widths begins as the identity.

    Training then starts from CLIP's own cosine, and not from two heads that do not agree.

    Args:
        width: of the tower's feature.
        embed_dim: width of the output.
        kind: `mlp`, `linear` or `none`.
        hidden_dim: inner width of `mlp`.
        dropout: fraction dropped in `mlp`, in [0, 1).

    Raises:
        ConfigError: the kind is unknown, or `none` is given for different widths.
    """
    head = ProjectionHead(
        width, embed_dim, kind=kind, hidden_dim=hidden_dim, dropout=dropout, standardise=False
    )
    if isinstance(head.project, nn.Linear) and width == embed_dim:
        nn.init.eye_(head.project.weight)
        nn.init.zeros_(head.project.bias)
    return head


def build_image_tower(config: Mapping[str, Any]) -> nn.Module:
    """Build open_clip's image tower with random weights; its output is (B, embed_dim)."""
    # open_clip builds one tower alone by no public name. Imported here: other encoders do not wait for it.
    from open_clip.model import _build_vision_tower

    vision = dict(config["vision_cfg"]) | {"timm_model_pretrained": False, "output_tokens": False}
    return _build_vision_tower(config["embed_dim"], vision, config.get("quick_gelu", False))


def build_text_tower(config: Mapping[str, Any]) -> nn.Module:
    """Build open_clip's text tower with random weights; its output is (B, embed_dim)."""
    from open_clip.model import _build_text_tower

    text = dict(config["text_cfg"]) | {"output_tokens": False}
    return _build_text_tower(config["embed_dim"], text, config.get("quick_gelu", False))


def pixel_statistics(
    name: str, tag: str | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each colour that weights expect.

    Args:
        name: of the architecture.
        tag: of open_clip's weights; None takes what all weights of the architecture have in common, or else those of
            OpenAI's CLIP.
    """
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    tags = list_pretrained_tags_by_model(name) if tag is None else [tag]
    configs = [get_pretrained_cfg(name, each) for each in tags]
    known = {(tuple(each["mean"]), tuple(each["std"])) for each in configs if "mean" in each}
    if len(known) == 1:
        return known.pop()
    return tuple(OPENAI_DATASET_MEAN), tuple(OPENAI_DATASET_STD)
