import numpy as np
import pytest
import torch

from galr.errors import ShapeError
from galr.training.loss import hinge_loss, positives


def slow_hinge(similarity, positive, margin):
    """Say the definition out loud: every pair against every negative, both ways."""
    total, count = 0.0, len(similarity)
    for i in range(count):
        for j in range(count):
            if not positive[i][j]:
                total += max(0.0, margin - similarity[i][i] + similarity[i][j])
                total += max(0.0, margin - similarity[j][j] + similarity[i][j])
    return total


@pytest.mark.parametrize("shared", [True, False])
def test_hinge_matches_the_definition(shared):
    torch.manual_seed(0)
    similarity = torch.rand(7, 7) * 2 - 1
    images, sentences = torch.tensor([0, 0, 1, 2, 3, 4, 5]), torch.tensor([0, 1, 2, 3, 3, 4, 5])
    positive = positives(images, sentences, shared_negatives=shared)
    expected = slow_hinge(similarity.tolist(), positive.tolist(), 0.2)
    assert hinge_loss(similarity, positive, 0.2).item() == pytest.approx(expected, rel=1e-5)


def test_only_true_negatives_are_pushed_away():
    images, sentences = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 2, 2])
    spared = positives(images, sentences, shared_negatives=False)
    assert spared.int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert positives(images, sentences, shared_negatives=True).int().tolist() == np.eye(4).tolist()


def test_loss_is_zero_when_pairs_lead_by_the_margin():
    similarity = torch.full((4, 4), 0.1) + torch.eye(4) * 0.2
    spared = torch.eye(4, dtype=torch.bool)
    assert hinge_loss(similarity, spared, 0.2).item() == pytest.approx(0, abs=1e-6)
    assert hinge_loss(similarity - torch.eye(4) * 0.01, spared, 0.2).item() > 0


def test_matrices_that_disagree_are_refused():
    with pytest.raises(ShapeError, match=r"\(2, 3\).*square"):
        hinge_loss(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool), 0.2)
