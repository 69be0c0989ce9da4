"""MIDF: its gate matters as in the paper, and cannot matter with the released code's defect."""

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from galr.model.fusion import MIDF


def build_fusion(*, released_bug):
    torch.manual_seed(0)
    fusion = MIDF(embed_dim=16, heads=4, ffn_dim=32, dropout=0.0, released_bug=released_bug)
    return fusion.double().eval()


@pytest.fixture
def features():
    torch.manual_seed(1)
    return normalize(torch.randn(2, 5, 16, dtype=torch.float64), dim=-1).unbind()


@torch.no_grad()
def fuse_with_weight(fusion, features, weight):
    """Fuse with this weight of the first candidate for every image."""
    fusion.gate[-1].weight.zero_()
    fusion.gate[-1].bias.copy_(torch.tensor([weight, 1 - weight]).log())
    return fusion(*features)


def attend(attention, x):
    """Attention to one vector has weight 1: its value, projected twice."""
    value = x @ attention.in_proj_weight[32:].T + attention.in_proj_bias[32:]
    return value @ attention.out_proj.weight.T + attention.out_proj.bias


def feed_forward(layer, x):
    return layer.linear2(layer.linear1(x).relu())


def test_fusion_is_the_formula(features):
    fusion = build_fusion(released_bug=False)
    g, l = features

    def self_attention(layer, x):
        x = layer.norm1(x + attend(layer.self_attn, x))
        return layer.norm2(x + feed_forward(layer, x))

    def guided_attention(layer, x, guide):
        x = layer.norm1(x + attend(layer.self_attn, x))
        x = layer.norm2(x + attend(layer.multihead_attn, guide))
        return layer.norm3(x + feed_forward(layer, x))

    g, l = self_attention(fusion.global_self, g), self_attention(fusion.local_self, l)
    l = guided_attention(fusion.local_cross, l, g)
    g = guided_attention(fusion.global_cross, g, l)
    weights = fusion.gate(l.sigmoid() * g + g + l).softmax(-1)
    expected = weights[:, :1] * l.sigmoid() * g + weights[:, 1:] * (g + l)
    torch.testing.assert_close(fusion(*features), expected)


def test_parameters_are_listed_in_the_order_of_the_computation():
    """Gradient clipping sums norms in this order; another order would change results in the last digit."""
    names = [name for name, _ in build_fusion(released_bug=False).named_parameters()]
    assert [name.split(".")[0] for name in names[::1] if name.endswith("in_proj_weight")] == [
        "global_self", "local_self", "local_cross", "local_cross", "global_cross", "global_cross",
    ]  # fmt: skip
    parts = [name.split(".")[1] for name in names]
    assert list(dict.fromkeys(parts[: names.index("local_self.self_attn.in_proj_weight")])) == [
        "self_attn", "norm1", "linear1", "linear2", "norm2",
    ]  # fmt: skip
    guided = [name.split(".")[1] for name in names if name.startswith("local_cross")]
    assert list(dict.fromkeys(guided)) == [
        "self_attn", "norm1", "multihead_attn", "norm2", "linear1", "linear2", "norm3",
    ]  # fmt: skip


def test_both_candidates_are_mixed_by_weights_that_sum_to_one(features):
    fusion = build_fusion(released_bug=False)
    first, second = (fuse_with_weight(fusion, features, weight) for weight in (1.0, 0.0))
    for weight in (0.5, 0.8):
        mixed = weight * first + (1 - weight) * second
        torch.testing.assert_close(fuse_with_weight(fusion, features, weight), mixed)
    assert (cosine_similarity(first, second) < 0.99).all()


def test_with_the_released_bug_the_gate_changes_the_length_and_not_the_direction(features):
    released, correct = build_fusion(released_bug=True), build_fusion(released_bug=False)
    candidates = [fuse_with_weight(correct, features, weight) for weight in (1.0, 0.0)]
    for weight in (0.99, 0.5, 0.01):  # the same weights otherwise, so the same two candidates
        scaled = fuse_with_weight(released, features, weight)
        torch.testing.assert_close(scaled, weight * (candidates[0] + candidates[1]))
    each_its_own_weight = build_fusion(released_bug=True)(*features)
    torch.testing.assert_close(
        normalize(each_its_own_weight), normalize(candidates[0] + candidates[1])
    )


@pytest.mark.parametrize("released_bug", [True, False])
def test_cosine_trains_the_gate_only_where_both_weights_are_used(features, released_bug):
    fusion = build_fusion(released_bug=released_bug)
    sentences = torch.randn(5, 16, dtype=torch.float64)
    cosine_similarity(fusion(*features), sentences).sum().backward()
    of_gate = max(weight.grad.abs().max() for weight in fusion.gate.parameters())
    of_the_rest = max(
        weight.grad.abs().max()
        for name, weight in fusion.named_parameters()
        if not name.startswith("gate")
    )
    assert of_the_rest > 1e-3
    assert of_gate < 1e-15 if released_bug else of_gate > 1e-3


def test_images_of_a_batch_do_not_influence_each_other(features):
    fusion = build_fusion(released_bug=False)
    alone = torch.cat([fusion(g[None], l[None]) for g, l in zip(*features, strict=True)])
    torch.testing.assert_close(fusion(*features), alone)
