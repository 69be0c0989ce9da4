"""The look of regions against averaging by hand, and the two extensions of the local branch in the whole model."""

from functools import cache
from itertools import product

import pytest
import torch
from torch.nn.functional import pad

from galr.features.options import needs_last_map
from galr.features.views import fixed_views
from galr.model.galr import GaLR, GraphBatch
from galr.model.image import Backbone
from galr.model.regions import RegionAppearance, RegionSequences, pool_regions
from galr.train.augment import transform_boxes

from ..architecture import SMALL_GALR  # isort: skip

ARCHITECTURE = SMALL_GALR | {"input_size": 96, "max_regions": 4, "node_dim": 6}
EXTENSIONS = {
    "appearance": {"appearance": "roi"},
    "attention": {"attention": "regions"},
    "gated attention": {"attention": "regions", "fusion": "midf_gated"},
    "both": {"appearance": "roi", "attention": "regions"},
    "appearance, sum": {"appearance": "roi", "fusion": "sum"},
}
every_extension = pytest.mark.parametrize("extension", EXTENSIONS)
every_feature = pytest.mark.parametrize("feature", ["mvsa", "pooled"])


@cache
def build(extension, feature):
    torch.manual_seed(0)
    return GaLR(**ARCHITECTURE | EXTENSIONS[extension] | {"global_feature": feature})


def random_boxes(images, count):
    """Boxes within the image, centre and size, as float64."""
    corners = torch.rand(images, count, 2, 2, dtype=torch.float64).sort(dim=2).values
    low, high = corners.unbind(2)
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def batch(kept=(4, 2, 0, 3)):
    """Pixels, and graphs with `kept` regions each, their adjacency normalised over them."""
    torch.manual_seed(1)
    mask = torch.arange(4) < torch.tensor(kept)[:, None]
    edges = (mask[:, None] & mask[:, :, None]).float()
    rows = torch.cat([torch.rand(len(kept), 4, 2), random_boxes(len(kept), 4).float()], dim=-1)
    adjacency = edges / edges.sum(-1, keepdim=True).clamp(min=1)
    return torch.randn(len(kept), 3, 96, 96), GraphBatch(rows * mask.unsqueeze(-1), adjacency, mask)


def test_a_box_of_whole_cells_has_their_average():
    torch.manual_seed(0)
    last_map = torch.randn(3, 5, 7, 7, dtype=torch.float64)
    spans = torch.tensor([(0, 7, 0, 7), (2, 3, 4, 5), (0, 2, 3, 7), (1, 6, 0, 1), (5, 7, 5, 7)])
    left, right, top, bottom = spans.double().mT
    boxes = torch.stack([left + right, top + bottom, 2 * (right - left), 2 * (bottom - top)], -1)
    boxes = (boxes / 14).expand(3, -1, -1)
    mask = torch.ones(3, len(spans), dtype=torch.bool)
    mask[1, 2:] = False
    pooled = pool_regions(last_map, boxes, mask)
    for image, row in product(range(3), range(len(spans))):
        x1, x2, y1, y2 = spans[row].tolist()
        expected = last_map[image, :, y1:y2, x1:x2].mean(dim=(1, 2)) * mask[image, row]
        # Boxes are a thousandth of a cell shorter.
        torch.testing.assert_close(pooled[image, row], expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("view", range(8))
def test_a_region_looks_the_same_in_a_turned_image(view):
    torch.manual_seed(0)
    last_map, boxes = torch.randn(4, 5, 7, 7).double(), random_boxes(4, 6)
    boxes[0, 0] = torch.tensor([0.5, 0.5, 3 / 7, 1 / 7])  # whole cells, which rounding could spoil
    mask = torch.ones(4, 6, dtype=torch.bool)
    turned = last_map.flip(-1) if view >= 4 else last_map
    turned = torch.rot90(turned, view % 4, (-2, -1))
    moved = transform_boxes(boxes, fixed_views(torch.full((4,), view)))
    expected = pool_regions(last_map, boxes, mask)
    torch.testing.assert_close(pool_regions(turned, moved, mask), expected, atol=1e-5, rtol=0)
    if view:
        assert (pool_regions(turned, boxes, mask) - expected).abs().max() > 0.1  # boxes left behind


def test_rows_begin_with_the_look_and_keep_their_features():
    torch.manual_seed(0)
    appearance, (_, graph) = RegionAppearance(channels=5).eval(), batch()
    last_map = torch.randn(4, 5, 3, 3)
    rows = appearance(last_map, graph.representation, graph.mask)
    look, features = rows.split([RegionAppearance.DIM, 6], dim=-1)
    assert torch.equal(features, graph.representation)
    assert torch.equal(look.abs().sum(-1) > 0, graph.mask)
    wide = graph.representation.clone()
    wide[..., -4:] = torch.tensor([0.5, 0.5, 1, 1])
    whole = appearance(last_map, wide, torch.ones_like(graph.mask))[..., : RegionAppearance.DIM]
    expected = torch.nn.functional.gelu(
        appearance.project(appearance.standardise(last_map).mean(dim=(2, 3)))
    )
    torch.testing.assert_close(
        whole, expected.unsqueeze(1).expand_as(whole), atol=2e-3, rtol=0
    )  # a region as large as the image


def test_cells_know_where_they_are():
    torch.manual_seed(0)
    sequences, graph = RegionSequences(5, 6, 16).eval(), batch()[1]
    cells = sequences(torch.zeros(4, 5, 3, 3), graph.representation, graph.mask).cells
    assert cells.shape == (4, 9, 16)
    assert torch.pdist(cells[0]).min() > 1e-3
    raw = torch.tensor([[0.0] * 5 + [2 / 3, -2 / 3]])  # third of the first row: right, top
    expected = torch.nn.functional.normalize(sequences.cell(raw), dim=-1)[0]
    torch.testing.assert_close(cells[0, 2], expected)


@every_feature
@every_extension
def test_padding_rows_change_nothing(extension, feature):
    model, (pixels, graph) = build(extension, feature).eval(), batch()
    noisy = graph.representation + (~graph.mask).unsqueeze(-1) * 7.0
    with torch.no_grad():
        expected = model.encode_images(pixels, graph)
        changed = model.encode_images(pixels, graph._replace(representation=noisy))
    torch.testing.assert_close(changed, expected)


@every_feature
@every_extension
@pytest.mark.parametrize("training", [False, True])
def test_images_without_regions_have_an_embedding_and_a_gradient(extension, feature, training):
    model, (pixels, graph) = build(extension, feature).train(training), batch(kept=(0, 0, 0))
    model.zero_grad()
    embedded = model.encode_images(pixels, graph)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(3))
    (embedded * torch.randn_like(embedded)).sum().backward()
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)


@every_feature
@every_extension
def test_every_part_learns_and_images_do_not_influence_each_other(extension, feature):
    model, (pixels, graph) = build(extension, feature).eval(), batch()
    model.zero_grad()
    together = model.encode_images(pixels, graph)
    (together * torch.randn_like(together)).sum().backward()
    silent = {
        name
        for name, weight in model.named_parameters()
        if not name.startswith(("text_encoder", "global_branch.backbone.network.layer"))
        and (weight.grad is None or weight.grad.abs().max() == 0)
    }
    assert (
        not silent
    )  # timm begins a residual block as the identity: only its last norm has a gradient
    for image in range(4):
        alone = GraphBatch(*(table[image : image + 1] for table in graph))
        torch.testing.assert_close(
            model.encode_images(pixels[image : image + 1], alone)[0], together[image]
        )


def test_without_the_extensions_nothing_is_built_and_with_attention_the_rest_begins_alike():
    torch.manual_seed(0)
    plain = GaLR(**ARCHITECTURE).state_dict()
    assert not [name for name in plain if name.startswith(("appearance", "sequences"))]
    torch.manual_seed(0)  # built anew: other tests move the statistics of those that are shared
    with_attention = GaLR(**ARCHITECTURE | EXTENSIONS["attention"]).state_dict()
    assert all(torch.equal(with_attention[name], value) for name, value in plain.items())
    added = with_attention.keys() - plain.keys()
    assert added and all(name.startswith("sequences.") for name in added)


@pytest.mark.parametrize("name", ["resnet18", "test_efficientnet", "test_vit"])
def test_the_last_map_comes_beside_the_same_pooled_table(name):
    torch.manual_seed(0)
    with_map = Backbone(name, pyramid=False, last_map=True).eval()
    plain = Backbone(name, pyramid=False).eval()
    plain.load_state_dict(with_map.state_dict())
    pixels = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        (expected,), (pooled, last_map) = plain(pixels), with_map(pixels)
    assert torch.equal(pooled, expected)
    assert last_map.shape == (2, with_map.map_channels, *last_map.shape[2:])
    assert last_map.shape[2] == last_map.shape[3] > 1 and not plain.gives_map
    if name == "resnet18":  # its pooled map is the one after the last stage
        torch.testing.assert_close(pooled[:, :512], last_map.mean(dim=(2, 3)))


@every_feature
def test_the_stored_features_have_a_map_exactly_where_the_model_reads_it(feature):
    options = product(
        ["both", "global"], ["midf", "midf_gated", "sum"], ["none", "roi"], ["length1", "regions"]
    )
    for values in options:
        changes = dict(zip(["branches", "fusion", "appearance", "attention"], values, strict=True))
        architecture = ARCHITECTURE | changes | {"global_feature": feature}
        with torch.device("meta"):
            model = GaLR(**architecture)
        assert model.global_branch.backbone.gives_map == needs_last_map(architecture)
        assert len(model.image_features(torch.empty(1, 3, 96, 96, device="meta"))) == (
            4 if feature == "mvsa" else 1 + needs_last_map(architecture)
        )


def test_in_bfloat16_boxes_keep_their_precision():
    torch.manual_seed(0)
    last_map, boxes = torch.randn(2, 3, 7, 7), random_boxes(2, 4).float()
    mask = torch.ones(2, 4, dtype=torch.bool)
    half = pool_regions(last_map.bfloat16(), boxes, mask)
    torch.testing.assert_close(half, pool_regions(last_map, boxes, mask), atol=0.02, rtol=0)


def test_more_padding_changes_no_look():
    torch.manual_seed(0)
    last_map, boxes = torch.randn(2, 3, 7, 7), random_boxes(2, 4).float()
    mask = torch.tensor([[True, True, False, False], [True, False, False, False]])
    longer = pool_regions(last_map, pad(boxes, (0, 0, 0, 3), value=3.0), pad(mask, (0, 3)))
    assert torch.equal(longer[:, :4], pool_regions(last_map, boxes, mask))
    assert not longer[:, 4:].any()
