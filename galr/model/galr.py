"""GaLR on one page: what the picture shows, what is found in it, and the sentence that speaks of it.

    picture ── ResNet ── MVSA ───────────────┐
                                             ├── MIDF ── v ─┐
    regions ── DREA ── X, A ── GCN ──────────┘              ├── cosine
    sentence ── words ── BiGRU ── mean ── MLP ── t ─────────┘

DREA runs before training (`galr graphs`); everything else is here.
"""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import normalize

from galr.model.gcn import LocalBranch
from galr.model.midf import MIDF
from galr.model.mvsa import GlobalBranch
from galr.model.text import SentenceEncoder


class Graph(NamedTuple):
    """The regions of a batch of images, as DREA leaves them."""

    representation: Tensor  # (B, n, d) float
    adjacency: Tensor  # (B, n, n) float
    mask: Tensor  # (B, n) bool


class GaLR(nn.Module):
    r"""Images and sentences in one space, where cosine is likeness (METHOD 4).

    `branches` says which parts are live: `both`, or the ablations `global` and `local`; a part that is
    not live is not built.

    Args:
        backbone: torchvision's name of a residual network.
        crop: height and width of the pictures in pixels, a multiple of 32.
        regions: n, rows of a graph.
        features: d, numbers a region.
        words: size of the vocabulary, padding included.
        embedding: width of the common space.
        word_size: width of a word's embedding.
        text_size: units of the GRU, each direction.
        heads: attention heads of MIDF; must divide `embedding`.
        feed_forward: inner width of MIDF's feed-forward layers.
        dropout: share dropped in MIDF, in [0, 1).
        branches: `both`, `global` or `local`.
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
        word_size: int,
        text_size: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        branches: str,
    ) -> None:
        super().__init__()
        if branches != "local":
            self.seen = GlobalBranch(backbone, crop, embedding)
        if branches != "global":
            self.found = LocalBranch(regions, features, embedding)
        if branches == "both":
            self.fusion = MIDF(embedding, heads, feed_forward, dropout)
        self.text = SentenceEncoder(words, word_size, text_size, embedding)
        self.branches = branches

    def encode_images(self, pixels: Tensor, graph: Graph) -> Tensor:
        """(B, 3, crop, crop) normalised pixels and their graphs → (B, embedding), unit rows."""
        if self.branches == "global":
            return self.seen(pixels)
        if self.branches == "local":
            return self.found(*graph)
        return normalize(self.fusion(self.seen(pixels), self.found(*graph)))

    def encode_sentences(self, words: Tensor, lengths: Tensor) -> Tensor:
        """(B, L) word numbers and their (B,) lengths → (B, embedding), unit rows."""
        return self.text(words, lengths)

    def forward(self, pixels: Tensor, graph: Graph, words: Tensor, lengths: Tensor) -> Tensor:
        """Cosine of every image with every sentence: (images, sentences) in [-1, 1]."""
        return self.encode_images(pixels, graph) @ self.encode_sentences(words, lengths).T
