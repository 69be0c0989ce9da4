"""GaLR on one page: a global and a local feature of an image, their fusion, and the embedding of a sentence.

    image ──── ResNet ── MVSA ───────┐
                                     ├── MIDF, or a sum ── v ───┐
    regions ── DREA ── X, A ── GCN ──┘                          ├── cosine
    sentence ── words ── BiGRU, or skip-thoughts ── t ──────────┘

DREA runs before training (`galr graphs`); everything else is here.
An ablation leaves out one of the two upper rows; other networks can replace the ResNet.
Source: Yuan and others, IEEE TGRS 2022 (arXiv 2204.09860); `docs/how/figure.md`.
"""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import normalize

from galr.errors import ConfigError
from galr.model.fusion import MIDF
from galr.model.image import MVSA
from galr.model.regions import RegionGCN
from galr.model.text import build_text_encoder

BRANCHES = ("both", "global", "local")
FUSIONS = ("midf", "midf_released_bug", "sum")


class GraphBatch(NamedTuple):
    """DREA's graphs of a batch of images."""

    representation: Tensor  # (B, n, d) float
    adjacency: Tensor  # (B, n, n) float
    mask: Tensor  # (B, n) bool, False where a row is padding


class GaLR(nn.Module):
    """Embed images and sentences in one space, in which cosine is similarity.

    A part that an ablation does not use is not built.

    Args:
        backbone: torchvision's name of a network, see `galr.model.image.Backbone`.
        input_size: height and width of the images in pixels, a multiple of 32.
        max_regions: n, rows of a graph.
        node_dim: d, features of a region.
        vocab_size: size of the vocabulary, padding included.
        embed_dim: width of the common space.
        text_encoder: `bigru`, the paper's sentence encoder, or `skipthoughts`, the released code's.
        word_dim: width of a word's embedding.
        gru_hidden: units of the GRU, each direction.
        text_dropout: fraction dropped in `skipthoughts`, in [0, 1); 0 with `bigru`.
        heads: attention heads of MIDF; must divide `embed_dim`.
        ffn_dim: inner width of MIDF's feed-forward layers.
        dropout: fraction dropped in MIDF, in [0, 1).
        fusion: how `both` branches become one: `midf`, the paper's; `midf_released_bug`, with the released
            code's defect; `sum`, the sum, without parameters.
        branches: `both`, or the ablations `global` and `local`.

    Raises:
        ConfigError: a name is unknown, or a size does not fit.
    """

    def __init__(
        self,
        *,
        backbone: str,
        input_size: int,
        max_regions: int,
        node_dim: int,
        vocab_size: int,
        embed_dim: int,
        text_encoder: str,
        word_dim: int,
        gru_hidden: int,
        text_dropout: float,
        heads: int,
        ffn_dim: int,
        dropout: float,
        fusion: str,
        branches: str,
    ) -> None:
        super().__init__()
        for key, value, choices in (("branches", branches, BRANCHES), ("fusion", fusion, FUSIONS)):
            if value not in choices:
                raise ConfigError(
                    f"model.{key} '{value}' is unknown; choose from {', '.join(choices)}"
                )
        if branches != "local":
            self.global_branch = MVSA(backbone, input_size, embed_dim)
        if branches != "global":
            self.local_branch = RegionGCN(max_regions, node_dim, embed_dim)
        if branches == "both" and fusion != "sum":
            released_bug = fusion == "midf_released_bug"
            self.fusion = MIDF(embed_dim, heads, ffn_dim, dropout, released_bug=released_bug)
        self.text_encoder = build_text_encoder(
            text_encoder=text_encoder,
            vocab_size=vocab_size,
            word_dim=word_dim,
            gru_hidden=gru_hidden,
            text_dropout=text_dropout,
            embed_dim=embed_dim,
        )
        self.branches = branches
        self.sum_fusion = fusion == "sum"

    def encode_images(self, pixels: Tensor, graph: GraphBatch) -> Tensor:
        """Embed images.

        Args:
            pixels: (B, 3, input_size, input_size) float, normalised; not read by the ablation `local`.
            graph: the graphs of the same images; not read by the ablation `global`.

        Returns:
            (B, embed_dim) float, rows of length 1.
        """
        if self.branches == "global":
            return self.global_branch(pixels)
        if self.branches == "local":
            return self.local_branch(*graph)
        global_feature, local_feature = self.global_branch(pixels), self.local_branch(*graph)
        if self.sum_fusion:
            return normalize(global_feature + local_feature)
        return normalize(self.fusion(global_feature, local_feature))

    def encode_sentences(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Embed sentences.

        Args:
            token_ids: (B, L) int64, 0 where padding.
            lengths: (B,) int64 on the CPU, each at least 1.

        Returns:
            (B, embed_dim) float, rows of length 1.
        """
        return self.text_encoder(token_ids, lengths)

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


def count_parameters(model: nn.Module) -> int:
    """Count the numbers that training changes."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
