"""The whole model in every variant, on random images, graphs and sentences."""

from functools import cache

import pytest
import torch

from galr.errors import ConfigError
from galr.model.galr import GaLR, GraphBatch, count_parameters
from galr.model.regions import RegionGCN
from galr.model.text import pad_tokens

from ..architecture import SMALL_GALR  # isort: skip

ARCHITECTURE = SMALL_GALR | {"max_regions": 6, "node_dim": 8}
VARIANTS = {
    "global": {"branches": "global"},
    "local": {"branches": "local"},
    "sum": {"fusion": "sum"},
    "midf": {"fusion": "midf"},
    "midf_released_bug": {"fusion": "midf_released_bug"},
    "midf_gated": {"fusion": "midf_gated"},
    "pooled": {"global_feature": "pooled", "fusion": "midf_gated"},
}
TEXT_ENCODERS = {
    "bigru": {"text_encoder": "bigru"},
    "skipthoughts": {"text_encoder": "skipthoughts", "text_dropout": 0.25},
}
PARTS = {
    "global": {"global_branch", "text_encoder"},
    "local": {"local_branch", "text_encoder"},
    "sum": {"global_branch", "local_branch", "text_encoder"},
    "midf": {"global_branch", "local_branch", "fusion", "text_encoder"},
    "midf_released_bug": {"global_branch", "local_branch", "fusion", "text_encoder"},
    "midf_gated": {"global_branch", "local_branch", "fusion", "text_encoder"},
    "pooled": {"global_branch", "local_branch", "fusion", "text_encoder"},
}

every_variant = pytest.mark.parametrize("variant", VARIANTS)
every_text = pytest.mark.parametrize("text", TEXT_ENCODERS)


@cache
def build(variant, text="bigru"):
    torch.manual_seed(0)
    model = GaLR(**ARCHITECTURE | VARIANTS[variant] | TEXT_ENCODERS[text])
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)  # timm's residual blocks begin as the identity
    return model


def batch(kept=(6, 2, 0, 3)):
    """Make images; graphs with `kept` regions each, their adjacency normalised over them; sentences."""
    torch.manual_seed(1)
    images = len(kept)
    mask = torch.arange(6) < torch.tensor(kept)[:, None]
    edges = (mask[:, None] & mask[:, :, None]).float()
    adjacency = edges / edges.sum(-1, keepdim=True).clamp(min=1)
    graph = GraphBatch(torch.rand(images, 6, 8) * mask.unsqueeze(-1), adjacency, mask)
    token_ids, lengths = pad_tokens([[2, 3, 4], [5], [6, 7, 8, 9, 2], [3, 3]])
    return torch.randn(images, 3, 32, 32), graph, token_ids, lengths


@every_text
@every_variant
def test_embeddings_have_length_one_even_without_regions(variant, text):
    model, (pixels, graphs, token_ids, lengths) = build(variant, text).eval(), batch()
    images = model.encode_images(pixels, graphs)
    sentences = model.encode_sentences(token_ids, lengths)
    torch.testing.assert_close(images.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(sentences.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(model(pixels, graphs, token_ids, lengths), images @ sentences.T)


@every_text
@every_variant
def test_permuting_a_batch_permutes_the_similarities(variant, text):
    model, (pixels, graphs, token_ids, lengths) = build(variant, text).eval(), batch()
    images, sentences = torch.tensor([2, 0, 3, 1]), torch.tensor([1, 3, 2, 0])
    similarity = model(pixels, graphs, token_ids, lengths)
    permuted = model(
        pixels[images],
        GraphBatch(*(part[images] for part in graphs)),
        token_ids[sentences],
        lengths[sentences],
    )
    torch.testing.assert_close(permuted, similarity[images][:, sentences], atol=1e-5, rtol=1e-5)


@every_text
@every_variant
def test_every_part_that_is_built_is_used_and_has_a_gradient(variant, text):
    model = build(variant, text).train()
    model.zero_grad()
    similarity = model(*batch())
    (similarity * torch.randn_like(similarity)).sum().backward()
    gradients = {
        name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad
    }
    assert all(grad is not None and grad.isfinite().all() for grad in gradients.values())
    zero = {name for name, grad in gradients.items() if grad.abs().max() < 1e-9}
    gate = {name for name in gradients if name.startswith("fusion.gate")}
    assert zero <= (gate if variant == "midf_released_bug" else set())  # rounding, or nothing
    assert {name.split(".")[0] for name in model.state_dict()} == PARTS[variant]
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen == ({"text_encoder.gru.bias_hh_l0"} if text == "skipthoughts" else set())


@pytest.mark.parametrize("variant", ["local", "sum", "midf", "midf_released_bug", "pooled"])
def test_padding_rows_of_a_graph_change_nothing(variant):
    model, (pixels, graphs, _, _) = build(variant).eval(), batch()
    noisy = graphs.representation + (~graphs.mask).unsqueeze(-1) * 7.0
    torch.testing.assert_close(
        model.encode_images(pixels, graphs),
        model.encode_images(pixels, graphs._replace(representation=noisy)),
    )


@every_variant
def test_an_embedding_depends_on_the_inputs_of_its_branches_and_no_other(variant):
    model, (pixels, graphs, _, _) = build(variant).eval(), batch()
    other = GraphBatch(*(part.flip(0) for part in graphs))
    before = model.encode_images(pixels, graphs)
    reads_pixels, reads_graphs = (
        not torch.allclose(before, after, atol=1e-5)
        for after in (model.encode_images(-pixels, graphs), model.encode_images(pixels, other))
    )
    assert (reads_pixels, reads_graphs) == (variant != "local", variant != "global")


def test_in_a_sum_both_features_have_the_same_weight():
    model, (pixels, graphs, _, _) = build("sum").eval(), batch()
    g, l = (
        model.global_branch(*model.image_features(pixels)),
        model.local_branch(*graphs),
    )
    v = model.encode_images(pixels, graphs)
    torch.testing.assert_close((v * g).sum(1), (v * l).sum(1))
    angles = [(one * two).sum(1).acos() for one, two in ((g, v), (v, l), (g, l))]
    torch.testing.assert_close(angles[0] + angles[1], angles[2])  # v lies between them


def test_local_branch_is_the_formula():
    local = RegionGCN(max_regions=6, node_dim=8, embed_dim=16)
    _, (x, a, mask), _, _ = batch()
    nodes = x
    for layer in local.layers:
        w = layer.nn.weight.T
        nodes = torch.stack([(a[i] @ (nodes[i] @ w)).relu() for i in range(4)])
    raw = nodes.reshape(4, -1) @ local.project.weight.T + local.project.bias
    expected = raw / raw.norm(dim=1, keepdim=True)
    torch.testing.assert_close(local(x, a, mask), expected)
    assert [layer.nn.weight.shape for layer in local.layers] == [(8, 8), (4, 8), (8, 4)]
    assert all(layer.nn.bias is None for layer in local.layers)


def test_local_feature_depends_on_the_order_of_the_regions():
    """The read-out has a weight for each row, as in the paper; DREA sorts regions by score."""
    torch.manual_seed(0)
    local = RegionGCN(max_regions=6, node_dim=8, embed_dim=16)
    _, (x, _, mask), _, _ = batch(kept=(6,))
    x, a = 10 * x, torch.eye(6).unsqueeze(0)  # only self-loops, the same in any order
    cosine = (local(x, a, mask) * local(x[:, [1, 0, 2, 3, 4, 5]], a, mask)).sum()
    assert cosine < 0.999


def test_the_published_model_has_as_many_parameters_as_the_paper_says():
    published = ARCHITECTURE | {
        "input_size": 256, "max_regions": 20, "node_dim": 20, "vocab_size": 1350, "embed_dim": 512,
        "heads": 8, "ffn_dim": 1024, "text_encoder": "skipthoughts", "word_dim": 620,
        "gru_hidden": 2400, "fusion": "midf_released_bug",
    }  # fmt: skip
    with torch.device("meta"):
        model = GaLR(**published)
    hidden_biases = 3 * 2400  # of nn.GRU; they stay zero and are not trained
    classifier = 513_000  # of ResNet-18; the released code keeps it and does not use it
    assert count_parameters(model) == 46_379_998
    assert sum(weight.numel() for weight in model.parameters()) == 46_379_998 + hidden_biases
    assert count_parameters(model) + classifier == 46_892_998  # 46.89 million in the paper's table
    assert [layer.nn.weight.shape[0] for layer in model.local_branch.layers] == [20, 10, 20]
    assert model.local_branch.project.in_features == 400
    assert model.global_branch.gate.in_features == 256
    assert (
        model.global_branch.low_level.in_channels == 192
        and model.global_branch.high_level.in_channels == 768
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "resnet19"}, r"timm has no network 'resnet19'; did you mean .*resnet"),
        ({"input_size": 65}, "model.input_size must be a multiple of 32, got 65"),
        ({"branches": "locl"}, "model.branches 'locl' is unknown; choose from both, global, local"),
        (
            {"fusion": "mean"},
            "model.fusion 'mean' is unknown; choose from midf, midf_released_bug, midf_gated, sum",
        ),
        (
            {"text_encoder": "lstm"},
            "model.text_encoder 'lstm' is unknown; choose from bigru, skipthoughts, transformer",
        ),
        ({"text_dropout": 0.1}, "is 0.1 and model.text_encoder bigru, which has no such dropout"),
        ({"text_encoder": "skipthoughts", "text_dropout": 1.0}, r"must be in \[0, 1\), got 1.0"),
    ],
)
def test_an_impossible_architecture_is_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        GaLR(**ARCHITECTURE | changes)


@pytest.mark.parametrize("global_feature", ["mvsa", "pooled"])
def test_a_frozen_encoder_has_no_gradient_and_its_statistics_stand_still(global_feature):
    """Those of the pooled feature's own standardisation move; what is frozen is rounded as it is stored."""
    torch.manual_seed(0)
    changes = {"global_feature": global_feature, "freeze": ["image"], "fusion": "sum"}
    model = GaLR(**ARCHITECTURE | changes).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pixels, graphs, token_ids, lengths = batch()
    model(pixels, graphs, token_ids, lengths).sum().backward()
    frozen = {name for name in before if name.startswith("global_branch.backbone.")}
    moved = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    standardise = "global_branch.head.standardise."
    names = ("running_mean", "running_var", "num_batches_tracked")
    assert moved == (
        {standardise + name for name in names} if global_feature == "pooled" else set()
    )
    weights = dict(model.named_parameters())
    assert frozen & weights.keys() and all(weights[n].grad is None for n in frozen & weights.keys())
    assert all(weight.grad is not None for name, weight in weights.items() if name not in frozen)
    assert model.encoder_parameters() == [] and not model.global_branch.backbone.training
    features = model.image_features(pixels)
    assert all(torch.equal(table, table.half().float()) for table in features)
    torch.testing.assert_close(features, model.global_branch.backbone(pixels), rtol=1e-3, atol=1e-3)
