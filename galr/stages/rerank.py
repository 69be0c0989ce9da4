"""Rerank anybody's similarity matrix (multivariate rerank, MR).

IN   S.npy          images by sentences, any real numbers, larger is more alike; or a similarity.h5
OUT  R.npy          float64, shape and orientation of S

A query's k best candidates are scored anew; all others get finite scores below theirs and keep
their order. `np.argsort(-R, axis=1, kind="stable")` is the new order of every image's sentences
(for t2i: of every sentence's images, with axis=0).

  galr rerank --similarity S.npy --direction i2t --variant paper --output R.npy
"""

from dataclasses import dataclass
from pathlib import Path

from galr.retrieval import files
from galr.retrieval.relevance import DirectionName
from galr.retrieval.rerank import Variant, check, rerank_direction
from galr.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
    """What comes in, what goes out, and how to rerank."""

    similarity: Path = setting("S.npy (images by sentences) or similarity.h5")
    direction: DirectionName = setting("who asks: images (i2t) or sentences (t2i)")
    variant: Variant = setting("as the released code does it, or as the paper says")
    k: int = setting("candidates to rerank (code: at least 10)", default=30)
    w1: float = setting("weight of significance", default=0.3)
    w2: float = setting("weight of the reverse place", default=1.1)
    xi: float = setting("decay a place", default=0.05)
    output: Path = setting("R.npy to write")

    def __post_init__(self) -> None:
        """Refuse parameters that mean nothing."""
        check(self.variant, self.k, self.xi, self.w1, self.w2)


def run(flags: Flags) -> None:
    """Read, rerank, write."""
    similarity = files.read_matrix(flags.similarity)
    reranked = rerank_direction(
        similarity, flags.direction, flags.variant, flags.k, flags.w1, flags.w2, flags.xi
    )
    files.write_matrix(flags.output, reranked)
