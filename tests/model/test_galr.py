"""The whole model: every variant of it, on random pictures, graphs and sentences."""

from functools import cache

import pytest
import torch

from galr.errors import ConfigError
from galr.model.galr import GaLR, GraphBatch
from galr.model.pretrained import count_parameters
from galr.model.regions import RegionGCN
from galr.model.text import pad_tokens

ARCHITECTURE = {
    "backbone": "resnet18",
    "crop": 32,
    "regions": 6,
    "features": 8,
    "words": 20,
    "embedding": 16,
    "text": "bigru",
    "word_size": 8,
    "text_size": 12,
    "text_dropout": 0.0,
    "heads": 4,
    "feed_forward": 32,
    "dropout": 0.1,
    "fusion": "midf",
    "branches": "both",
}
VARIANTS = {
    "global": {"branches": "global"},
    "local": {"branches": "local"},
    "sum": {"fusion": "sum"},
    "midf": {"fusion": "midf"},
    "midf_released": {"fusion": "midf_released"},
}
TEXTS = {
    "bigru": {"text": "bigru"},
    "skipthoughts": {"text": "skipthoughts", "text_dropout": 0.25},
}
ROOMS = {
    "global": {"seen", "text"},
    "local": {"found", "text"},
    "sum": {"seen", "found", "text"},
    "midf": {"seen", "found", "fusion", "text"},
    "midf_released": {"seen", "found", "fusion", "text"},
}

every_variant = pytest.mark.parametrize("variant", VARIANTS)
every_text = pytest.mark.parametrize("text", TEXTS)


@cache
def build(variant, text="bigru"):
    torch.manual_seed(0)
    return GaLR(**ARCHITECTURE | VARIANTS[variant] | TEXTS[text])


def batch(kept=(6, 2, 0, 3)):
    """Pictures; graphs whose first `kept` rows are regions, their adjacency normalised over them; sentences."""
    torch.manual_seed(1)
    images = len(kept)
    mask = torch.arange(6) < torch.tensor(kept)[:, None]
    both = (mask[:, None] & mask[:, :, None]).float()
    adjacency = both / both.sum(-1, keepdim=True).clamp(min=1)
    graph = GraphBatch(torch.rand(images, 6, 8) * mask.unsqueeze(-1), adjacency, mask)
    words, lengths = pad_tokens([[2, 3, 4], [5], [6, 7, 8, 9, 2], [3, 3]])
    return torch.randn(images, 3, 32, 32), graph, words, lengths


@every_text
@every_variant
def test_embeddings_are_unit_rows_even_without_regions(variant, text):
    model, (pixels, graphs, words, lengths) = build(variant, text).eval(), batch()
    seen, said = model.encode_images(pixels, graphs), model.encode_sentences(words, lengths)
    torch.testing.assert_close(seen.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(said.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(model(pixels, graphs, words, lengths), seen @ said.T)


@every_text
@every_variant
def test_permuting_a_batch_permutes_the_scores(variant, text):
    model, (pixels, graphs, words, lengths) = build(variant, text).eval(), batch()
    order, other = torch.tensor([2, 0, 3, 1]), torch.tensor([1, 3, 2, 0])
    scores = model(pixels, graphs, words, lengths)
    permuted = model(
        pixels[order], GraphBatch(*(part[order] for part in graphs)), words[other], lengths[other]
    )
    torch.testing.assert_close(permuted, scores[order][:, other], atol=1e-5, rtol=1e-5)


@every_text
@every_variant
def test_gradients_reach_what_is_live_and_nothing_else_is_built(variant, text):
    model = build(variant, text).train()
    model.zero_grad()
    scores = model(*batch())
    (scores * torch.randn_like(scores)).sum().backward()
    learned = {name: each.grad for name, each in model.named_parameters() if each.requires_grad}
    assert all(grad is not None and grad.isfinite().all() for grad in learned.values())
    silent = {name for name, grad in learned.items() if grad.abs().max() < 1e-9}
    moot = {name for name in learned if "balance" in name} if variant == "midf_released" else set()
    assert silent <= moot  # what no score depends on has a gradient of rounding, or none
    assert {name.split(".")[0] for name in model.state_dict()} == ROOMS[variant]
    frozen = {name for name, each in model.named_parameters() if not each.requires_grad}
    assert frozen == ({"text.gru.bias_hh_l0"} if text == "skipthoughts" else set())


@pytest.mark.parametrize("variant", ["local", "sum", "midf", "midf_released"])
def test_padding_rows_of_a_graph_are_silent(variant):
    model, (pixels, graphs, _, _) = build(variant).eval(), batch()
    noisy = graphs.representation + (~graphs.mask).unsqueeze(-1) * 7.0
    torch.testing.assert_close(
        model.encode_images(pixels, graphs),
        model.encode_images(pixels, graphs._replace(representation=noisy)),
    )


@every_variant
def test_an_image_is_what_its_live_branches_see(variant):
    model, (pixels, graphs, _, _) = build(variant).eval(), batch()
    other = GraphBatch(*(part.flip(0) for part in graphs))
    once = model.encode_images(pixels, graphs)
    sees, finds = (
        not torch.allclose(once, again, atol=1e-5)
        for again in (model.encode_images(-pixels, graphs), model.encode_images(pixels, other))
    )
    assert (sees, finds) == (variant != "local", variant != "global")


def test_without_fusion_both_features_count_the_same():
    model, (pixels, graphs, _, _) = build("sum").eval(), batch()
    seen, found = model.global_branch(pixels), model.local_branch(*graphs)
    both = model.encode_images(pixels, graphs)
    torch.testing.assert_close((both * seen).sum(1), (both * found).sum(1))
    angles = [
        (one * two).sum(1).acos() for one, two in ((seen, both), (both, found), (seen, found))
    ]
    torch.testing.assert_close(angles[0] + angles[1], angles[2])  # it lies between them


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


def test_as_published_it_learns_as_many_numbers_as_the_paper_says():
    published = ARCHITECTURE | {
        "crop": 256, "regions": 20, "features": 20, "words": 1350, "embedding": 512, "heads": 8,
        "feed_forward": 1024, "text": "skipthoughts", "word_size": 620, "text_size": 2400,
        "fusion": "midf_released",
    }  # fmt: skip
    with torch.device("meta"):
        model = GaLR(**published)
    hidden_biases = 3 * 2400  # one GRU has them; they stay zero, and nobody learns them
    classifier = 513_000  # of ResNet-18: the released code carries it and never asks it
    assert count_parameters(model) == 46_379_998
    assert sum(each.numel() for each in model.parameters()) == 46_379_998 + hidden_biases
    assert count_parameters(model) + classifier == 46_892_998  # 46.89 million in the paper's table
    assert [layer.nn.weight.shape[0] for layer in model.local_branch.layers] == [20, 10, 20]
    assert model.local_branch.project.in_features == 400
    assert model.global_branch.gate.in_features == 256
    assert (
        model.global_branch.low_level.in_channels == 192
        and model.global_branch.high_level.in_channels == 768
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"backbone": "resnet19"}, r"model.backbone 'resnet19' is unknown; choose from.*resnet18"),
        ({"crop": 65}, "model.crop must be a multiple of 32, got 65"),
        ({"branches": "locl"}, "model.branches 'locl' is unknown; choose from both, global, local"),
        (
            {"fusion": "mean"},
            "model.fusion 'mean' is unknown; choose from midf, midf_released, sum",
        ),
        ({"text": "lstm"}, "model.text 'lstm' is unknown; choose from bigru, skipthoughts"),
        ({"text_dropout": 0.1}, "text_dropout is 0.1 and model.text bigru, which drops nothing"),
        ({"text": "skipthoughts", "text_dropout": 1.0}, r"must be in \[0, 1\), got 1.0"),
    ],
)
def test_what_no_model_could_be_is_named(changes, says):
    with pytest.raises(ConfigError, match=says):
        GaLR(**ARCHITECTURE | changes)
