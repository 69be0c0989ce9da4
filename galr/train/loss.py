"""Losses over the similarity matrix of a batch of pairs, behind one interface.

A loss takes `similarity` (B, B), the cosine of image i and sentence j with the pairs on the diagonal, and
`positive` (B, B) bool, True where image and sentence belong together. It returns a scalar float32, a sum over
pairs, whatever the precision of the cosines; without soft targets it is 0 for a batch without negatives. B may
count the pairs of one process or the gathered pairs of several.
"""

import math
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from galr.errors import ConfigError, ShapeError
from galr.train.options import LossName

MAX_SCALE = 100.0  # of InfoNCE, as in CLIP: the largest factor on the cosines


class TripletSum(nn.Module):
    r"""Bidirectional triplet loss, summed over all negatives.

    :math:`\sum_{i \neq j} [m - s_{ii} + s_{ij}]_+ + [m - s_{jj} + s_{ij}]_+`, the loss of the paper (arXiv
    2204.09860). It is zero when every pair leads its negatives by the margin.

    Args:
        margin: m, cosine units in [0, 2].
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, similarity: Tensor, positive: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Args:
            similarity: (B, B) float, images by sentences, cosines in [-1, 1].
            positive: (B, B) bool, True where image and sentence belong together.

        Returns:
            Scalar float32, at least 0.

        Raises:
            ShapeError: the matrices are not square or differ in size.
        """
        of_images, of_sentences = _margin_violations(similarity, positive, self.margin)
        return (of_images + of_sentences).sum()


class TripletHardest(nn.Module):
    r"""Bidirectional triplet loss over the hardest negative of each image and each sentence.

    :math:`\sum_i \max_{j \neq i} [m - s_{ii} + s_{ij}]_+ + \sum_j \max_{i \neq j} [m - s_{jj} + s_{ij}]_+`
    (VSE++, arXiv 1707.05612, the loss MH). Equally hard negatives share the gradient, so the order of the
    pairs does not matter.

    Args:
        margin: m, cosine units in [0, 2].
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, similarity: Tensor, positive: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Args:
            similarity: (B, B) float, images by sentences, cosines in [-1, 1].
            positive: (B, B) bool, True where image and sentence belong together.

        Returns:
            Scalar float32, at least 0.

        Raises:
            ShapeError: the matrices are not square or differ in size.
        """
        of_images, of_sentences = _margin_violations(similarity, positive, self.margin)
        return of_images.amax(dim=1).sum() + of_sentences.amax(dim=0).sum()


class InfoNCE(nn.Module):
    r"""Cross-entropy of the cosines over a learned temperature, in both directions.

    As in CLIP (arXiv 2103.00020, figure 3), but summed over the pairs: each image is classified among all
    sentences and each sentence among all images by :math:`softmax(s / \tau)`, and the two sums are averaged.
    Positives beside the diagonal are left out of the softmax, so they neither count as targets nor as
    negatives. With soft targets, our extension, they are targets: the probability of an image's sentence is
    spread equally over all positive sentences, and that of a sentence's image over all positive images. The
    loss of a batch with repeats is then over 0 even at its minimum.

    Args:
        temperature: initial :math:`\tau`, at least 0.01; training never lowers it below 0.01.
        soft_targets: whether all positives are targets; without repeats it makes no difference.

    Raises:
        ConfigError: the temperature is lower.
    """

    def __init__(self, temperature: float, *, soft_targets: bool = False) -> None:
        super().__init__()
        if temperature < 1 / MAX_SCALE:
            raise ConfigError(
                f"train.temperature must be at least {1 / MAX_SCALE}, got {temperature}"
            )
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        self.soft_targets = soft_targets

    def forward(self, similarity: Tensor, positive: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Args:
            similarity: (B, B) float, images by sentences, cosines in [-1, 1].
            positive: (B, B) bool, True where image and sentence belong together.

        Returns:
            Scalar float32, at least 0.

        Raises:
            ShapeError: the matrices are not square or differ in size.
        """
        similarity = _check_square(similarity, positive)
        with torch.no_grad():
            # The parameter itself is clamped: clamping its value in the graph would stop the gradient
            # at the limit, and the temperature could never rise again.
            self.log_scale.clamp_(max=math.log(MAX_SCALE))
        if self.soft_targets:
            logits, shares = similarity * self.log_scale.exp(), positive.float()
            of_images = cross_entropy(logits, shares / shares.sum(1, keepdim=True), reduction="sum")
            shares = shares.T / shares.T.sum(1, keepdim=True)
            return (of_images + cross_entropy(logits.T, shares, reduction="sum")) / 2
        diagonal = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
        logits = (similarity * self.log_scale.exp()).masked_fill(positive & ~diagonal, -math.inf)
        target = torch.arange(len(logits), device=logits.device)
        of_images = cross_entropy(logits, target, reduction="sum")
        return (of_images + cross_entropy(logits.T, target, reduction="sum")) / 2


def build_loss(
    name: str, margin: float, temperature: float, *, soft_targets: bool = False
) -> nn.Module:
    """Build a loss by its name in the config.

    Args:
        name: `triplet_sum`, `triplet_hardest` or `infonce`.
        margin: of the triplet losses, cosine units in [0, 2].
        temperature: initial temperature of `infonce`.
        soft_targets: whether all positives of `infonce` are targets.

    Raises:
        ConfigError: the name is unknown, the temperature too low, or a triplet loss is to have soft targets.
    """
    if soft_targets and name != "infonce":
        raise ConfigError(f"train.soft_targets needs train.loss: infonce, got {name}")
    if name == "triplet_sum":
        return TripletSum(margin)
    if name == "triplet_hardest":
        return TripletHardest(margin)
    if name == "infonce":
        return InfoNCE(temperature, soft_targets=soft_targets)
    raise ConfigError(
        f"train.loss '{name}' is unknown; choose from {', '.join(get_args(LossName))}"
    )


def positive_mask(image_ids: Tensor, sentence_ids: Tensor, *, shared_negatives: bool) -> Tensor:
    """Mark the pairs of a batch that are not negatives of each other.

    Args:
        image_ids: (B,) int, number of each pair's image.
        sentence_ids: (B,) int, number of each pair's sentence text; equal texts have equal numbers.
        shared_negatives: as in the released code, mark only the pair itself: another sentence of the same
            image, and an image with the same sentence, then count as negatives.

    Returns:
        (B, B) bool, images by sentences.
    """
    if shared_negatives:
        return torch.eye(len(image_ids), dtype=torch.bool, device=image_ids.device)
    return (image_ids[:, None] == image_ids) | (sentence_ids[:, None] == sentence_ids)


def _margin_violations(
    similarity: Tensor, positive: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    """By how much each negative violates the margin of its image's and of its sentence's pair.

    Both are (B, B) float32, and 0 at positives.
    """
    similarity = _check_square(similarity, positive)
    pairs = similarity.diagonal()
    of_images = (margin - pairs.unsqueeze(1) + similarity).clamp(min=0)
    of_sentences = (margin - pairs.unsqueeze(0) + similarity).clamp(min=0)
    return of_images.masked_fill(positive, 0), of_sentences.masked_fill(positive, 0)


def _check_square(similarity: Tensor, positive: Tensor) -> Tensor:
    """Return the cosines in float32, if both matrices are square and of one size."""
    if similarity.shape != positive.shape or similarity.shape[0] != similarity.shape[1]:
        raise ShapeError(
            f"similarity is {tuple(similarity.shape)} and positive {tuple(positive.shape)};"
            " expected two square matrices of one size"
        )
    return similarity.float()
