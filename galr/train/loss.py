"""What is minimised: losses over the cosines of a batch, all behind one interface.

A loss takes similarity (B, B), image i with sentence j, pairs on the diagonal, and positive (B, B) bool,
True where image and sentence belong together; it gives a scalar, a sum over pairs. B may count the pairs
of one process or of several, gathered. It computes in float32, whatever precision the cosines come in, and
is 0 where a batch has no negatives.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from galr.errors import ConfigError, ShapeError

LossName = Literal["hinge", "hardest", "infonce"]
MAX_SCALE = 100.0  # of InfoNCE, as in CLIP: the most that cosines are multiplied by


class TripletSum(nn.Module):
    r"""Sum of the bidirectional hinge over all negatives (METHOD 5).

    :math:`\sum_{i \neq j} [m - s_{ii} + s_{ij}]_+ + [m - s_{jj} + s_{ij}]_+`, zero when every pair leads
    its negatives by the margin m, cosine units in [0, 2].
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, similarity: Tensor, positive: Tensor) -> Tensor:
        """(B, B) cosines and (B, B) bool → scalar."""
        of_images, of_sentences = _margin_violations(similarity, positive, self.margin)
        return (of_images + of_sentences).sum()


class TripletHardest(nn.Module):
    r"""Sum of the bidirectional hinge over each image's and each sentence's hardest negative.

    :math:`\sum_i \max_{j \neq i} [m - s_{ii} + s_{ij}]_+ + \sum_j \max_{i \neq j} [m - s_{jj} + s_{ij}]_+`
    (VSE++, Faghri et al. 2018). Equally hard negatives share the gradient, so their order is nothing.
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, similarity: Tensor, positive: Tensor) -> Tensor:
        """(B, B) cosines and (B, B) bool → scalar."""
        of_images, of_sentences = _margin_violations(similarity, positive, self.margin)
        return of_images.amax(dim=1).sum() + of_sentences.amax(dim=0).sum()


class InfoNCE(nn.Module):
    r"""Cross-entropy of cosines over a learned temperature, both ways (CLIP; summed over pairs here).

    Each image picks its sentence among all, and each sentence its image, by :math:`softmax(s / \tau)`; the
    two sums are averaged. Positives beside the diagonal are left out: nobody is asked to pick them, nor
    punished for it.

    Args:
        temperature: :math:`\tau` to begin with, at least 0.01, where it stays in training too.

    Raises:
        ConfigError: the temperature is lower.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        if temperature < 1 / MAX_SCALE:
            raise ConfigError(
                f"train.temperature must be at least {1 / MAX_SCALE}, got {temperature}"
            )
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def forward(self, similarity: Tensor, positive: Tensor) -> Tensor:
        """(B, B) cosines and (B, B) bool → scalar."""
        similarity = _check_square(similarity, positive)
        with (
            torch.no_grad()
        ):  # the number itself: cut off later, it would get no gradient back down
            self.log_scale.clamp_(max=math.log(MAX_SCALE))
        itself = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
        logits = (similarity * self.log_scale.exp()).masked_fill(positive & ~itself, -math.inf)
        own = torch.arange(len(logits), device=logits.device)
        of_images = cross_entropy(logits, own, reduction="sum")
        return (of_images + cross_entropy(logits.T, own, reduction="sum")) / 2


def build_loss(name: str, margin: float, temperature: float) -> nn.Module:
    """Build the loss that a setting names.

    Args:
        name: `hinge`, `hardest` or `infonce`.
        margin: of the first two, cosine units in [0, 2].
        temperature: that `infonce` begins with.

    Raises:
        ConfigError: there is no such loss, or it cannot begin there.
    """
    if name == "hinge":
        return TripletSum(margin)
    if name == "hardest":
        return TripletHardest(margin)
    if name == "infonce":
        return InfoNCE(temperature)
    raise ConfigError(
        f"train.loss '{name}' is unknown; choose from {', '.join(get_args(LossName))}"
    )


def _margin_violations(
    similarity: Tensor, positive: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    """By how much each negative comes too near: to its row's pair, to its column's pair; both (B, B)."""
    similarity = _check_square(similarity, positive)
    pairs = similarity.diagonal()
    of_images = (margin - pairs.unsqueeze(1) + similarity).clamp(min=0)
    of_sentences = (margin - pairs.unsqueeze(0) + similarity).clamp(min=0)
    return of_images.masked_fill(positive, 0), of_sentences.masked_fill(positive, 0)


def _check_square(similarity: Tensor, positive: Tensor) -> Tensor:
    """The cosines in float32.

    Raises:
        ShapeError: the matrices disagree or are not square.
    """
    if similarity.shape != positive.shape or similarity.shape[0] != similarity.shape[1]:
        raise ShapeError(
            f"similarity is {tuple(similarity.shape)} and positive {tuple(positive.shape)};"
            " expected two square matrices of one size"
        )
    return similarity.float()


def positive_mask(image_ids: Tensor, sentence_ids: Tensor, *, shared_negatives: bool) -> Tensor:
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
        return torch.eye(len(image_ids), dtype=torch.bool, device=image_ids.device)
    return (image_ids[:, None] == image_ids) | (sentence_ids[:, None] == sentence_ids)
