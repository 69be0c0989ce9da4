"""GaLR on one page: a global and a local feature of an image, their fusion, and the embedding of a sentence.

    image ──── ResNet ── MVSA ───────┐
                                     ├── MIDF, or a sum ── v ───┐
    regions ── DREA ── X, A ── GCN ──┘                          ├── cosine
    sentence ── words ── BiGRU, or skip-thoughts ── t ──────────┘

DREA runs before training (`galr graphs`); everything else is here.
An ablation leaves out one of the two upper rows. Other networks can replace the ResNet, MVSA and the sentence encoder;
where they are frozen, what they say of an image and of a sentence is computed once (`galr features`).
Source: Yuan and others, IEEE TGRS 2022 (arXiv 2204.09860); `docs/how/figure.md`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from galr.errors import ConfigError
from galr.model.clip import ClipFeature
from galr.model.fusion import MIDF, GatedMIDF
from galr.model.image import MVSA, Backbone, PooledFeature, early_layers
from galr.model.regions import RegionAppearance, RegionGCN, RegionSequences
from galr.model.text import build_text_encoder

BRANCHES = ("both", "global", "local")
FUSIONS = ("midf", "midf_released_bug", "midf_gated", "sum")
GLOBAL_FEATURES = ("mvsa", "pooled", "clip")
APPEARANCES = ("none", "roi")
ATTENTIONS = ("length1", "regions")
FREEZABLE = ("image", "text", "norms")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

ImageFeatures = tuple[Tensor, ...]  # of a batch of images, what `GaLR.image_features` returns


class GraphBatch(NamedTuple):
    """DREA's graphs of a batch of images."""

    representation: Tensor  # (B, n, d) float
    adjacency: Tensor  # (B, n, n) float
    mask: Tensor  # (B, n) bool, False where a row is padding


class PixelStatistics(NamedTuple):
    """What the weights of the image encoder expect the pixels to be normalised by."""

    mean: Tensor  # (3,) float, of each colour in [0, 1]
    std: Tensor  # (3,) float


class GaLR(nn.Module):
    """Embed images and sentences in one space, in which cosine is similarity.

    A part that an ablation does not use is not built.

    Args:
        backbone: timm's name of a network, see `galr.model.image.Backbone`; or open_clip's name of an architecture.
        input_size: height and width of the images in pixels; with `mvsa` a multiple of 32.
        views: number of fixed views of an image, whose embeddings are averaged (`galr.train.views`); at least 1.
        global_feature: `mvsa`, the paper's; `pooled`, the last map's average and maximum; `clip`, that of a CLIP.
        max_regions: n, rows of a graph.
        node_dim: d, features of a region.
        vocab_size: size of the vocabulary, padding included.
        embed_dim: width of the common space.
        head: of pretrained encoders, see `galr.model.heads.ProjectionHead`.
        head_dim: inner width of the head `mlp`.
        head_dropout: fraction dropped in the head, in [0, 1).
        text_encoder: `bigru`, the paper's sentence encoder; `skipthoughts`, the released code's; `transformer`; `clip`.
        text_config: configuration of the transformer, or of CLIP's text tower; None for the others.
        word_dim: width of a word's embedding.
        gru_hidden: units of the GRU, each direction.
        text_dropout: fraction dropped in `skipthoughts`, in [0, 1); 0 with the others.
        heads: attention heads of MIDF; must divide `embed_dim`.
        ffn_dim: inner width of MIDF's feed-forward layers.
        dropout: fraction dropped in MIDF, in [0, 1).
        fusion: how `both` branches become one: `midf`, the paper's; `midf_released_bug`, with the released
            code's defect; `midf_gated`, which begins as the global feature; `sum`, the sum, without parameters.
        branches: `both`, or the ablations `global` and `local`.
        appearance: `roi` puts each region's look before the features of its row, see `RegionAppearance`; `none`, the
            paper's, does not.
        attention: what MIDF attends to: `length1`, as released, nothing but the two features; `regions`, the cells of
            the last map and the regions, see `RegionSequences`.
        freeze: `image`, `text` or both: the pretrained encoders that are not trained. What they say of an image or
            a sentence is rounded to half precision, as it is stored. `norms`: the statistics of the image encoder's
            batch normalisation stay as they are.
        freeze_until: the layers up to the map of 1/`freeze_until` of the image are not trained; None trains all.
        image_config: with `clip`, configuration of its image tower; None for the others.

    Raises:
        ConfigError: a name is unknown, or a size does not fit.
    """

    def __init__(
        self,
        *,
        backbone: str,
        input_size: int,
        views: int,
        global_feature: str,
        max_regions: int,
        node_dim: int,
        vocab_size: int,
        embed_dim: int,
        head: str,
        head_dim: int,
        head_dropout: float,
        text_encoder: str,
        text_config: dict[str, Any] | None,
        word_dim: int,
        gru_hidden: int,
        text_dropout: float,
        heads: int,
        ffn_dim: int,
        dropout: float,
        fusion: str,
        branches: str,
        freeze: Sequence[str],
        freeze_until: int | None = None,
        appearance: str = "none",
        attention: str = "length1",
        image_config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        for key, value, choices in (
            ("branches", branches, BRANCHES),
            ("fusion", fusion, FUSIONS),
            ("global_feature", global_feature, GLOBAL_FEATURES),
            ("appearance", appearance, APPEARANCES),
            ("attention", attention, ATTENTIONS),
        ):
            if value not in choices:
                raise ConfigError(
                    f"model.{key} '{value}' is unknown; choose from {', '.join(choices)}"
                )
        midf = branches == "both" and fusion != "sum"
        has_look = branches != "global" and appearance == "roi"
        has_sequences = midf and attention == "regions"
        if has_look and branches == "local":
            raise ConfigError(
                "model.appearance roi reads the backbone's map, and the model of model.branches local has no backbone;"
                " set appearance: none for it"
            )
        if branches != "local" and global_feature == "mvsa":
            self.global_branch: MVSA | PooledFeature | ClipFeature = MVSA(
                backbone, input_size, embed_dim
            )
        elif branches != "local" and global_feature == "clip":
            if has_look or has_sequences:
                raise ConfigError(
                    "model.global_feature clip gives no map of the image; set appearance: none and attention: length1"
                )
            self.global_branch = ClipFeature(
                backbone,
                image_config or {},
                input_size,
                embed_dim,
                head=head,
                head_dim=head_dim,
                dropout=head_dropout,
            )
        elif branches != "local":
            self.global_branch = PooledFeature(
                backbone,
                embed_dim,
                head=head,
                head_dim=head_dim,
                dropout=head_dropout,
                last_map=has_look or has_sequences,
            )
        if has_look:
            node_dim += RegionAppearance.DIM
        if branches != "global":
            self.local_branch = RegionGCN(max_regions, node_dim, embed_dim)
        if midf and fusion == "midf_gated":
            self.fusion: nn.Module = GatedMIDF(embed_dim, heads, ffn_dim, dropout)
        elif midf:
            released_bug = fusion == "midf_released_bug"
            self.fusion = MIDF(embed_dim, heads, ffn_dim, dropout, released_bug=released_bug)
        self.text_encoder = build_text_encoder(
            text_encoder=text_encoder,
            text_config=text_config,
            vocab_size=vocab_size,
            word_dim=word_dim,
            gru_hidden=gru_hidden,
            text_dropout=text_dropout,
            embed_dim=embed_dim,
            head=head,
            head_dim=head_dim,
            head_dropout=head_dropout,
        )
        # Built last: all else begins with the same weights as without them.
        self.appearance: RegionAppearance | None = None
        self.sequences: RegionSequences | None = None
        if has_look:
            self.appearance = RegionAppearance(self.global_branch.backbone.map_channels)
        if has_sequences:
            channels = self.global_branch.backbone.map_channels
            self.sequences = RegionSequences(channels, node_dim, embed_dim)
        self.branches = branches
        self.views = views
        self.sum_fusion = fusion == "sum"
        self.freeze = frozenset(freeze)
        self.freeze_until = freeze_until
        for module in self._frozen_modules():
            module.requires_grad_(False)

    @property
    def pixel_statistics(self) -> PixelStatistics:
        """Mean and deviation that images are normalised by; ImageNet's where no image is read."""
        if self.branches == "local":
            return PixelStatistics(torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD))
        backbone = self.global_branch.backbone
        return PixelStatistics(backbone.pixel_mean, backbone.pixel_std)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """The parameters of the pretrained encoders that are trained; all others are the heads'."""
        encoders: list[nn.Module] = []
        if self.branches != "local":
            encoders.append(self.global_branch.backbone)
        encoders += pretrained_text(self.text_encoder)
        return [weight for each in encoders for weight in each.parameters() if weight.requires_grad]

    def train(self, mode: bool = True) -> Self:
        """Set training mode; what is frozen stays in evaluation mode, its statistics included."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        if "norms" in self.freeze and self.branches != "local":
            for module in self.global_branch.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def image_features(self, pixels: Tensor) -> ImageFeatures:
        """Compute what the image encoder says of images: all that a frozen one needs to compute once.

        Args:
            pixels: (B, 3, input_size, input_size) float, normalised by `pixel_statistics`; not read by the
                ablation `local`.

        Returns:
            Tensors of B rows, float: MVSA's four maps, or one table, after it the last map where `appearance` or
            `attention` reads it; none for the ablation `local`.
        """
        if self.branches == "local":
            return ()
        if "image" not in self.freeze:
            return self.global_branch.features(pixels)
        with torch.no_grad():
            return tuple(_as_stored(table) for table in self.global_branch.features(pixels))

    def sentence_features(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Compute what the sentence encoder says of sentences: all that a frozen one needs to compute once.

        Args:
            token_ids: (B, L) int64, 0 where padding.
            lengths: (B,) int64 on the CPU, each at least 1.

        Returns:
            (B, width) float.
        """
        if "text" not in self.freeze:
            return self.text_encoder.features(token_ids, lengths)
        with torch.no_grad():
            return _as_stored(self.text_encoder.features(token_ids, lengths))

    def embed_images(self, features: ImageFeatures, graph: GraphBatch) -> Tensor:
        """Embed images.

        Args:
            features: of `image_features`.
            graph: the graphs of the same images; not read by the ablation `global`.

        Returns:
            (B, embed_dim) float, rows of length 1.
        """
        if self.branches == "global":
            return self.global_branch(*features)
        if self.branches == "local":
            return self.local_branch(*graph)
        if self.appearance is not None:
            rows = self.appearance(features[-1], graph.representation, graph.mask)
            graph = graph._replace(representation=rows)
        global_feature = self.global_branch(*features)
        if self.sequences is not None:
            nodes = self.local_branch.nodes(*graph)
            sequences = self.sequences(features[-1], nodes, graph.mask)
            local_feature = self.local_branch.read_out(nodes)
            return normalize(self.fusion(global_feature, local_feature, sequences))
        local_feature = self.local_branch(*graph)
        if self.sum_fusion:
            return normalize(global_feature + local_feature)
        return normalize(self.fusion(global_feature, local_feature))

    def embed_sentences(self, features: Tensor) -> Tensor:
        """Embed sentences.

        Args:
            features: (B, width) float, of `sentence_features`.

        Returns:
            (B, embed_dim) float, rows of length 1.
        """
        return self.text_encoder(features)

    def encode_images(self, pixels: Tensor, graph: GraphBatch) -> Tensor:
        """Embed images.

        Args:
            pixels: (B, 3, input_size, input_size) float, normalised; not read by the ablation `local`.
            graph: the graphs of the same images; not read by the ablation `global`.

        Returns:
            (B, embed_dim) float, rows of length 1.
        """
        return self.embed_images(self.image_features(pixels), graph)

    def encode_sentences(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Embed sentences.

        Args:
            token_ids: (B, L) int64, 0 where padding.
            lengths: (B,) int64 on the CPU, each at least 1.

        Returns:
            (B, embed_dim) float, rows of length 1.
        """
        return self.embed_sentences(self.sentence_features(token_ids, lengths))

    def forward(
        self, pixels: Tensor, graph: GraphBatch, token_ids: Tensor, lengths: Tensor
    ) -> Tensor:
        """Compute the cosine of every image with every sentence.

        Args:
            pixels: (images, 3, input_size, input_size) float, normalised.
            graph: the graphs of the same images.
            token_ids: (sentences, L) int64, 0 where padding.
            lengths: (sentences,) int64 on the CPU, each at least 1.

        Returns:
            (images, sentences) float in [-1, 1].
        """
        return self.encode_images(pixels, graph) @ self.encode_sentences(token_ids, lengths).T

    def _frozen_modules(self) -> list[nn.Module]:
        """The pretrained encoders that are not trained."""
        frozen: list[nn.Module] = []
        if "image" in self.freeze and self.branches != "local":
            frozen.append(self.global_branch.backbone)
        elif (
            self.freeze_until is not None
            and self.branches != "local"
            and isinstance(self.global_branch.backbone, Backbone)
        ):
            frozen += early_layers(self.global_branch.backbone, self.freeze_until)
        if "text" in self.freeze:
            frozen += pretrained_text(self.text_encoder)
        return frozen


def pretrained_text(encoder: nn.Module) -> list[nn.Module]:
    """The parts of a sentence encoder that come with pretrained weights."""
    names = ("network",) if hasattr(encoder, "network") else ()
    return [getattr(encoder, name) for name in names]


def _as_stored(table: Tensor) -> Tensor:
    """Round to half precision, as a frozen encoder's features are stored."""
    return table.half().float()


def count_parameters(model: nn.Module) -> int:
    """Count the numbers that training changes."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
