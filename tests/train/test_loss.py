"""The losses, each against its definition said out loud."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from galr.errors import ConfigError, ShapeError
from galr.train.loss import InfoNCE, build_loss, positive_mask

MARGIN, TEMPERATURE = 0.2, 0.1
LOSSES = ("hinge", "hardest", "infonce")

every_loss = pytest.mark.parametrize("name", LOSSES)


def loss(name):
    return build_loss(name, MARGIN, TEMPERATURE)


def slow_hinge(s, positive):
    """Every pair against every negative, both ways."""
    total, pairs = 0.0, range(len(s))
    for i in pairs:
        for j in pairs:
            if not positive[i][j]:
                total += max(0.0, MARGIN - s[i][i] + s[i][j])
                total += max(0.0, MARGIN - s[j][j] + s[i][j])
    return total


def slow_hardest(s, positive):
    """Every image against the sentence that comes nearest wrongly, every sentence likewise."""
    total, pairs = 0.0, range(len(s))
    for i in pairs:
        sentences = [s[i][j] for j in pairs if not positive[i][j]]
        images = [s[j][i] for j in pairs if not positive[j][i]]
        for wrong in (sentences, images):
            total += max(0.0, MARGIN - s[i][i] + max(wrong)) if wrong else 0.0
    return total


def slow_infonce(s, positive):
    """How surprised a chooser is by the pair, each time among the pair itself and the negatives."""
    total, pairs = 0.0, range(len(s))
    for i in pairs:
        sentences = [s[i][j] for j in pairs if i == j or not positive[i][j]]
        images = [s[j][i] for j in pairs if i == j or not positive[j][i]]
        for offered in (sentences, images):
            chance = math.exp(s[i][i] / TEMPERATURE)
            chance /= sum(math.exp(each / TEMPERATURE) for each in offered)
            total -= math.log(chance) / 2
    return total


SLOW = {"hinge": slow_hinge, "hardest": slow_hardest, "infonce": slow_infonce}


@st.composite
def batches(draw):
    """Cosines of up to eight pairs, of few images and few sentences, so that some are shared."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pairs = draw(st.integers(1, 8))
    images, sentences = (torch.from_numpy(random.integers(0, 6, pairs)) for _ in range(2))
    similarity = torch.from_numpy(random.uniform(-1, 1, (pairs, pairs))).float()
    return similarity, positive_mask(images, sentences, shared_negatives=draw(st.booleans()))


@every_loss
@settings(max_examples=40, deadline=None)
@given(batches())
def test_a_loss_is_its_definition(name, batch):
    similarity, positive = batch
    expected = SLOW[name](similarity.double().tolist(), positive.tolist())
    assert loss(name)(similarity, positive).item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@every_loss
@settings(max_examples=20, deadline=None)
@given(batches(), st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_is_nothing(name, batch, random):
    """Of their gradients too, wherever several processes put their pairs."""
    similarity, positive = batch
    order = torch.tensor(random.sample(range(len(similarity)), len(similarity)))
    one, two = similarity.clone().requires_grad_(), similarity[order][:, order].requires_grad_()
    (alone := loss(name)(one, positive)).backward()
    (again := loss(name)(two, positive[order][:, order])).backward()
    torch.testing.assert_close(alone, again)
    torch.testing.assert_close(one.grad[order][:, order], two.grad)


@every_loss
@settings(max_examples=20, deadline=None)
@given(batches())
def test_positives_beside_the_diagonal_are_not_looked_at(name, batch):
    similarity, positive = batch
    beside = positive & ~torch.eye(len(positive), dtype=torch.bool)
    other = similarity.masked_fill(beside, 0.99).requires_grad_()
    (spared := loss(name)(other, positive)).backward()
    torch.testing.assert_close(spared, loss(name)(similarity, positive))
    assert not other.grad[beside].any() and other.grad.isfinite().all()


@every_loss
@pytest.mark.parametrize("pairs", [1, 5])
def test_without_negatives_there_is_nothing_to_learn(name, pairs):
    similarity = torch.randn(pairs, pairs, requires_grad=True)
    judge = loss(name)
    value = judge(similarity, torch.ones(pairs, pairs, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert not similarity.grad.any()
    assert all(not each.grad.any() for each in judge.parameters())


@every_loss
def test_it_computes_in_float32_whatever_the_cosines_are_in(name):
    torch.manual_seed(0)
    similarity, positive = (torch.rand(9, 9) * 2 - 1).bfloat16(), torch.eye(9, dtype=torch.bool)
    expected = loss(name)(similarity.float(), positive)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(name)(similarity, positive)
    assert value.dtype == torch.float32 and value.shape == ()
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("name", ["hinge", "hardest"])
def test_hinges_are_zero_when_pairs_lead_by_the_margin(name):
    similarity = torch.full((4, 4), 0.1) + torch.eye(4) * MARGIN
    spared = torch.eye(4, dtype=torch.bool)
    assert loss(name)(similarity, spared).item() == pytest.approx(0, abs=1e-6)
    assert loss(name)(similarity - torch.eye(4) * 0.01, spared).item() > 0
    assert not list(loss(name).parameters())


def test_equally_hard_negatives_share_the_gradient():
    similarity = (torch.eye(3) * 0.5).requires_grad_()
    build_loss("hardest", 1.0, TEMPERATURE)(similarity, torch.eye(3, dtype=torch.bool)).backward()
    torch.testing.assert_close(similarity.grad, torch.ones(3, 3) - torch.eye(3) * 3)


def test_infonce_is_torchs_cross_entropy_where_nothing_is_left_out():
    torch.manual_seed(0)
    similarity, own = torch.rand(6, 6), torch.arange(6)
    logits = similarity / TEMPERATURE
    expected = 6 * (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
    torch.testing.assert_close(loss("infonce")(similarity, own[:, None] == own), expected)


def test_temperature_is_learned_between_a_hundredth_and_any():
    """Pairs that lead ask for a lower temperature, pairs that trail for a higher: at the end of its way too."""
    judge, spared = InfoNCE(0.02), torch.eye(4, dtype=torch.bool)
    adam = torch.optim.Adam(judge.parameters(), lr=0.1)

    def learn(similarity, steps):
        for _ in range(steps):
            adam.zero_grad()
            judge(similarity, spared).backward()
            adam.step()
        judge(similarity, spared)
        return (-judge.log_scale).exp().item()

    assert learn(torch.full((4, 4), 0.3) + torch.eye(4) * 0.05, 40) == pytest.approx(0.01)
    assert learn(torch.full((4, 4), 0.3) - torch.eye(4) * 0.05, 60) > 0.02


def test_only_true_negatives_are_pushed_away():
    images, sentences = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 2, 2])
    spared = positive_mask(images, sentences, shared_negatives=False)
    assert spared.int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert (
        positive_mask(images, sentences, shared_negatives=True).int().tolist() == np.eye(4).tolist()
    )


@every_loss
def test_matrices_that_disagree_are_refused(name):
    with pytest.raises(ShapeError, match=r"\(2, 3\).*square"):
        loss(name)(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool))
    with pytest.raises(ShapeError, match=r"\(3, 3\) and positive \(2, 2\)"):
        loss(name)(torch.zeros(3, 3), torch.zeros(2, 2, dtype=torch.bool))


@pytest.mark.parametrize(
    ("name", "temperature", "says"),
    [
        ("triplet", 0.1, "train.loss 'triplet' is unknown; choose from hinge, hardest, infonce"),
        ("infonce", 0.0, "train.temperature must be at least 0.01, got 0.0"),
    ],
)
def test_unknown_losses_and_temperatures_are_named(name, temperature, says):
    with pytest.raises(ConfigError, match=says):
        build_loss(name, MARGIN, temperature)
