"""The bidirectional hinge loss."""

import torch
from torch import Tensor

from galr.errors import ShapeError


def hinge_loss(similarity: Tensor, positive: Tensor, margin: float) -> Tensor:
    r"""Sum of the bidirectional hinge over all negatives of a batch (METHOD 5).

    :math:`\sum_{i \neq j} [m - s_{ii} + s_{ij}]_+ + [m - s_{ii} + s_{ji}]_+`

    Args:
        similarity: (B, B) cosine, pairs on the diagonal.
        positive: (B, B) bool, True where image and sentence belong together and are no negative.
        margin: m, cosine units in [0, 2].

    Returns:
        A scalar; zero when every pair leads its negatives by the margin.

    Raises:
        ShapeError: the matrices disagree or are not square.
    """
    if similarity.shape != positive.shape or similarity.shape[0] != similarity.shape[1]:
        raise ShapeError(
            f"similarity is {tuple(similarity.shape)} and positive {tuple(positive.shape)};"
            " expected two square matrices of one size"
        )
    pairs = similarity.diagonal()
    over = (margin - pairs.unsqueeze(1) + similarity).clamp(min=0)
    over = over + (margin - pairs.unsqueeze(0) + similarity).clamp(min=0)
    return over.masked_fill(positive, 0).sum()


def positives(images: Tensor, sentences: Tensor, *, shared_negatives: bool) -> Tensor:
    """Which pairs of a batch are no negatives of each other.

    Args:
        images: (B,) number of each pair's image.
        sentences: (B,) number of each pair's sentence text: equal texts, equal numbers.
        shared_negatives: as released, only the pair itself is spared: another sentence of the same
            image and an image with the same sentence count as negatives.

    Returns:
        (B, B) bool.
    """
    if shared_negatives:
        return torch.eye(len(images), dtype=torch.bool)
    return (images[:, None] == images) | (sentences[:, None] == sentences)
