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
from galr.model.gcn import LocalBranch
from galr.model.midf import MIDF
from galr.model.mvsa import GlobalBranch
from galr.model.text import sentence_encoder

BRANCHES = ("both", "global", "local")
FUSIONS = ("midf", "midf_released", "sum")


class Graph(NamedTuple):
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
        crop: int,
        regions: int,
        features: int,
        words: int,
        embedding: int,
        text: str,
        word_size: int,
        text_size: int,
        text_dropout: float,
        heads: int,
        feed_forward: int,
        dropout: float,
        fusion: str,
        branches: str,
    ) -> None:
        super().__init__()
        for key, said, known in (("branches", branches, BRANCHES), ("fusion", fusion, FUSIONS)):
            if said not in known:
                raise ConfigError(
                    f"model.{key} '{said}' is unknown; choose from {', '.join(known)}"
                )
        if branches != "local":
            self.seen = GlobalBranch(backbone, crop, embedding)
        if branches != "global":
            self.found = LocalBranch(regions, features, embedding)
        if branches == "both" and fusion != "sum":
            released = fusion == "midf_released"
            self.fusion = MIDF(embedding, heads, feed_forward, dropout, released=released)
        self.text = sentence_encoder(
            text=text,
            words=words,
            word_size=word_size,
            text_size=text_size,
            text_dropout=text_dropout,
            embedding=embedding,
        )
        self.branches = branches
        self.sums = fusion == "sum"

    def encode_images(self, pixels: Tensor, graph: Graph) -> Tensor:
        """(B, 3, crop, crop) normalised pixels and their graphs → (B, embedding), unit rows."""
        if self.branches == "global":
            return self.seen(pixels)
        if self.branches == "local":
            return self.found(*graph)
        seen, found = self.seen(pixels), self.found(*graph)
        return normalize(seen + found if self.sums else self.fusion(seen, found))

    def encode_sentences(self, words: Tensor, lengths: Tensor) -> Tensor:
        """(B, L) word numbers and their (B,) lengths → (B, embedding), unit rows."""
        return self.text(words, lengths)

    def forward(self, pixels: Tensor, graph: Graph, words: Tensor, lengths: Tensor) -> Tensor:
        """Cosine of every image with every sentence: (images, sentences) in [-1, 1]."""
        return self.encode_images(pixels, graph) @ self.encode_sentences(words, lengths).T
