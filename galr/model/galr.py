"""GaLR on one page: what the picture shows, what is found in it, and the sentence that speaks of it.

    picture ── ResNet ── MVSA ───────┐
                                     ├── MIDF, or a sum ── v ───┐
    regions ── DREA ── X, A ── GCN ──┘                          ├── cosine
    sentence ── words ── BiGRU, or skip-thoughts ── t ──────────┘

DREA runs before training (`galr graphs`); everything else is here.
An ablation leaves out one of the two upper rows; other networks may stand in for the ResNet.
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
FUSIONS = ("midf", "midf_released", "sum")


class GraphBatch(NamedTuple):
    """The regions of a batch of images, as DREA leaves them."""

    representation: Tensor  # (B, n, d) float
    adjacency: Tensor  # (B, n, n) float
    mask: Tensor  # (B, n) bool


class GaLR(nn.Module):
    r"""Images and sentences in one space, where cosine is likeness (METHOD 4).

    A part that is not live is not built.

    Args:
        backbone: torchvision's name of a network, see `Pyramid`.
        crop: height and width of the pictures in pixels, a multiple of 32.
        regions: n, rows of a graph.
        features: d, numbers a region.
        words: size of the vocabulary, padding included.
        embedding: width of the common space.
        text: `bigru`, the paper's sentence encoder, or `skipthoughts`, the released code's.
        word_size: width of a word's embedding.
        text_size: units of the GRU, each direction.
        text_dropout: share dropped in `skipthoughts`, in [0, 1); 0 with `bigru`.
        heads: attention heads of MIDF; must divide `embedding`.
        feed_forward: inner width of MIDF's feed-forward layers.
        dropout: share dropped in MIDF, in [0, 1).
        fusion: how `both` branches become one: `midf`, the paper's; `midf_released`, with the released
            code's defect; `sum`, added, without a parameter.
        branches: `both`, or the ablations `global` and `local`.

    Raises:
        ConfigError: a name is none of these.
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
            released_bug = fusion == "midf_released"
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
        """(B, 3, crop, crop) normalised pixels and their graphs → (B, embedding), unit rows."""
        if self.branches == "global":
            return self.global_branch(pixels)
        if self.branches == "local":
            return self.local_branch(*graph)
        global_feature, local_feature = self.global_branch(pixels), self.local_branch(*graph)
        return normalize(
            global_feature + local_feature
            if self.sum_fusion
            else self.fusion(global_feature, local_feature)
        )

    def encode_sentences(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """(B, L) word numbers and their (B,) lengths → (B, embedding), unit rows."""
        return self.text_encoder(token_ids, lengths)

    def forward(
        self, pixels: Tensor, graph: GraphBatch, token_ids: Tensor, lengths: Tensor
    ) -> Tensor:
        """Cosine of every image with every sentence: (images, sentences) in [-1, 1]."""
        return self.encode_images(pixels, graph) @ self.encode_sentences(token_ids, lengths).T
