"""The losses, each against its definition in plain loops."""

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
SPARING = (
    "triplet_sum",
    "triplet_hardest",
    "infonce",
)  # positives beside the diagonal are left out

every_loss = pytest.mark.parametrize("name", [*SPARING, "infonce_soft"])
sparing_loss = pytest.mark.parametrize("name", SPARING)


def loss(name):
    if name == "infonce_soft":
        return build_loss("infonce", MARGIN, TEMPERATURE, soft_targets=True)
    return build_loss(name, MARGIN, TEMPERATURE)


def slow_triplet_sum(s, positive):
    """Every pair against every negative, in both directions."""
    total, pairs = 0.0, range(len(s))
    for i in pairs:
        for j in pairs:
            if not positive[i][j]:
                total += max(0.0, MARGIN - s[i][i] + s[i][j])
                total += max(0.0, MARGIN - s[j][j] + s[i][j])
    return total


def slow_triplet_hardest(s, positive):
    """Every image against its most similar negative sentence, and every sentence likewise."""
    total, pairs = 0.0, range(len(s))
    for i in pairs:
        sentences = [s[i][j] for j in pairs if not positive[i][j]]
        images = [s[j][i] for j in pairs if not positive[j][i]]
        for negatives in (sentences, images):
            total += max(0.0, MARGIN - s[i][i] + max(negatives)) if negatives else 0.0
    return total


def slow_infonce(s, positive):
    """Minus the log probability of each pair, among the pair itself and its negatives, in both directions."""
    total, pairs = 0.0, range(len(s))
    for i in pairs:
        sentences = [s[i][j] for j in pairs if i == j or not positive[i][j]]
        images = [s[j][i] for j in pairs if i == j or not positive[j][i]]
        for candidates in (sentences, images):
            probability = math.exp(s[i][i] / TEMPERATURE)
            probability /= sum(math.exp(cosine / TEMPERATURE) for cosine in candidates)
            total -= math.log(probability) / 2
    return total


def slow_infonce_soft(s, positive):
    """Minus the mean log probability of an image's positives among all sentences, and of a sentence's likewise."""
    total, pairs = 0.0, range(len(s))
    for i in pairs:
        of_image = [(s[i][j], positive[i][j]) for j in pairs]
        of_sentence = [(s[j][i], positive[j][i]) for j in pairs]
        for candidates in (of_image, of_sentence):
            partition = sum(math.exp(cosine / TEMPERATURE) for cosine, _ in candidates)
            logs = [
                math.log(math.exp(cosine / TEMPERATURE) / partition)
                for cosine, matches in candidates
                if matches
            ]
            total -= sum(logs) / len(logs) / 2
    return total


SLOW = {
    "infonce_soft": slow_infonce_soft,
    "triplet_sum": slow_triplet_sum,
    "triplet_hardest": slow_triplet_hardest,
    "infonce": slow_infonce,
}


@st.composite
def batches(draw):
    """Cosines of up to eight pairs of few images and few sentences, so that some are shared."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pairs = draw(st.integers(1, 8))
    images, sentences = (torch.from_numpy(random.integers(0, 6, pairs)) for _ in range(2))
    similarity = torch.from_numpy(random.uniform(-1, 1, (pairs, pairs))).float()
    return similarity, positive_mask(images, sentences, shared_negatives=draw(st.booleans()))


@every_loss
@settings(max_examples=40, deadline=None)
@given(batches())
def test_a_loss_equals_its_definition(name, batch):
    similarity, positive = batch
    expected = SLOW[name](similarity.double().tolist(), positive.tolist())
    assert loss(name)(similarity, positive).item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@every_loss
@settings(max_examples=20, deadline=None)
@given(batches(), st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_does_not_matter(name, batch, random):
    """Nor to the gradients: several processes gather their pairs in an order of their own."""
    similarity, positive = batch
    order = torch.tensor(random.sample(range(len(similarity)), len(similarity)))
    one, two = similarity.clone().requires_grad_(), similarity[order][:, order].requires_grad_()
    (first := loss(name)(one, positive)).backward()
    (second := loss(name)(two, positive[order][:, order])).backward()
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(one.grad[order][:, order], two.grad)


@sparing_loss
@settings(max_examples=20, deadline=None)
@given(batches())
def test_positives_beside_the_diagonal_are_ignored(name, batch):
    similarity, positive = batch
    beside = positive & ~torch.eye(len(positive), dtype=torch.bool)
    changed = similarity.masked_fill(beside, 0.99).requires_grad_()
    (value := loss(name)(changed, positive)).backward()
    torch.testing.assert_close(value, loss(name)(similarity, positive))
    assert not changed.grad[beside].any() and changed.grad.isfinite().all()


@sparing_loss
@pytest.mark.parametrize("pairs", [1, 5])
def test_without_negatives_loss_and_gradients_are_zero(name, pairs):
    similarity = torch.randn(pairs, pairs, requires_grad=True)
    module = loss(name)
    value = module(similarity, torch.ones(pairs, pairs, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert not similarity.grad.any()
    assert all(not weight.grad.any() for weight in module.parameters())


@settings(max_examples=20, deadline=None)
@given(batches())
def test_soft_targets_have_the_gradient_of_their_differences(batch):
    """Against finite differences in double precision; the loss itself computes in single precision."""
    similarity, positive = batch
    single = similarity.clone().requires_grad_()
    loss("infonce_soft")(single, positive).backward()
    double, step = similarity.double().tolist(), 1e-4
    for i in range(len(double)):
        for j in range(len(double)):
            values = []
            for change in (step, -step):
                double[i][j] += change
                values.append(slow_infonce_soft(double, positive))
                double[i][j] -= change
            slope = (values[0] - values[1]) / (2 * step)
            assert single.grad[i, j].item() == pytest.approx(slope, rel=1e-3, abs=1e-3)


def test_soft_targets_are_infonce_where_nothing_repeats_or_only_the_pair_is_positive():
    torch.manual_seed(0)
    similarity, images = torch.rand(6, 6) * 2 - 1, torch.tensor([0, 0, 1, 2, 3, 4])
    for shared_negatives, ids in ((False, torch.arange(6)), (True, images)):
        positive = positive_mask(ids, torch.arange(6), shared_negatives=shared_negatives)
        expected = loss("infonce")(similarity, positive)
        torch.testing.assert_close(loss("infonce_soft")(similarity, positive), expected)
    repeated = positive_mask(images, torch.arange(6), shared_negatives=False)
    value, plain = (loss(name)(similarity, repeated) for name in ("infonce_soft", "infonce"))
    assert abs(value - plain) > 0.01


def test_soft_targets_are_least_where_all_positives_are_equally_near():
    """There the loss is the entropy of the targets: of two pairs with two positives each, 2 log 2."""
    similarity, positive = torch.ones(2, 2, requires_grad=True), torch.ones(2, 2, dtype=torch.bool)
    (value := loss("infonce_soft")(similarity, positive)).backward()
    assert value.item() == pytest.approx(2 * math.log(2))
    assert similarity.grad.abs().max() < 1e-6


@every_loss
def test_it_computes_in_float32_whatever_the_precision_of_the_cosines(name):
    torch.manual_seed(0)
    similarity, positive = (torch.rand(9, 9) * 2 - 1).bfloat16(), torch.eye(9, dtype=torch.bool)
    expected = loss(name)(similarity.float(), positive)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(name)(similarity, positive)
    assert value.dtype == torch.float32 and value.shape == ()
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("name", ["triplet_sum", "triplet_hardest"])
def test_triplet_losses_are_zero_when_pairs_lead_by_the_margin(name):
    similarity = torch.full((4, 4), 0.1) + torch.eye(4) * MARGIN
    diagonal = torch.eye(4, dtype=torch.bool)
    assert loss(name)(similarity, diagonal).item() == pytest.approx(0, abs=1e-6)
    assert loss(name)(similarity - torch.eye(4) * 0.01, diagonal).item() > 0
    assert not list(loss(name).parameters())


def test_equally_hard_negatives_share_the_gradient():
    similarity = (torch.eye(3) * 0.5).requires_grad_()
    diagonal = torch.eye(3, dtype=torch.bool)
    build_loss("triplet_hardest", 1.0, TEMPERATURE)(similarity, diagonal).backward()
    torch.testing.assert_close(similarity.grad, torch.ones(3, 3) - torch.eye(3) * 3)


def test_infonce_is_torchs_cross_entropy_where_nothing_is_left_out():
    torch.manual_seed(0)
    similarity, target = torch.rand(6, 6), torch.arange(6)
    logits = similarity / TEMPERATURE
    expected = 6 * (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2
    torch.testing.assert_close(loss("infonce")(similarity, target[:, None] == target), expected)


def test_the_temperature_is_learned_and_never_falls_below_a_hundredth():
    """Pairs that lead lower the temperature, pairs that trail raise it, also from the lower limit."""
    module, diagonal = InfoNCE(0.02), torch.eye(4, dtype=torch.bool)
    adam = torch.optim.Adam(module.parameters(), lr=0.1)

    def temperature_after(similarity, steps):
        for _ in range(steps):
            adam.zero_grad()
            module(similarity, diagonal).backward()
            adam.step()
        module(similarity, diagonal)
        return (-module.log_scale).exp().item()

    leading = torch.full((4, 4), 0.3) + torch.eye(4) * 0.05
    trailing = torch.full((4, 4), 0.3) - torch.eye(4) * 0.05
    assert temperature_after(leading, 40) == pytest.approx(0.01)
    assert temperature_after(trailing, 60) > 0.02


def test_pairs_with_the_same_image_or_sentence_are_positive():
    images, sentences = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 2, 2])
    positive = positive_mask(images, sentences, shared_negatives=False)
    assert positive.int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    positive = positive_mask(images, sentences, shared_negatives=True)
    assert positive.int().tolist() == np.eye(4).tolist()


@every_loss
def test_matrices_of_different_sizes_are_an_error(name):
    with pytest.raises(ShapeError, match=r"\(2, 3\).*square"):
        loss(name)(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool))
    with pytest.raises(ShapeError, match=r"\(3, 3\) and positive \(2, 2\)"):
        loss(name)(torch.zeros(3, 3), torch.zeros(2, 2, dtype=torch.bool))


@pytest.mark.parametrize(
    ("name", "temperature", "message"),
    [
        (
            "hinge",
            0.1,
            "train.loss 'hinge' is unknown; choose from triplet_sum, triplet_hardest, infonce",
        ),
        ("infonce", 0.0, "train.temperature must be at least 0.01, got 0.0"),
    ],
)
def test_unknown_losses_and_low_temperatures_are_errors(name, temperature, message):
    with pytest.raises(ConfigError, match=message):
        build_loss(name, MARGIN, temperature)


@pytest.mark.parametrize("name", ["triplet_sum", "triplet_hardest"])
def test_triplet_losses_have_no_soft_targets(name):
    with pytest.raises(ConfigError, match=f"soft_targets needs train.loss: infonce, got {name}"):
        build_loss(name, MARGIN, TEMPERATURE, soft_targets=True)
