"""Fixed views against the resampling of training, and the regions that follow them."""

import numpy as np
import pytest
import torch

from galr.features.options import MAX_VIEWS
from galr.features.views import CROPS, TURNS, fixed_views, resize, show_view
from galr.graphs.edges import EdgeConfig
from galr.model.galr import GaLR, GraphBatch, PixelStatistics
from galr.train.augment import rotate_crop, sample_turns, transform_boxes, transform_graph
from galr.train.embed import embed_images_in_memory

from ..architecture import SMALL_GALR  # isort: skip

SIZE, CROPPED = 40, 32
PLAIN = PixelStatistics(torch.zeros(3), torch.ones(3))
EDGES = EdgeConfig("gaussian", 0.2)
CPU = torch.device("cpu")
every_view = pytest.mark.parametrize("number", range(MAX_VIEWS))


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0).integers(0, 255, (2, 3, SIZE, SIZE), dtype=np.uint8)
    return torch.from_numpy(random)


@every_view
def test_a_fixed_view_shows_what_training_would_cut_out(images, number):
    shown = show_view(images, number)
    side = SIZE if number < len(TURNS) else CROPPED
    assert shown.shape == (2, 3, side, side)
    views = fixed_views(torch.full((2,), number))
    cut = rotate_crop(images, views, side, PLAIN)
    torch.testing.assert_close(resize(shown, side, PLAIN), cut, atol=2e-3, rtol=0)


def test_the_first_view_is_the_plain_image_and_no_two_are_alike(images):
    assert MAX_VIEWS == len(TURNS) * len(CROPS)
    assert torch.equal(show_view(images, 0), images)
    shown = {show_view(images, number).numpy().tobytes() for number in range(MAX_VIEWS)}
    assert len(shown) == MAX_VIEWS


@every_view
def test_boxes_follow_their_view_exactly(number):
    """Where a filled box of the image lies in its view, to the pixel."""
    left, top, width, height = 9, 13, 12, 6
    image = torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8)
    image[:, :, top : top + height, left : left + width] = 255
    bright = show_view(image, number)[0, 0] > 0
    rows, columns = (bright.any(axis).nonzero().flatten() for axis in (1, 0))
    box = torch.tensor([[[left + width / 2, top + height / 2, width, height]]]) / SIZE
    x, y, w, h = transform_boxes(box, fixed_views(torch.tensor([number])))[0, 0] * len(bright)
    corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    expected = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert corners.tolist() == pytest.approx([float(edge) for edge in expected], abs=1e-3)


def test_random_turns_are_turns_and_their_crops_stay_inside():
    views = sample_turns(400, 0.6, torch.Generator().manual_seed(0))
    assert len(views.rotation.unique(dim=0)) == 8
    assert {tuple(map(tuple, one)) for one in views.rotation.tolist()} == {
        tuple(map(tuple, one)) for one in TURNS.tolist()
    }
    assert 0.6 <= views.crop_fraction.min() < 0.62 and 0.98 < views.crop_fraction.max() <= 1
    reach = views.offset.abs() + views.crop_fraction.unsqueeze(1)
    assert 0.95 < reach.max() <= 1 + 1e-6


def build(views):
    torch.manual_seed(0)
    model = GaLR(
        **SMALL_GALR
        | {"backbone": "resnet10t", "views": views, "global_feature": "pooled", "node_dim": 7}
    )
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
    return model.eval()


def embed(model, image, graph):
    pixels = image[0].permute(1, 2, 0).numpy()
    return embed_images_in_memory(model, [pixels], graph, edges=EDGES, input_size=32, device=CPU)


@pytest.mark.parametrize(("views", "turns"), [(4, (1, 2, 3)), (8, (1, 2, 3, 4, 5, 6, 7))])
def test_the_average_over_all_turns_does_not_know_which_way_an_image_lies(images, views, turns):
    """The image, turned together with its regions, has the same embedding; one view of it has another."""
    boxes = torch.tensor([[0.3, 0.4, 0.2, 0.1], [0.7, 0.2, 0.3, 0.3], [0, 0, 0, 0]])
    rows = torch.cat([torch.tensor([[1.0, 0, 0.9], [0, 1, 0.5], [0, 0, 0]])[:, 1:], boxes], 1)
    rows = torch.cat([torch.tensor([[1.0], [0], [0]]), rows], 1)  # two classes, score, box
    mask = torch.tensor([[True, True, False]])
    plain = GraphBatch(rows.unsqueeze(0), torch.eye(3).unsqueeze(0), mask)
    graph = transform_graph(plain, fixed_views(torch.tensor([0])), EDGES)  # with its edges
    model, single = build(views), build(1)
    expected, alone = embed(model, images[:1], graph), embed(single, images[:1], graph)
    for turn in turns:
        turned = show_view(images[:1], turn)
        moved = transform_graph(graph, fixed_views(torch.tensor([turn])), EDGES)
        np.testing.assert_allclose(embed(model, turned, moved), expected, atol=2e-4)
        assert np.abs(embed(single, turned, moved) - alone).max() > 1e-3
