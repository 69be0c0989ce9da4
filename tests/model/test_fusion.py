"""MIDF: that its balance matters as the paper has it, and cannot as it was released."""

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from galr.model.fusion import MIDF


def fusion_of(*, released):
    torch.manual_seed(0)
    return (
        MIDF(embed_dim=16, heads=4, ffn_dim=32, dropout=0.0, released_bug=released).double().eval()
    )


@pytest.fixture
def features():
    torch.manual_seed(1)
    return normalize(torch.randn(2, 5, 16, dtype=torch.float64), dim=-1).unbind()


@torch.no_grad()
def balanced(fusion, features, weight):
    """What comes out when the first view weighs so much for every image."""
    fusion.balance[-1].weight.zero_()
    fusion.balance[-1].bias.copy_(torch.tensor([weight, 1 - weight]).log())
    return fusion(*features)


def test_both_views_are_mixed_by_weights_that_sum_to_one(features):
    fusion = fusion_of(released=False)
    first, second = (balanced(fusion, features, weight) for weight in (1.0, 0.0))
    for weight in (0.5, 0.8):
        mixed = weight * first + (1 - weight) * second
        torch.testing.assert_close(balanced(fusion, features, weight), mixed)
    assert (cosine_similarity(first, second) < 0.99).all()


def test_as_released_the_balance_scales_and_never_turns(features):
    released, live = fusion_of(released=True), fusion_of(released=False)
    views = [balanced(live, features, weight) for weight in (1.0, 0.0)]
    for weight in (0.99, 0.5, 0.01):  # the same fusion otherwise, so the same two views
        scaled = balanced(released, features, weight)
        torch.testing.assert_close(scaled, weight * (views[0] + views[1]))
    own = fusion_of(released=True)(*features)  # each image's own weight, instead of one for all
    torch.testing.assert_close(normalize(own), normalize(views[0] + views[1]))


@pytest.mark.parametrize("released", [True, False])
def test_cosine_teaches_the_balance_only_where_both_weights_are_live(features, released):
    fusion, said = fusion_of(released=released), torch.randn(5, 16, dtype=torch.float64)
    cosine_similarity(fusion(*features), said).sum().backward()
    of_balance = max(each.grad.abs().max() for each in fusion.gate.parameters())
    of_the_rest = max(
        each.grad.abs().max()
        for name, each in fusion.named_parameters()
        if not name.startswith("balance")
    )
    assert of_the_rest > 1e-3
    assert of_balance < 1e-15 if released else of_balance > 1e-3


def test_each_image_sets_its_own_balance(features):
    fusion = fusion_of(released=False)
    alone = torch.cat(
        [fusion(seen[None], found[None]) for seen, found in zip(*features, strict=True)]
    )
    torch.testing.assert_close(fusion(*features), alone)
