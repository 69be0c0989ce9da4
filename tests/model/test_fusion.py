"""MIDF: its gate matters as in the paper, and cannot matter with the released code's defect."""

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize, pad

from galr.model.fusion import MIDF, AttentionSequences, GatedMIDF


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


def build_gated():
    torch.manual_seed(0)
    return GatedMIDF(embed_dim=16, heads=4, ffn_dim=32, dropout=0.0).double().eval()


def test_a_gated_fusion_is_the_global_feature_where_its_gate_is_zero(features):
    fusion = build_gated()
    torch.nn.init.zeros_(fusion.scale)
    assert torch.equal(fusion(*features), features[0])


def test_a_gated_fusion_adds_midfs_direction_number_by_number(features):
    fusion = build_gated()
    torch.nn.init.normal_(fusion.scale)
    with torch.no_grad():
        direction = normalize(fusion.midf(*features))
        torch.testing.assert_close(fusion(*features), features[0] + fusion.scale * direction)


def test_a_gated_fusion_begins_near_the_global_feature_and_its_gate_learns(features):
    fusion = build_gated()
    sentences = torch.randn(5, 16, dtype=torch.float64)
    fused = fusion(*features)
    assert (cosine_similarity(fused, features[0]) > 0.99).all()
    assert not torch.allclose(fused, features[0], atol=1e-3)
    cosine_similarity(fused, sentences).sum().backward()
    assert (fusion.scale.grad.abs() > 0).all()
    of_midf = [weight.grad.abs().max() for weight in fusion.midf.parameters()]
    assert min(of_midf) > 0  # what is added learns from the first step, too


def random_sequences(cells=4, regions=3, kept=(3, 0, 1, 2, 3)):
    torch.manual_seed(2)
    mask = torch.arange(regions) < torch.tensor(kept)[:, None]
    return AttentionSequences(
        normalize(torch.randn(5, cells, 16, dtype=torch.float64), dim=-1),
        normalize(torch.randn(5, regions, 16, dtype=torch.float64), dim=-1),
        mask,
    )


@pytest.mark.parametrize("grad", [False, True])  # without a gradient, PyTorch takes a faster path
def test_sequences_of_nothing_are_length_one_to_the_bit(features, grad):
    fusion = build_fusion(released_bug=False)
    empty = AttentionSequences(
        torch.zeros(5, 0, 16).double(), torch.zeros(5, 0, 16).double(), torch.ones(5, 0).bool()
    )
    with torch.set_grad_enabled(grad):
        alone = fusion(*features)
        torch.testing.assert_close(fusion(*features, empty), alone, atol=1e-15, rtol=1e-12)
        no_regions = random_sequences(cells=0, kept=(0,) * 5)
        torch.testing.assert_close(fusion(*features, no_regions), alone, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("grad", [False, True])
def test_padding_regions_of_a_sequence_change_nothing(features, grad):
    fusion, sequences = build_fusion(released_bug=False), random_sequences()
    noise = sequences.regions + 9 * torch.randn_like(sequences.regions)
    noisy = torch.where(sequences.mask.unsqueeze(-1), sequences.regions, noise)
    longer = AttentionSequences(
        sequences.cells, pad(noisy, (0, 0, 0, 2), value=5.0), pad(sequences.mask, (0, 2))
    )
    with torch.set_grad_enabled(grad):
        fused = fusion(*features, sequences)
        assert fused.isfinite().all()
        torch.testing.assert_close(fusion(*features, longer), fused)


def test_only_the_first_of_the_global_sequence_is_computed_at_last(features):
    """PyTorch's layer over the whole sequence gives the same."""
    fusion, (cells, regions, mask) = build_fusion(released_bug=False), random_sequences()
    g, l = (
        torch.cat([feature.unsqueeze(1), rows], dim=1)
        for feature, rows in zip(features, (cells, regions), strict=True)
    )
    padding = torch.cat([torch.zeros(5, 1, dtype=torch.bool), ~mask], dim=1)
    g, l = fusion.global_self(g), fusion.local_self(l, src_key_padding_mask=padding)
    l = fusion.local_cross(l, g, tgt_key_padding_mask=padding)
    g = fusion.global_cross(g, l, memory_key_padding_mask=padding)[:, 0]
    l = l[:, 0]
    weights = fusion.gate(l.sigmoid() * g + g + l).softmax(-1)
    expected = weights[:, :1] * l.sigmoid() * g + weights[:, 1:] * (g + l)
    fused = fusion(*features, AttentionSequences(cells, regions, mask))
    torch.testing.assert_close(fused, expected)


def test_attention_reads_cells_and_regions_in_any_order(features):
    fusion, sequences = build_fusion(released_bug=False), random_sequences()
    fused = fusion(*features, sequences)
    permuted = AttentionSequences(
        sequences.cells.flip(1), sequences.regions.flip(1), sequences.mask.flip(1)
    )
    torch.testing.assert_close(fusion(*features, permuted), fused)
    with_region = sequences.mask.any(dim=1)
    other_regions = fusion(*features, sequences._replace(regions=-sequences.regions))
    changed = (other_regions - fused).abs().amax(dim=1) > 1e-4
    assert torch.equal(changed, with_region)
    other_cells = fusion(*features, sequences._replace(cells=-sequences.cells))
    assert ((other_cells - fused).abs().amax(dim=1) > 1e-4).all()
